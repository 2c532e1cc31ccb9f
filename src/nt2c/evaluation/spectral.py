"""Images and filters of the metrics: numpy, float64."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nt2c.imaging.fourier import frequency_grid

Image = NDArray[np.floating[Any] | np.integer[Any]]
"""A real image of shape (y, x)."""
Float64 = NDArray[np.float64]

TAPER_FRACTION = 0.05
"""Part of each side over which `tapered` brings an image to zero."""


def frequencies(image: Image, pixel_size_a: float) -> Float64:
    """Return |k| in 1/angstrom on the half plane of an image's real FFT."""
    shape = image.shape[0], image.shape[1]
    result: Float64 = frequency_grid(shape, pixel_size_a, dtype=torch.float64).numpy()
    return result


def filtered(image: Image, gain: Float64) -> Float64:
    """Multiply the real FFT of an image by a gain on its half plane; it wraps around the edges."""
    result: Float64 = np.fft.irfft2(np.fft.rfft2(np.asarray(image, np.float64)) * gain, image.shape)
    return result


def highpass(image: Image, pixel_size_a: float, cut_a: float) -> Float64:
    """Remove the mean and what varies slower than `cut_a`, with gain 1 - exp(-(k cut_a)^2 / 2).

    The gain is 0.39 at a period of `cut_a`, in angstrom, and 0.86 at half of it.
    """
    return filtered(image, 1 - np.exp(-((frequencies(image, pixel_size_a) * cut_a) ** 2) / 2))


def tapered(image: Image) -> Float64:
    """Subtract the mean and bring the edges to zero, as `edge_window` does.

    Without it the jump between opposite edges spreads low frequencies over the whole spectrum.
    """
    result: Float64 = centred(image) * edge_window((image.shape[0], image.shape[1]))
    return result


def centred(image: Image) -> Float64:
    """Subtract the mean."""
    result: Float64 = np.asarray(image, np.float64) - np.mean(image, dtype=np.float64)
    return result


def edge_window(shape: tuple[int, int]) -> Float64:
    """Return a window (y, x): 1 inside, raised cosines over 5 % of each side."""
    return _edge(shape[0])[:, None] * _edge(shape[1])[None, :]


def _edge(size: int) -> Float64:
    width = max(1, round(TAPER_FRACTION * size))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    window = np.ones(size)
    window[:width] = ramp
    window[size - width :] *= ramp[::-1]
    return window
