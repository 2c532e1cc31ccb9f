"""How well particles are picked on denoised micrographs."""
