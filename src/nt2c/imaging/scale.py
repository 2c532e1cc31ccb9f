"""Robust, invertible grey scale: outliers, slow background and noise level of one micrograph.

Ice of uneven thickness makes noise of uneven strength. A denoiser that expects one strength takes
the noisier places for signal; in units of the local noise they are like the others.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import frequency_grid, gaussian_lowpass
from nt2c.imaging.noise_spectrum import measure_noise
from nt2c.imaging.quantiles import quantiles

BACKGROUND_SIGMA_A = 200.0
OUTLIER_SIGMA = 8.0
NOISE_BAND = (0.6, 0.95)
"""Fractions of Nyquist where the noise is measured: hardly any signal at an SNR below 0.1."""

_LOCAL_SIGMA_A = 50.0
# Spread of the logarithm of the local noise that is not followed: chance alone gives 0.024 at 4 A
# per pixel, and strong particles up to 0.04.
_EVEN = 0.05
_LARGEST_RATIO = 2.0
_EMPTIED = 0.02  # of the power at half their frequency: fine frequencies that a filter took away
_SAMPLE = 1 << 18


def outlier_limits(image: Float[Tensor, "... y x"]) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest credible grey value and the median of each image, (..., 1, 1).

    The limits lie `OUTLIER_SIGMA` robust standard deviations from the median. The spread is
    measured between quantiles, so that neither outliers nor the coarse steps of counting data
    upset it.
    """
    low, middle, high = _levels(image, (0.01, 0.5, 0.99))
    # The 1 % and 99 % quantiles of a normal distribution lie 2.326 standard deviations out.
    reach = OUTLIER_SIGMA / 2.326
    return middle - reach * (middle - low), middle + reach * (high - middle), middle


def _levels(image: Tensor, shares: tuple[float, ...]) -> Tensor:
    """Quantiles of each image, (shares, ..., 1, 1), from a sample of its pixels."""
    flat = image.flatten(-2)
    step = max(1, flat.shape[-1] // _SAMPLE) | 1  # odd: not always the same columns
    return quantiles(flat[..., ::step].float(), *shares)[..., None, None]


def clip_outliers(image: Float[Tensor, "... y x"]) -> Float[Tensor, "... y x"]:
    """Clip hot pixels and x-rays to the `outlier_limits` of each image."""
    low, high, _ = outlier_limits(image)
    return torch.clamp(image, low, high)


def _strength(image: Tensor, pixel_size_a: float) -> Tensor:
    """Local strength (..., y, x) of the noise, of unit mean square.

    It is that of the upper noise band; 1 where a filter has emptied it.
    """
    k = frequency_grid((image.shape[-2], image.shape[-1]), pixel_size_a, image.device)
    fraction = k * 2 * pixel_size_a
    band = (fraction > NOISE_BAND[0]) & (fraction < NOISE_BAND[1])
    spectrum = torch.fft.rfft2(image)
    fine = torch.fft.irfft2(spectrum * band, s=image.shape[-2:])
    # The median over frequencies ignores Bragg spots; |F|^2 is exponential: median = ln 2 * mean.
    middle = (fraction > NOISE_BAND[0] / 2) & (fraction <= NOISE_BAND[0])
    power = [spectrum.abs().square()[..., part].median(-1).values for part in (band, middle)]
    there = (power[0] > _EMPTIED * power[1])[..., None, None]
    strength = _local_strength(fine, pixel_size_a)
    return torch.where(there, strength, torch.ones_like(strength))


def _local_strength(fine: Tensor, pixel_size_a: float) -> Tensor:
    """Local standard deviation of fine noise; 1 where it varies no more than chance explains."""
    variance = gaussian_lowpass(fine.square(), _LOCAL_SIGMA_A / pixel_size_a)
    # Sums in double precision: the result does not depend on the number of threads.
    mean = variance.mean((-2, -1), keepdim=True, dtype=torch.float64)
    ratio = variance / mean.clamp(min=1e-30).to(variance.dtype)
    reach = _LARGEST_RATIO**2
    deviation = ratio.clamp(1 / reach, reach).log() / 2
    low, middle, high = _levels(deviation, (0.16, 0.5, 0.84))
    spread = (high - low) / 2
    followed = (1 - (_EVEN / spread.clamp(min=_EVEN)).square()).clamp(min=0)
    strength = torch.exp(followed * (deviation - middle))
    square = strength.square().mean((-2, -1), keepdim=True, dtype=torch.float64)
    return strength / square.sqrt().to(strength.dtype)


@dataclass(frozen=True)
class Scaling:
    """Affine map between grey values and units of the noise: noise has variance 1.

    `background` is the slow part (..., y, x), `offset` its mean and `sigma` the noise standard
    deviation (..., 1, 1), all at the working pixel size and in grey values of the file. `strength`
    (..., y, x) is the local standard deviation of the noise as multiple of `sigma`.
    """

    background: Tensor
    offset: Tensor
    sigma: Tensor
    strength: Tensor

    @property
    def unit(self) -> Tensor:
        """Local standard deviation of the noise (..., y, x) in grey values."""
        return self.sigma * self.strength

    def apply(self, image: Float[Tensor, "... y x"]) -> Float[Tensor, "... y x"]:
        """Subtract the background and divide by the local noise level."""
        return (image - self.background) / self.unit

    def invert(
        self, scaled: Float[Tensor, "... y x"], *, background: bool
    ) -> Float[Tensor, "... y x"]:
        """Return to grey values; on request with the slow background, else on its mean."""
        return scaled * self.unit + (self.background if background else self.offset)


def slow_background(
    image: Float[Tensor, "... y x"], pixel_size_a: float
) -> Float[Tensor, "... y x"]:
    """Part of an image that varies over more than about 1000 A (Gaussian of 200 A)."""
    return gaussian_lowpass(image, BACKGROUND_SIGMA_A / pixel_size_a)


def fit_scaling(image: Float[Tensor, "... y x"], pixel_size_a: float) -> Scaling:
    """Measure the scaling of a micrograph (once, on the whole of it).

    Parameters
    ----------
    image : Tensor
        Micrograph(s) at the working pixel size, outliers clipped, axes (..., y, x).
    pixel_size_a : float
        Working pixel size in angstrom.

    Returns
    -------
    Scaling
        `sigma` is 0 where the image is constant.
    """
    background = slow_background(image, pixel_size_a)
    offset = image.mean((-2, -1), keepdim=True, dtype=torch.float64).to(image.dtype)
    strength = _strength(image - background, pixel_size_a)
    even = (image - background) / strength
    spread = even.std((-2, -1), keepdim=True)
    unit = even / spread.clamp(min=1e-30)
    variance = measure_noise(unit.reshape(-1, *image.shape[-2:])).variance
    return Scaling(background, offset, spread * variance.sqrt().reshape(spread.shape), strength)
