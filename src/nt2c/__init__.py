"""Denoising of cryo-EM micrographs by noise transfer."""

__version__ = "0.1.0"
