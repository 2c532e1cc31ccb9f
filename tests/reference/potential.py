"""Contrast potential of point-like atoms by direct summation, float64: slow and obvious."""

import math

import gemmi
import numpy as np

VOLT_A2 = 47.87801
FRASER_A3 = {"H": 5.15, "C": 16.44, "N": 2.49, "O": 9.13, "P": 5.73, "S": 19.86}


def structure_factor(atoms, k):
    """Fourier transform (V A^3) at one frequency vector k (x, y, z), 1/A.

    atoms: list of (element, weight, (x, y, z)) in angstrom.
    """
    total = 0j
    k2 = sum(component**2 for component in k)
    for element, weight, position in atoms:
        coefficients = gemmi.Element(element).c4322.get_coefs()
        scattering = sum(
            a * math.exp(-b * k2 / 4)
            for a, b in zip(coefficients[:5], coefficients[5:], strict=True)
        )
        volume = FRASER_A3[element]
        solvent = 4.53 * volume * math.exp(-math.pi * volume ** (2 / 3) * k2)
        phase = -2 * math.pi * sum(a * b for a, b in zip(k, position, strict=True))
        total += weight * (VOLT_A2 * scattering - solvent) * np.exp(1j * phase)
    return total


def volume(atoms, size, pixel_size_a):
    """Band-limited potential [z, y, x] with the origin at index size // 2."""
    transform = np.zeros((size, size, size), complex)
    half = size // 2
    for z in range(1 - half, half):
        for y in range(1 - half, half):
            for x in range(1 - half, half):
                k = tuple(f / (size * pixel_size_a) for f in (x, y, z))
                transform[z, y, x] = structure_factor(atoms, k)
    return np.fft.fftshift(np.fft.ifftn(transform).real) / pixel_size_a**3
