"""Discrete Fourier transforms by direct summation, float64, and the spectrum by a double loop."""

import numpy as np


def dft_matrix(size, frequencies):
    """Rows: exp(-2 pi i f j / size) for each integer frequency f."""
    index = np.arange(size)
    return np.exp(-2j * np.pi * np.outer(frequencies, index) / size)


def resize(image, shape):
    """Keep the frequencies strictly below both Nyquist frequencies, synthesize on the new grid."""
    image = np.asarray(image, np.float64)
    out = image.astype(complex)
    for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
        limit = (min(old, new) - 1) // 2 if min(old, new) % 2 else min(old, new) // 2 - 1
        if old == new:
            continue
        kept = np.arange(-limit, limit + 1)
        coefficients = dft_matrix(old, kept) / old
        synthesis = dft_matrix(new, kept).conj().T
        out = np.moveaxis(np.tensordot(synthesis @ coefficients, out, ([1], [axis])), 0, axis)
    return out.real


def radial_power(image, pixel_size_a, bins):
    """Mean power spectral density of the full plane in shells of width Nyquist / bins."""
    image = np.asarray(image, np.float64)
    height, width = image.shape
    density = np.abs(np.fft.fft2(image)) ** 2 * pixel_size_a**2 / (height * width)
    total, count = np.zeros(bins), np.zeros(bins)
    for j, ky in enumerate(np.fft.fftfreq(height, pixel_size_a)):
        for i, kx in enumerate(np.fft.fftfreq(width, pixel_size_a)):
            shell = int(np.hypot(ky, kx) * 2 * pixel_size_a * bins)
            if (j or i) and shell < bins:
                total[shell] += density[j, i]
                count[shell] += 1
    return total / np.maximum(count, 1)
