"""Truth-free score from a second, noise-independent exposure of the same field.

The independent copy holds the same signal and other noise, so the covariance of any image made
from the micrograph with that copy is, in expectation, its covariance with the unknown signal.
Images are arrays (y, x). `InputError` is raised where they differ in shape or are too small, values
are not finite, or no noise can be estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nt2c.core.errors import InputError
from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.spectral import (
    Float64,
    Image,
    centred,
    edge_window,
    frequencies,
    highpass,
    tapered,
)
from nt2c.imaging.fourier import half_plane_weights

HIGHPASS_A = 300.0
"""Slower variations than this period are background and not judged."""
CROP_PX = 24
"""Border left out, where the high-pass wraps around."""
BANDS_A: tuple[tuple[float, float], ...] = (
    (300, 100), (100, 60), (60, 50), (50, 40), (40, 30), (30, 25), (25, 20), (20, 15),
)  # fmt: skip
"""Resolution bands in angstrom, coarse and fine limit."""


@dataclass(frozen=True)
class PairScore:
    """How much of the signal a denoised field holds, judged by an independent exposure.

    Attributes
    ----------
    recovered : float
        cov(D, f) |cov(D, f)| / var(D) / noise variance: corr(D, signal)^2 x signal power.
    signal : float
        cov(micrograph, f) / noise variance: the whole signal power.
    recovered_sd : float
        Standard deviation of `recovered` that the noise of f alone causes (f's noise white).
    """

    recovered: float
    signal: float
    recovered_sd: float

    @property
    def fraction(self) -> float:
        """Recovered part of the signal, an estimate of corr(D, signal)^2."""
        return self.recovered / self.signal


@dataclass(frozen=True)
class BandScore:
    """Recovered signal within one resolution band, in the units of `PairScore`."""

    coarse_a: float
    fine_a: float
    recovered: float
    signal: float

    @property
    def fraction(self) -> float:
        """Recovered part of the band's signal."""
        return self.recovered / self.signal


def pair_score(
    denoised: Image,
    independent: Image,
    micrograph: Image,
    *,
    pixel_size_a: float,
    noise_sd: float | None = None,
) -> PairScore:
    """Judge a denoised field by an independent exposure of it.

    Parameters
    ----------
    denoised : array, shape (y, x)
        Denoised micrograph; its gain and offset do not matter.
    independent : array, shape (y, x)
        The other exposure: same grid, same grey scale of the signal, independent noise.
    micrograph : array, shape (y, x)
        The raw micrograph that was denoised.
    pixel_size_a : float
        Pixel size in angstrom.
    noise_sd : float, optional
        Standard deviation of the micrograph's noise in grey levels; if absent, estimated as
        sqrt(var(micrograph) - cov(micrograph, independent)) beyond the high-pass.
        It is only the unit of `recovered` and `signal`; their ratio does not depend on it.
    """
    d, f, raw, noise_variance = _compared(denoised, independent, micrograph, pixel_size_a, noise_sd)
    cov, var = float(np.mean(d * f)), float(np.mean(d * d))
    cov_sd = (var * float(np.mean(f * f)) / d.size) ** 0.5
    return PairScore(
        recovered=_recovered(cov, var) / noise_variance,
        signal=float(np.mean(raw * f)) / noise_variance,
        recovered_sd=2 * abs(cov) * cov_sd / var / noise_variance if var > 0 else 0.0,
    )


def band_scores(
    denoised: Image,
    independent: Image,
    micrograph: Image,
    *,
    pixel_size_a: float,
    noise_sd: float | None = None,
    bands_a: Sequence[tuple[float, float]] = BANDS_A,
) -> tuple[BandScore, ...]:
    """Judge a denoised field by an independent exposure, band by band.

    Parameters
    ----------
    denoised, independent, micrograph, pixel_size_a, noise_sd
        As in `pair_score`.
    bands_a : sequence of (float, float)
        Coarse and fine limit of each band in angstrom; a band beyond Nyquist is left out.

    Returns
    -------
    tuple of BandScore
        Covariances are sums over the band of the Fourier plane of the tapered, high-passed images.
    """
    d, f, raw, noise_variance = _compared(denoised, independent, micrograph, pixel_size_a, noise_sd)
    shape = (f.shape[0], f.shape[1])
    k = frequencies(f, pixel_size_a)
    weights = half_plane_weights(shape[1]).numpy() / float(np.sum(edge_window(shape) ** 2)) / f.size
    ft_d, ft_f, ft_raw = (np.fft.rfft2(tapered(x)) for x in (d, f, raw))
    scores = []
    for coarse, fine in bands_a:
        if 2 * pixel_size_a >= coarse:
            continue
        band = weights * ((k >= 1 / coarse) & (k < 1 / fine))
        cov = float(np.sum(band * (ft_d * ft_f.conj()).real))
        var = float(np.sum(band * np.abs(ft_d) ** 2))
        signal = float(np.sum(band * (ft_raw * ft_f.conj()).real))
        recovered = _recovered(cov, var)
        scores.append(BandScore(coarse, fine, recovered / noise_variance, signal / noise_variance))
    return tuple(scores)


def pooled_fraction(scores: Sequence[PairScore | BandScore]) -> float:
    """Return the recovered part of the signal of many fields (of one band): sum over sum.

    Raises
    ------
    InputError
        There are no scores.
    """
    if not scores:
        raise InputError("no field to pool: give at least one")
    return sum(s.recovered for s in scores) / sum(s.signal for s in scores)


def _compared(
    denoised: Image, independent: Image, micrograph: Image, pixel_size_a: float, sd: float | None
) -> tuple[Float64, Float64, Float64, float]:
    """The three images without background and borders, and the variance of the noise."""
    same_shape(denoised=denoised, independent=independent, micrograph=micrograph)
    d, f, raw = (_inner(x, pixel_size_a) for x in (denoised, independent, micrograph))
    return d, f, raw, _noise_variance(raw, f) if sd is None else sd**2


def _noise_variance(raw: Float64, f: Float64) -> float:
    value = float(np.mean(raw * raw) - np.mean(raw * f))
    if value <= 0:
        raise InputError(
            "the independent exposure shares the micrograph's noise or has a larger grey scale: "
            "give an exposure with independent noise on the same grey scale"
        )
    return value


def _recovered(cov: float, var: float) -> float:
    return cov * abs(cov) / var if var > 0 else 0.0


def _inner(image: Image, pixel_size_a: float) -> Float64:
    if min(image.shape) <= 2 * CROP_PX:
        raise InputError(f"image of shape {image.shape} is too small: needs over {2 * CROP_PX} px")
    inner = highpass(image, pixel_size_a, HIGHPASS_A)[CROP_PX:-CROP_PX, CROP_PX:-CROP_PX]
    return centred(inner)
