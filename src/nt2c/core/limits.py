"""What is plausible for a micrograph, to refuse the rest before memory is taken for it."""

MAX_IMAGE_PX = 1 << 28
"""That of EER frames in their finest rendering, 16384 x 16384: more than any camera has."""

PIXEL_SIZE_LIMITS_A = (0.1, 15.0)
"""Pixel sizes in angstrom, from the highest magnifications to those that show no particles."""
