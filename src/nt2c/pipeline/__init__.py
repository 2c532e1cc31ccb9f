"""The stages of the method in order, resumable."""
