"""Metrics of a denoised micrograph against its noiseless truth.

Images are arrays (y, x) on one grid, of any real type. `InputError` is raised where they differ in
shape, hold NaN or infinity, or the truth is constant.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from nt2c.core.errors import InputError
from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.spectral import Float64, Image, centred, tapered
from nt2c.imaging.fourier import Rings

SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5
SMOOTHED_RINGS = 5
_SLOW_A = 300.0
_BEYOND_BAND = 1e-5


@dataclass(frozen=True)
class Match:
    """Least-squares affine match `gain * image + offset` of an image to a truth."""

    gain: float
    offset: float

    def apply(self, image: Image) -> Float64:
        """Return `gain * image + offset`."""
        return self.gain * np.asarray(image, np.float64) + self.offset


@dataclass(frozen=True)
class FrcCurve:
    """Fourier ring correlation.

    Attributes
    ----------
    frequency : array, shape (rings,)
        Ring centres in 1/angstrom, without the zero frequency, up to Nyquist.
    correlation : array, shape (rings,)
        Correlation per ring in [-1, 1]; 0 beyond the band of either image.
    """

    frequency: Float64
    correlation: Float64

    def resolution_a(self, level: float) -> float | None:
        """Return the finest resolution down to which the curve exceeds a level.

        The curve is first averaged over 5 rings. It is where it last falls below the level, in
        angstrom, interpolated between rings; 2 pixels (Nyquist) if it does not fall below, None if
        it is above nowhere. The coarse end may lie below: background hides the signal there.
        """
        ones = np.ones(SMOOTHED_RINGS)
        rings_used = np.convolve(np.ones(self.correlation.size), ones, "same")
        smooth = np.convolve(self.correlation, ones, "same") / rings_used
        above = np.flatnonzero(smooth >= level)
        if above.size == 0:
            return None
        i = int(above[-1])
        if i == smooth.size - 1:
            return float(1 / self.frequency[i])
        step = (smooth[i] - level) / (smooth[i] - smooth[i + 1])
        return float(1 / (self.frequency[i] + step * (self.frequency[i + 1] - self.frequency[i])))


@dataclass(frozen=True)
class TruthScore:
    """All metrics of one micrograph against its truth.

    Attributes
    ----------
    correlation : float
        Pearson correlation at full size.
    psnr_db, ssim : float
        After the least-squares affine match.
    frc05_a, frc0143_a : float or None
        Finest resolutions in angstrom with an FRC over 0.5 and 0.143, see `FrcCurve`; None if it
        is over that nowhere.
    """

    correlation: float
    psnr_db: float
    ssim: float
    frc05_a: float | None
    frc0143_a: float | None


def truth_score(image: Image, truth: Image, pixel_size_a: float) -> TruthScore:
    """Judge an image of any grey scale by its truth with every metric of this module."""
    matched = affine_match(image, truth).apply(image)
    curve = frc(image, truth, pixel_size_a)
    return TruthScore(
        correlation=correlation(image, truth),
        psnr_db=psnr_db(matched, truth),
        ssim=ssim(matched, truth),
        frc05_a=curve.resolution_a(0.5),
        frc0143_a=curve.resolution_a(0.143),
    )


def correlation(image: Image, truth: Image) -> float:
    """Return the Pearson correlation of two images; 0 if one of them is constant."""
    same_shape(image=image, truth=truth)
    a, b = centred(image), centred(truth)
    power = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) / power**0.5 if power > 0 else 0.0


def affine_match(image: Image, truth: Image) -> Match:
    """Find the gain and offset that bring an image closest to the truth in least squares.

    A constant image gets gain 0 and the truth's mean as offset.
    """
    same_shape(image=image, truth=truth)
    a, b = centred(image), centred(truth)
    power = float((a * a).sum())
    gain = float((a * b).sum()) / power if power > 0 else 0.0
    return Match(gain, float(np.mean(truth, dtype=np.float64) - gain * np.mean(image, dtype=float)))


def psnr_db(image: Image, truth: Image) -> float:
    """Return the peak signal-to-noise ratio, the peak being the truth's range, in decibels.

    10 log10((max - min)^2 / mean squared error) of images of one grey scale (match them first);
    infinity for equal ones.
    """
    same_shape(image=image, truth=truth)
    difference = np.asarray(image, np.float64) - np.asarray(truth, np.float64)
    error = float(np.mean(difference**2))
    return float(10 * np.log10(_range(truth) ** 2 / error)) if error > 0 else float("inf")


def ssim(image: Image, truth: Image) -> float:
    """Return the mean structural similarity with a Gaussian window (sigma 1.5 px, 11 x 11).

    Mean over the pixels whose window lies inside images of one grey scale (match them first), at
    least 11 x 11.

    References
    ----------
    Wang et al., IEEE Trans. Image Process. 13, 600 (2004), eq. 13-15, K1 = 0.01, K2 = 0.03.
    """
    shape = same_shape(image=image, truth=truth)
    if min(shape) < 2 * SSIM_RADIUS_PX + 1:
        raise InputError(f"SSIM needs at least 11 x 11 pixels, got {shape}")
    a, b = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    mean_a, mean_b = _windowed(a), _windowed(b)
    var_a = _windowed(a * a) - mean_a**2
    var_b = _windowed(b * b) - mean_b**2
    cov = _windowed(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * _range(truth)) ** 2, (0.03 * _range(truth)) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return float(np.mean(luminance * structure))


def frc(image: Image, truth: Image, pixel_size_a: float) -> FrcCurve:
    """Return the Fourier ring correlation of two images with tapered edges.

    Rings are one Fourier pixel of the longer side wide. The correlation counts as 0 beyond the band
    of either image. The band ends where finer rings hold less than 1e-5 of the power, that of
    periods over 300 A aside: what is left there is rounding, and leakage of the coarse rings
    through the taper, which correlates.

    References
    ----------
    Saxton & Baumeister, J. Microsc. 127, 127 (1982).
    """
    shape = same_shape(image=image, truth=truth)
    rings = Rings.nearest(shape)
    frequency = np.arange(rings.count) / (max(shape) * pixel_size_a)
    a, b = np.fft.rfft2(tapered(image)), np.fft.rfft2(tapered(truth))

    def summed(values: Float64) -> Float64:
        sums: Float64 = rings.sums(torch.from_numpy(values)).numpy()
        return sums

    cross = summed((a * b.conj()).real)
    power_a, power_b = summed(np.abs(a) ** 2), summed(np.abs(b) ** 2)
    held = _band(power_a, frequency) & _band(power_b, frequency)
    curve = np.divide(cross, np.sqrt(power_a * power_b), out=np.zeros_like(cross), where=held)
    return FrcCurve(frequency[1:], curve[1:])


def _band(power: Float64, frequency: Float64) -> NDArray[np.bool_]:
    """Mark the rings that, with all finer ones, hold more than a trace of the power."""
    power = np.where(frequency < 1 / _SLOW_A, 0.0, power)
    finer = np.cumsum(power[::-1])[::-1]
    return np.asarray(finer > _BEYOND_BAND * finer[0])


def _range(truth: Image) -> float:
    value = float(truth.max()) - float(truth.min())
    if value == 0:
        raise InputError("the truth is constant: there is nothing to compare with")
    return value


def _windowed(image: Float64) -> Float64:
    inside = slice(SSIM_RADIUS_PX, -SSIM_RADIUS_PX)
    blurred: Float64 = gaussian_filter(image, SSIM_SIGMA_PX, radius=SSIM_RADIUS_PX)
    return blurred[inside, inside]
