"""The noise of real micrographs: found, measured, modelled, transferred."""
