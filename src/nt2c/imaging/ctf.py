"""Contrast transfer function of the electron microscope in the weak-phase approximation.

Sign convention: underfocus is positive and `ctf` is +amplitude_contrast at zero frequency, so a
weak phase object phi (positive for matter) is imaged as intensity = 1 - 2 ctf * phi: dark.
The astigmatism angle runs from the x axis towards the y axis and names the direction of the
larger defocus (RELION's DefocusAngle).
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import frequency_axes

Parameter: TypeAlias = float | Tensor


def wavelength_a(voltage_kv: float) -> float:
    """Relativistic electron wavelength in angstrom, CODATA 2018 (Kirkland 2010, eq. 2.5)."""
    volt = 1e3 * voltage_kv
    return 12.26425966 / math.sqrt(volt * (1 + 0.97847559e-6 * volt))


def interaction_rad_per_v_a(voltage_kv: float) -> float:
    """Phase per projected potential, rad / (V angstrom) (Kirkland 2010, eq. 5.6)."""
    rest_kev = 510.998950
    gamma = 1 + voltage_kv / rest_kev
    # sigma = 2 pi m e lambda / h^2 with h^2 / (2 m0 e) = 150.412 V angstrom^2
    return math.pi * gamma * wavelength_a(voltage_kv) / 150.41212


@dataclass(frozen=True)
class Optics:
    """Parameters of the CTF; each may be a tensor, for a batch of CTFs.

    Units are in the names. `semi_angle_mrad` (illumination) and `energy_spread_ev` (with
    `cc_mm`) give the spatial and temporal envelopes; 0 switches one off.
    """

    defocus_um: Parameter
    astigmatism_um: Parameter = 0.0
    astigmatism_angle_deg: Parameter = 0.0
    voltage_kv: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: Parameter = 0.1
    phase_shift_deg: Parameter = 0.0
    b_factor_a2: Parameter = 0.0
    cc_mm: float = 2.7
    energy_spread_ev: Parameter = 0.0
    semi_angle_mrad: Parameter = 0.0


def ctf(
    shape: tuple[int, int],
    pixel_size_a: float,
    optics: Optics,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "... y h"]:
    """CTF with envelopes on the half plane of `torch.fft.rfft2`.

    Parameters
    ----------
    shape : tuple of int
        Image size (y, x) in pixels.
    pixel_size_a : float
        Pixel size in angstrom.
    optics : Optics
        Microscope; tensor fields share one batch shape, which leads the result's.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor
        sin(chi) times the envelopes, shape (..., y, x // 2 + 1), in [-1, 1], with
        chi = pi lambda df k^2 - pi/2 Cs lambda^3 k^4 + phase shift + asin(amplitude contrast)
        (Rohou & Grigorieff 2015, eq. 2-4; envelopes: Kirkland 2010, ch. 3; B: exp(-B k^2 / 4)).
        float32, computed in float64: chi reaches hundreds of radians.
    """

    def field(value: Parameter) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64, device=device)[..., None, None]

    ky, kx = frequency_axes(shape, pixel_size_a, device, torch.float64)
    k2 = ky**2 + kx**2
    wavelength = wavelength_a(optics.voltage_kv)
    cs_a = 1e7 * optics.cs_mm
    angle = torch.atan2(ky, kx) - torch.deg2rad(field(optics.astigmatism_angle_deg))
    astigmatism_a = 1e4 * field(optics.astigmatism_um)
    defocus_a = 1e4 * field(optics.defocus_um) + 0.5 * astigmatism_a * torch.cos(2 * angle)
    chi = (
        math.pi * wavelength * defocus_a * k2
        - 0.5 * math.pi * cs_a * wavelength**3 * k2**2
        + torch.deg2rad(field(optics.phase_shift_deg))
        + torch.asin(field(optics.amplitude_contrast))
    )
    spread_a = 1e7 * optics.cc_mm * field(optics.energy_spread_ev) / (1e3 * optics.voltage_kv)
    semi_angle = 1e-3 * field(optics.semi_angle_mrad)
    gradient = (cs_a * wavelength**2 * k2 - defocus_a) * torch.sqrt(k2)
    exponent = (
        (math.pi * wavelength * spread_a * k2) ** 2 / (16 * math.log(2))
        + (math.pi * semi_angle * gradient) ** 2 / math.log(2)
        + 0.25 * field(optics.b_factor_a2) * k2
    )
    return (torch.sin(chi) * torch.exp(-exponent)).float()
