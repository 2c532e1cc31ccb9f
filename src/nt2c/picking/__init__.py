"""Picks of denoised micrographs, and how many of them are noise."""

SPACING = 0.75
"""Least distance of two picks in diameters: particles touch, and overlap in projection."""
