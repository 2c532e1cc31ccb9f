"""What a report says of one micrograph in figures, measured at a coarse pixel size.

All are hints: they say how a micrograph differs from even ice with particles, not why.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from nt2c.denoising.denoiser import Prepared, prepare
from nt2c.imaging.fourier import frequency_axes, radial_power, resize
from nt2c.noise.extraction import ExtractionSettings, Survey, contrast, signal_energy
from nt2c.noise.spectra import sine_taper
from nt2c.noise.transfer import segments, tapered_power
from nt2c.picking.places import off_level

WORKING_A = 4.0
"""Pixel size in angstrom at which all but the ice ring is measured."""
SEGMENT_PX = 64
"""Side of the squares that spectra are taken from, where nothing else is said."""

ICE_A = (3.4, 4.1)
"""Period in angstrom of the rings of crystalline ice."""
_BESIDE_ICE_A = ((4.1, 4.8), (3.0, 3.4))
_ICE_SEGMENT_PX = 256
_DIRECTION_A = (20.0, 100.0)
_OFF_LEVEL = 1.0
_RIM_PX = 4

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """Figures of a micrograph.

    Attributes
    ----------
    contrast : float or None
        Evidence of signal between 20 and 200 A, as `noise.extraction.contrast`; None where
        there is nothing denoised.
    dark : float
        Share of the area that is darker than the median by over one noise standard deviation,
        after a parabola is taken off and fine detail blurred by 40 A.
    rim : float
        Share of the rim of the micrograph that is off the median by as much, either way.
    direction : float
        How much the power between 20 and 100 A depends on the direction: amplitude of its second
        harmonic, as share of the mean.
    ice_ring : float or None
        Power between 3.4 and 4.1 A over that beside it; None where the pixels are too coarse.
    raw, denoised : tuple of float
        Radial power, 1 for white noise of the micrograph's level; `denoised` may be empty.
    """

    contrast: float | None
    dark: float
    rim: float
    direction: float
    ice_ring: float | None
    raw: tuple[float, ...]
    denoised: tuple[float, ...]


def look(
    raw: Grey, denoised: Grey | None, pixel_size_a: float, segment_px: int = SEGMENT_PX
) -> Look:
    """Measure a micrograph.

    Parameters
    ----------
    raw : array, shape (y, x)
        As in the file.
    denoised : array, shape (v, u), optional
        The same field of view, on the grey scale of the raw one.
    pixel_size_a : float
        Of the raw one, angstrom.
    segment_px : int
        Side of the squares for spectra, at `WORKING_A`.

    Raises
    ------
    InputError
        The image is too small or constant.
    """
    with torch.inference_mode():
        image = torch.from_numpy(raw)
        prepared = prepare(image, pixel_size_a, WORKING_A)
        scaled = prepared.scaled
        estimate = None if denoised is None else _estimate(prepared, denoised)
        dark, rim = _off_level(prepared)
        return Look(
            contrast=None if estimate is None else _contrast(scaled, estimate),
            dark=dark,
            rim=rim,
            direction=_direction(scaled),
            ice_ring=_ice_ring(image, pixel_size_a),
            raw=_spectrum(scaled, segment_px),
            denoised=() if estimate is None else _spectrum(estimate, segment_px),
        )


def frequencies(segment_px: int = SEGMENT_PX) -> list[float]:
    """Spatial frequencies of the spectra of a `Look`, 1/angstrom."""
    blank = torch.zeros(1, segment_px, segment_px)
    return [float(value) for value in tapered_power(blank, WORKING_A)[0]]


def _estimate(prepared: Prepared, denoised: Grey) -> Float[Tensor, "y x"]:
    """Signal in units of the noise, as the model gave it."""
    rows, columns = prepared.scaled.shape
    small = resize(torch.from_numpy(denoised), (rows, columns))
    return (small - small.median()) / prepared.scaling.unit


def _contrast(scaled: Tensor, estimate: Tensor) -> float:
    energy = signal_energy(estimate, WORKING_A)
    # Only the energy counts here; a whole survey takes several times as long.
    everywhere = torch.ones_like(scaled, dtype=torch.bool)
    found = Survey(scaled, energy, everywhere, scaled, 0.5, WORKING_A)
    return contrast(found, ExtractionSettings())


def _spectrum(image: Tensor, segment_px: int) -> tuple[float, ...]:
    size = min(segment_px, *image.shape)
    power = tapered_power(segments(image, size), WORKING_A)[1] / WORKING_A**2
    return tuple(float(value) for value in power)


def _off_level(prepared: Prepared) -> tuple[float, float]:
    """Shares of the area that is dark, and of the rim that is dark or bright."""
    off = off_level(prepared.scaled, prepared.scaling, WORKING_A)
    marked = off.abs() > _OFF_LEVEL
    inner = marked[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX]
    rim = (marked.sum() - inner.sum()) / (marked.numel() - inner.numel())
    return float((off < -_OFF_LEVEL).float().mean()), float(rim)


def _direction(scaled: Float[Tensor, "y x"]) -> float:
    rows, columns = scaled.shape
    tapered = scaled * sine_taper(rows)[:, None] * sine_taper(columns)
    power = torch.fft.rfft2(tapered).abs().square()
    ky, kx = frequency_axes((rows, columns), WORKING_A)
    k = torch.hypot(ky, kx)
    band = (k > 1 / _DIRECTION_A[1]) & (k < 1 / _DIRECTION_A[0]) & (kx > 0)
    angle = torch.atan2(ky, kx).expand_as(k)[band]
    own = power[band]
    harmonic = torch.hypot((own * torch.cos(2 * angle)).sum(), (own * torch.sin(2 * angle)).sum())
    return float(2 * harmonic / own.sum())


def _ice_ring(image: Float[Tensor, "y x"], pixel_size_a: float) -> float | None:
    size = min(_ICE_SEGMENT_PX, *image.shape)
    if 2 * pixel_size_a > _BESIDE_ICE_A[1][0] or size < 64:
        return None
    squares = segments(image, size, max(size, math.ceil(max(image.shape) / 6)))
    taper = sine_taper(size)
    centred = squares - squares.mean((-2, -1), keepdim=True)
    frequency, power = radial_power(centred * taper[:, None] * taper, pixel_size_a)

    def mean(fine: float, coarse: float) -> float:
        ring = (frequency > 1 / coarse) & (frequency < 1 / fine)
        return float(power.mean(0)[ring].mean())

    inner, outer = (mean(min(limits), max(limits)) for limits in _BESIDE_ICE_A)
    return mean(*ICE_A) / math.sqrt(inner * outer)
