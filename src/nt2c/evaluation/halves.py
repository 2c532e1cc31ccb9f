"""Bias and left-over noise of a denoiser, split with two noise-independent halves."""

from dataclasses import dataclass

import numpy as np

from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.pairs import pair_score, pooled_fraction
from nt2c.evaluation.spectral import Image, centred
from nt2c.evaluation.truth import FrcCurve, frc

_LEVEL = 0.143


@dataclass(frozen=True)
class HalvesScore:
    """Split of a denoiser's mean squared error on one half, in squared grey levels.

    Attributes
    ----------
    signal : float
        Signal power, cov(Re, Ro).
    noise_left : float
        Variance that comes from the noise of the half, var(De) - cov(De, Do).
    bias : float
        Power of (expected output - signal), cov(De, Do) + cov(Re, Ro) - 2 cov(De, Ro).
    """

    signal: float
    noise_left: float
    bias: float

    @property
    def error(self) -> float:
        """Mean squared error against the signal: bias + left-over noise."""
        return self.bias + self.noise_left


@dataclass(frozen=True)
class CrossedScore:
    """How much of the signal a denoised half holds, judged by the other raw half.

    Attributes
    ----------
    fraction : float
        Share of the signal that is recovered, as `PairScore.fraction`.
    frc_raw_a : float or None
        Finest resolution in angstrom at which the two raw halves correlate over 0.143.
    frc_crossed_a : float or None
        The same for a denoised half and the raw half that it was not made from. It is that of the
        raw halves for every filter with a gain for each ring.
    """

    fraction: float
    frc_raw_a: float | None
    frc_crossed_a: float | None


def crossed_score(
    raw_even: Image,
    raw_odd: Image,
    denoised_even: Image,
    denoised_odd: Image,
    *,
    pixel_size_a: float,
) -> CrossedScore:
    """Judge each denoised half by the raw half that it was not made from; both orders count.

    The halves are those of `halves_score`.

    Raises
    ------
    InputError
        Shapes differ or are too small, values are not finite, or no noise can be estimated.
    """
    orders = ((denoised_even, raw_odd, raw_even), (denoised_odd, raw_even, raw_odd))
    scores = [pair_score(*images, pixel_size_a=pixel_size_a) for images in orders]
    even, odd = (frc(denoised, other, pixel_size_a) for denoised, other, _ in orders)
    crossed = FrcCurve(even.frequency, (even.correlation + odd.correlation) / 2)
    return CrossedScore(
        fraction=pooled_fraction(scores),
        frc_raw_a=frc(raw_even, raw_odd, pixel_size_a).resolution_a(_LEVEL),
        frc_crossed_a=crossed.resolution_a(_LEVEL),
    )


def halves_score(
    raw_even: Image, raw_odd: Image, denoised_even: Image, denoised_odd: Image
) -> HalvesScore:
    """Split the error of a denoiser that was applied to both halves alike.

    Both orders of the halves are averaged. A half-exposure has more noise than the micrograph, so
    the result describes the denoiser on half the dose.

    Parameters
    ----------
    raw_even, raw_odd : array, shape (y, x)
        Two halves with the same signal on the same grey scale and independent noise.
    denoised_even, denoised_odd : array, shape (y, x)
        The halves, denoised separately, on the grey scale of the raw ones.

    Raises
    ------
    InputError
        If shapes differ or values are not finite.

    References
    ----------
    Palovcak et al., IUCrJ 7, 1142 (2020).
    """
    same_shape(
        raw_even=raw_even,
        raw_odd=raw_odd,
        denoised_even=denoised_even,
        denoised_odd=denoised_odd,
    )
    signal = _covariance(raw_even, raw_odd)
    shared = _covariance(denoised_even, denoised_odd)
    variance = _mean(
        _covariance(denoised_even, denoised_even), _covariance(denoised_odd, denoised_odd)
    )
    crossed = _mean(_covariance(denoised_even, raw_odd), _covariance(denoised_odd, raw_even))
    return HalvesScore(
        signal=signal, noise_left=variance - shared, bias=shared + signal - 2 * crossed
    )


def _covariance(a: Image, b: Image) -> float:
    return float(np.mean(centred(a) * centred(b)))


def _mean(a: float, b: float) -> float:
    return (a + b) / 2
