"""Robust, invertible grey scale: outliers, slow background and noise level of one micrograph."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import frequency_grid, gaussian_lowpass

BACKGROUND_SIGMA_A = 200.0
OUTLIER_SIGMA = 8.0
_NOISE_BAND = (0.6, 0.95)  # fractions of Nyquist: hardly any signal at an SNR below 0.1
_SAMPLE = 1 << 18


def outlier_limits(image: Float[Tensor, "... y x"]) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest credible grey value and the median of each image, (..., 1, 1).

    The limits lie `OUTLIER_SIGMA` robust standard deviations from the median. The spread is
    measured between quantiles, so that neither outliers nor the coarse steps of counting data
    upset it.
    """
    flat = image.flatten(-2)
    step = max(1, flat.shape[-1] // _SAMPLE) | 1  # odd: not always the same columns
    levels = torch.tensor([0.01, 0.5, 0.99], device=image.device)
    low, middle, high = torch.quantile(flat[..., ::step].float(), levels, dim=-1)[..., None, None]
    # The 1 % and 99 % quantiles of a normal distribution lie 2.326 standard deviations out.
    reach = OUTLIER_SIGMA / 2.326
    return middle - reach * (middle - low), middle + reach * (high - middle), middle


def clip_outliers(image: Float[Tensor, "... y x"]) -> Float[Tensor, "... y x"]:
    """Clip hot pixels and x-rays to the `outlier_limits` of each image."""
    low, high, _ = outlier_limits(image)
    return torch.clamp(image, low, high)


def _noise_sigma(image: Tensor, pixel_size_a: float, nyquist_a: float) -> Tensor:
    """Standard deviation of white noise with the power of `image` in the upper noise band."""
    k = frequency_grid((image.shape[-2], image.shape[-1]), pixel_size_a, image.device)
    fraction = k * nyquist_a
    band = (fraction > _NOISE_BAND[0]) & (fraction < _NOISE_BAND[1])
    spectrum = torch.fft.rfft2(image)
    # The median over frequencies ignores Bragg spots; |F|^2 is exponential: median = ln 2 * mean.
    power = spectrum.abs().square()[..., band].median(-1).values / 0.6931472
    return torch.sqrt(power / (image.shape[-2] * image.shape[-1]))


@dataclass(frozen=True)
class Scaling:
    """Affine map between grey values and units of the noise: noise has variance 1.

    `background` is the slow part (..., y, x), `offset` its mean and `sigma` the noise standard
    deviation (..., 1, 1), all at the working pixel size and in grey values of the file.
    """

    background: Tensor
    offset: Tensor
    sigma: Tensor

    def apply(self, image: Float[Tensor, "... y x"]) -> Float[Tensor, "... y x"]:
        """Subtract the background and divide by the noise level."""
        return (image - self.background) / self.sigma

    def invert(
        self, scaled: Float[Tensor, "... y x"], *, background: bool
    ) -> Float[Tensor, "... y x"]:
        """Return to grey values; on request with the slow background, else on its mean."""
        return scaled * self.sigma + (self.background if background else self.offset)


def slow_background(
    image: Float[Tensor, "... y x"], pixel_size_a: float
) -> Float[Tensor, "... y x"]:
    """Part of an image that varies over more than about 1000 A (Gaussian of 200 A)."""
    return gaussian_lowpass(image, BACKGROUND_SIGMA_A / pixel_size_a)


def fit_scaling(
    image: Float[Tensor, "... y x"], pixel_size_a: float, nyquist_a: float | None = None
) -> Scaling:
    """Measure the scaling of a micrograph (once, on the whole of it).

    Parameters
    ----------
    image : Tensor
        Micrograph(s) at the working pixel size, outliers clipped, axes (..., y, x).
    pixel_size_a : float
        Working pixel size in angstrom.
    nyquist_a : float, optional
        Finest resolution that the image holds in angstrom, if coarser than twice the pixel
        size (an up-sampled image).

    Returns
    -------
    Scaling
        `sigma` is 0 where the image holds no noise at all.
    """
    background = slow_background(image, pixel_size_a)
    offset = image.mean((-2, -1), keepdim=True)
    sigma = _noise_sigma(image - background, pixel_size_a, max(nyquist_a or 0.0, 2 * pixel_size_a))
    return Scaling(background, offset, sigma[..., None, None])
