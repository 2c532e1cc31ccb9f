"""Transfer of signal and noise: dose, ice and detector, as functions of spatial frequency (1/A).

Every function takes |k| of any shape and broadcasts its parameters; sources are named.
"""

import torch
from torch import Tensor

from nt2c.imaging.fourier import filtered_noise

# Fractions of the camera's Nyquist frequency, with DQE and MTF there, at 300 kV: published
# curves of the makers and of McMullan et al. 2014 and Ruskin et al. 2013, read at these points.
_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
DETECTORS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "K2": ((0.78, 0.74, 0.54, 0.38, 0.23), (1.0, 0.95, 0.86, 0.74, 0.61)),
    "K3": ((0.83, 0.78, 0.62, 0.45, 0.28), (1.0, 0.96, 0.89, 0.77, 0.64)),
    "Falcon3EC": ((0.89, 0.89, 0.79, 0.53, 0.29), (1.0, 0.85, 0.57, 0.30, 0.15)),
    "Falcon2": ((0.41, 0.28, 0.29, 0.22, 0.12), (1.0, 0.51, 0.22, 0.10, 0.05)),
}
WATER_PER_A3 = 0.0314  # molecules of low-density amorphous ice (0.94 g/cm^3)
WATER_POTENTIAL_V_A3 = 146.0  # scattering length 3.05 A times 47.88 V A^2
INELASTIC_MEAN_FREE_PATH_A = 3950.0
ICE_MOTION_A2_PER_DOSE = 1.1
TEXTURE_REFERENCE_A = 40.0


def _interpolate(values: tuple[float, ...], fraction: Tensor) -> Tensor:
    """Piecewise linear through values at `_FRACTIONS`, evenly spaced; constant beyond Nyquist."""
    table = torch.tensor(values, device=fraction.device, dtype=fraction.dtype)
    position = (fraction * (len(values) - 1)).clamp(0, len(values) - 1 - 1e-4)
    low = position.long()
    return torch.lerp(table[low], table[low + 1], position - low)


def detector_dqe(detector: str, k: Tensor, camera_pixel_size_a: float) -> Tensor:
    """Detective quantum efficiency at |k|; the camera's Nyquist is 1 / (2 pixel)."""
    return _interpolate(DETECTORS[detector][0], k * 2 * camera_pixel_size_a)


def detector_mtf(detector: str, k: Tensor, camera_pixel_size_a: float) -> Tensor:
    """Modulation transfer function at |k|."""
    return _interpolate(DETECTORS[detector][1], k * 2 * camera_pixel_size_a)


def dose_envelope(k: Tensor, dose_e_per_a2: Tensor, voltage_kv: float) -> Tensor:
    """Mean over an unweighted exposure of the radiation-damage amplitude exp(-N / (2 Ne)).

    Critical exposure Ne = 0.24499 k^-1.6649 + 2.8141 e/A^2 at 300 kV, 0.8 times that at 200 kV
    (Grant & Grigorieff 2015, eq. 3).
    """
    critical = 0.24499 * k.clamp(min=1e-4) ** -1.6649 + 2.8141
    if voltage_kv < 250:
        critical = 0.8 * critical
    x = dose_e_per_a2 / (2 * critical)
    return -torch.expm1(-x) / x


def ice_power(k: Tensor, thickness_a: Tensor, dose_e_per_a2: Tensor) -> Tensor:
    """Power spectral density of the projected potential of amorphous ice, (V A)^2 A^2.

    Independent molecules (n t F^2) times the structure factor of Parkhurst et al. 2024 (eq. 9:
    a1 0.199, s1 0.731, a2 0.801, s2 0.081, m2 1/2.88 A), averaged over the exposure while the
    molecules diffuse by `ICE_MOTION_A2_PER_DOSE` (McMullan et al. 2015).
    """
    structure = 0.199 * torch.exp(-0.5 * (k / 0.731) ** 2) + 0.801 * torch.exp(
        -0.5 * ((k - 1 / 2.88) / 0.081) ** 2
    )
    # <|mean over time of exp(i k x(t))|^2> for Brownian x with variance s t per axis.
    x = (0.5 * (2 * torch.pi) ** 2 * ICE_MOTION_A2_PER_DOSE / 2 * k**2 * dose_e_per_a2).clamp(
        min=1e-3
    )
    smear = 2 * (x + torch.expm1(-x)) / x**2
    return WATER_PER_A3 * thickness_a * WATER_POTENTIAL_V_A3**2 * structure * smear


def texture_power(k: Tensor, level: Tensor, length_a: Tensor, exponent: Tensor) -> Tensor:
    """Power spectral density of the projected potential of a rough layer, (V A)^2 A^2.

    Flat below 1 / (2 pi length), k^-exponent above (von Karman's form); `level` is its value at
    1 / `TEXTURE_REFERENCE_A`. It stands for surface roughness, support film and protein spread at
    the interface, which unlike ice stay put during the exposure.
    """
    knee = 1 + (2 * torch.pi * k * length_a) ** 2
    reference = 1 + (2 * torch.pi * length_a / TEXTURE_REFERENCE_A) ** 2
    return level * (reference / knee) ** (exponent / 2)


def gaussian_field(
    power: Tensor, shape: tuple[int, int], pixel_size_a: float, generator: torch.Generator
) -> Tensor:
    """Real Gaussian random field(s) with the given power spectral density.

    Parameters
    ----------
    power : Tensor
        Density in (unit)^2 A^2 on the half plane, shape (batch, y, x // 2 + 1).
    shape : tuple of int
        Field size (y, x) in pixels.
    pixel_size_a : float
        Pixel size in angstrom.
    generator : torch.Generator
        Stream on the device of `power`.
    """
    return filtered_noise(power.sqrt() / pixel_size_a, (len(power), *shape), generator)
