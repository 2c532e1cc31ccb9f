"""Fourier helpers shared by the metrics (numpy, float64)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating[Any] | np.integer[Any]]
"""A real image of shape (y, x)."""
Float64 = NDArray[np.float64]

TAPER_FRACTION = 0.05
"""Part of each side over which `tapered` brings an image to zero."""


def frequency_magnitude(shape: tuple[int, int], pixel_size_a: float) -> Float64:
    """Return |k| of the real FFT's half plane.

    Parameters
    ----------
    shape : (int, int)
        Image shape (y, x).
    pixel_size_a : float
        Pixel size in angstrom.

    Returns
    -------
    array, shape (y, x // 2 + 1)
        Spatial frequency in 1/angstrom.
    """
    ky = np.fft.fftfreq(shape[0], pixel_size_a)[:, None]
    kx = np.fft.rfftfreq(shape[1], pixel_size_a)[None, :]
    magnitude: Float64 = np.hypot(ky, kx)
    return magnitude


def half_plane_weights(shape: tuple[int, int]) -> Float64:
    """Return how often each half-plane coefficient occurs in the full plane, 1 or 2.

    Parameters
    ----------
    shape : (int, int)
        Image shape (y, x).

    Returns
    -------
    array, shape (1, x // 2 + 1)
        A sum over the half plane with these weights equals the sum over the full plane.
    """
    weights = np.full((1, shape[1] // 2 + 1), 2.0)
    weights[0, 0] = 1.0
    if shape[1] % 2 == 0:
        weights[0, -1] = 1.0
    return weights


def filtered(image: Image, gain: Float64) -> Float64:
    """Multiply the real FFT of an image by a gain.

    Parameters
    ----------
    image : array, shape (y, x)
        Image.
    gain : array, shape (y, x // 2 + 1)
        Real gain on the half plane of the FFT.

    Returns
    -------
    array, shape (y, x)
        Filtered image; the filter wraps around the edges.
    """
    result: Float64 = np.fft.irfft2(np.fft.rfft2(np.asarray(image, np.float64)) * gain, image.shape)
    return result


def highpass(image: Image, pixel_size_a: float, cut_a: float) -> Float64:
    """Remove the background that varies slower than `cut_a`, with gain 1 - exp(-(k cut_a)^2 / 2).

    Parameters
    ----------
    image : array, shape (y, x)
        Image.
    pixel_size_a : float
        Pixel size in angstrom.
    cut_a : float
        Period in angstrom at which the gain is 0.39; it is 0.86 at half that period.

    Returns
    -------
    array, shape (y, x)
        High-passed image with zero mean.
    """
    k = frequency_magnitude((image.shape[0], image.shape[1]), pixel_size_a)
    return filtered(image, 1 - np.exp(-((k * cut_a) ** 2) / 2))


def tapered(image: Image) -> Float64:
    """Subtract the mean and bring the edges to zero with raised cosines.

    Without it the jump between opposite edges spreads low frequencies over the whole spectrum.

    Parameters
    ----------
    image : array, shape (y, x)
        Image.

    Returns
    -------
    array, shape (y, x)
        The image, unchanged but for its mean inside, falling to zero over 5 % of each side.
    """
    centred = np.asarray(image, np.float64) - np.mean(image, dtype=np.float64)
    result: Float64 = centred * edge_window((image.shape[0], image.shape[1]))
    return result


def edge_window(shape: tuple[int, int]) -> Float64:
    """Return the window of `tapered`: 1 inside, raised cosines over 5 % of each side.

    Parameters
    ----------
    shape : (int, int)
        Image shape (y, x).
    """
    return _edge(shape[0])[:, None] * _edge(shape[1])[None, :]


def _edge(size: int) -> Float64:
    width = max(1, round(TAPER_FRACTION * size))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    window = np.ones(size)
    window[:width] = ramp
    window[size - width :] *= ramp[::-1]
    return window


def rings(shape: tuple[int, int], pixel_size_a: float) -> tuple[NDArray[np.int64], Float64]:
    """Sort the half plane into rings of one Fourier pixel of the longer side.

    Parameters
    ----------
    shape : (int, int)
        Image shape (y, x).
    pixel_size_a : float
        Pixel size in angstrom.

    Returns
    -------
    index : array, shape (y, x // 2 + 1)
        Ring of each coefficient; corners beyond Nyquist hold rings that `frequencies` lacks.
    frequencies : array, shape (rings,)
        Central frequency of each ring from 0 to Nyquist, 1/angstrom.
    """
    width = 1 / (max(shape) * pixel_size_a)
    index = np.rint(frequency_magnitude(shape, pixel_size_a) / width).astype(np.int64)
    frequencies: Float64 = np.arange(max(shape) // 2 + 1, dtype=np.float64) * width
    return index, frequencies


def ring_sums(values: Float64, index: NDArray[np.int64], count: int, width: int) -> Float64:
    """Sum half-plane values over each ring of the full plane.

    Parameters
    ----------
    values : array, shape (y, x // 2 + 1)
        Values on the half plane.
    index : array, shape (y, x // 2 + 1)
        Ring of each coefficient.
    count : int
        Number of rings to keep.
    width : int
        Number of columns x of the image.

    Returns
    -------
    array, shape (count,)
        Sums.
    """
    weighted = values * half_plane_weights((values.shape[0], width))
    sums = np.bincount(index.ravel(), weighted.ravel(), minlength=count)
    return np.asarray(sums[:count], np.float64)
