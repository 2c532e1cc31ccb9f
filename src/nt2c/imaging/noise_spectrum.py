"""Spectrum of the noise of one micrograph, measured between and under its particles.

A denoiser has to know which noise it faces: at low frequency film, ice and particles look alike.
The power in many small windows tells them apart: noise is everywhere, so that the weaker windows
show it, while particles come on top in some. From it come the micrograph with white noise (a second
input of the network) and a short description (its condition).
"""

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nt2c.imaging.fourier import Rings, frequency_grid
from nt2c.imaging.quantiles import quantiles

_FLOOR = 3e-3  # of the mean power: rings that a filter has emptied
_SHRINK = 16.0  # an anisotropy counts where it is far above what chance gives in so many windows
_FINE_PER_PX = 0.3  # cycles per pixel: beyond, hardly any signal is (13 A at 4 A per pixel)
_LEAST_FINE = 0.05
_WHITE_WINDOWS = 4096
_MARGIN_PX = 32  # what has been filtered is periodic; a micrograph is not


@dataclass(frozen=True, eq=False)
class _Windows:
    """Half overlapping windows (Hann) of one size, their rings and quantiles.

    `edges` are the limits of the rings in cycles per window; the last one ends at Nyquist. Of the
    `quantiles` over the windows the one at `quiet` stands for noise alone.
    """

    size_px: int
    edges: tuple[float, ...]
    quantiles: tuple[float, ...]
    quiet: int

    @property
    def rings(self) -> int:
        return len(self.edges) - 1

    def periodograms(self, image: Tensor) -> Tensor:
        """Power (batch, windows, y, h): 1 for white noise of variance 1."""
        return self.transforms(image).abs().square()

    def transforms(self, image: Tensor) -> Tensor:
        """Fourier transforms (batch, windows, y, h) whose squares are the power."""
        side = self.size_px
        for dim in (-2, -1):
            while image.shape[dim] < 2 * side:
                image = torch.cat([image, image.flip(dim)], dim)
        windows = image.unfold(-2, side, side // 2).unfold(-2, side, side // 2).flatten(1, 2)
        hann = torch.hann_window(side, device=image.device)
        taper = hann[:, None] * hann
        taper = taper / taper.square().sum().sqrt()
        windows = windows - windows.mean((-2, -1), keepdim=True)
        return torch.fft.rfft2(windows * taper)

    @cached_property
    def _matrix(self) -> Tensor:
        """Weights (plane, rings) whose product with a flat half plane is the sum of each ring."""
        return Rings.between(self.size_px, self.edges).matrix

    @cached_property
    def sizes(self) -> Tensor:
        """Coefficients of each ring."""
        return self._matrix.sum(0)

    @cached_property
    def centres(self) -> Tensor:
        """Frequency of each ring in cycles per pixel."""
        edges = torch.tensor(self.edges)
        return (edges[1:] + edges[:-1]) / (2 * self.size_px)

    def ring_means(self, power: Tensor) -> Tensor:
        """Mean of (..., y, h) over each ring: (..., rings)."""
        matrix = self._matrix.to(power.device)
        return power.flatten(-2) @ matrix / matrix.sum(0)

    def on_plane(self, rings: Tensor) -> Tensor:
        """Values of rings (batch, rings), interpolated on the half plane (batch, y, h)."""
        radius = frequency_grid((self.size_px, self.size_px), 1 / self.size_px) / self.size_px
        weights = _interpolation(self.centres, radius.flatten())
        return (rings @ weights.to(rings.device)).unflatten(-1, tuple(radius.shape))

    @cached_property
    def white(self) -> Tensor:
        """Quantiles (quantiles, rings) of the rings' powers in white noise."""
        generator = torch.Generator().manual_seed(1)
        side = self.size_px // 2 * (round(_WHITE_WINDOWS**0.5) + 1)
        rings = self.ring_means(self.periodograms(torch.randn(1, side, side, generator=generator)))
        return quantiles(rings[0].T, *self.quantiles)

    def levels(self, rings: Tensor) -> Tensor:
        """Quantiles (batch, quantiles, rings) of ring powers, over those of white noise."""
        found = quantiles(rings.transpose(1, 2), *self.quantiles).movedim(0, 1)
        return found / self.white.to(rings.device)


@cache
def _coarse() -> _Windows:
    """Wide windows: they resolve low frequencies."""
    edges = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 24.0, 28.0, 32.5)
    return _Windows(64, edges, (0.25,), 0)


@cache
def _small() -> _Windows:
    """Small windows: some of them lie between particles even where these are crowded."""
    edges = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 11.0, 13.5, 16.25)
    return _Windows(32, edges, (0.02, 0.1, 0.5, 0.9, 0.98), 1)


WINDOW_PX = 64
CONDITION = 15 + 5 * 10
"""Length of `NoiseSpectrum.condition`."""


def _interpolation(centres: Tensor, at: Tensor) -> Tensor:
    """Weights (n, m) that interpolate values at n `centres` linearly to m places."""
    right = torch.searchsorted(centres, at).clamp(1, len(centres) - 1)
    share = ((at - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)
    places = torch.arange(len(at))
    weights = torch.zeros(len(centres), len(at))
    weights[right - 1, places] = 1 - share
    weights[right, places] += share
    return weights


@dataclass(frozen=True)
class NoiseSpectrum:
    """Noise of micrographs (batch) at one pixel size.

    Attributes
    ----------
    power : Tensor, shape (batch, WINDOW_PX, WINDOW_PX // 2 + 1)
        Power on the half plane of `torch.fft.rfft2`; white noise of variance v has v everywhere.
    rings : Tensor, shape (batch, rings)
        The same, averaged over rings of frequency.
    condition : Tensor, shape (batch, CONDITION)
        Logarithms of the noise power of each ring in wide windows, and in small ones; and how far
        four other quantiles over the small windows are from it, over what chance gives.
    """

    power: Tensor
    rings: Tensor
    condition: Tensor

    @property
    def variance(self) -> Tensor:
        """Variance (batch, 1, 1) of white noise that is as strong, where hardly any signal is.

        Mean power of the fine rings, but no less than a part of that of all.
        """
        weight = _coarse().sizes.to(self.rings.device)
        fine = (_coarse().centres > _FINE_PER_PX).to(self.rings.device)
        total = self.rings * weight
        mean = total[:, fine].sum(-1) / weight[fine].sum()
        return torch.maximum(mean, _LEAST_FINE * total.sum(-1) / weight.sum())[:, None, None]

    def between(self, low: float, high: float) -> float:
        """Mean noise power of the first image between two frequencies in cycles per pixel."""
        centres = _coarse().centres
        inside = (centres > low) & (centres < high)
        return float(self.rings[0].cpu()[inside].mean())

    def times(self, gain: Float[Tensor, "batch rings"]) -> "NoiseSpectrum":
        """Return noise of another power: `power` and `rings` times a gain in each ring.

        The condition stays, which is what a network is told.
        """
        plane = _coarse().on_plane(gain.clamp(min=1e-6).log()).exp()
        return NoiseSpectrum(self.power * plane, self.rings * gain, self.condition)

    def detailed(self, image: Float[Tensor, "batch y x"]) -> "NoiseSpectrum":
        """Return noise of the same `rings`, with all else that the spectrum of the image shows.

        Directions, and frequencies beyond those of the rings (the corners of the plane), where
        there is hardly any signal.
        """
        power = _coarse().periodograms(image).mean(1)
        rings = _coarse().ring_means(power)
        power[:, 0, 0] = rings[:, 0]  # windows lose their mean
        floor = _FLOOR * rings.mean(-1, keepdim=True)[..., None]
        return NoiseSpectrum(torch.maximum(power, floor), rings, self.condition).times(
            self.rings / rings.clamp(min=1e-12)
        )

    def whiten(self, image: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y x"]:
        """Divide the transform by the amplitude of the noise: it becomes white, of variance 1.

        The image is continued by itself beyond its borders.
        """
        return self._filtered(image, -0.5)

    def colour(self, white: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y x"]:
        """Give white noise of variance 1 this spectrum: the inverse of `whiten`."""
        return self._filtered(white, 0.5)

    def draw(
        self, shape: tuple[int, int], generator: torch.Generator
    ) -> Float[Tensor, "batch y x"]:
        """Draw Gaussian noise with this spectrum, one field (y, x) for each.

        The same on every device that the spectrum may be on, as far as the generator's is the same.
        """
        large = (len(self.power), shape[0] + 2 * _MARGIN_PX, shape[1] + 2 * _MARGIN_PX)
        white = torch.randn(large, generator=generator, device=generator.device)
        inner = slice(_MARGIN_PX, -_MARGIN_PX)
        return self.colour(white.to(self.power.device))[:, inner, inner]

    def _filtered(self, image: Tensor, exponent: float) -> Tensor:
        """Multiply the transform by the power of the noise to an exponent."""
        height, width = image.shape[-2:]
        gain = self.power.clamp(min=1e-12).log()
        # From the rows of an FFT to increasing frequency, with the Nyquist row at both ends.
        gain = torch.cat([gain[:, WINDOW_PX // 2 :], gain[:, : WINDOW_PX // 2 + 1]], 1)
        device = image.device
        ky = torch.fft.fftfreq(height, device=device) * 2  # -1 to 1 between the Nyquist rows
        kx = torch.fft.rfftfreq(width, device=device) * 4 - 1  # -1 to 1 from 0 to Nyquist
        grid = torch.stack(torch.broadcast_tensors(kx[None, :], ky[:, None]), -1)
        gain = functional.grid_sample(
            gain[:, None],
            grid[None].expand(len(gain), -1, -1, -1),
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )[:, 0]
        return torch.fft.irfft2(torch.fft.rfft2(image) * (exponent * gain).exp(), s=(height, width))


def ring_covariance(
    one: Float[Tensor, "batch y x"], other: Float[Tensor, "batch y x"]
) -> Float[Tensor, "batch rings"]:
    """Mean cross power of two images in the rings of `NoiseSpectrum.rings`; power if they are one.

    Over all windows, quiet or not; 1 for white noise of variance 1 with itself.
    """
    product = _coarse().transforms(one) * _coarse().transforms(other).conj()
    return _coarse().ring_means(product.real).mean(1)


def measure_noise(image: Float[Tensor, "batch y x"], *, together: bool = False) -> NoiseSpectrum:
    """Measure the spectrum of the noise of each micrograph.

    In half overlapping windows (Hann) of two sizes the power of each ring is taken; a low quantile
    over the windows, over that of white noise, is the noise: the lower of the two sizes. Directions
    that stand out in the quieter half of the windows (lines of a camera) belong to it.

    Parameters
    ----------
    image : Tensor
        Micrographs (batch, y, x) less their slow background, at the working pixel size; those
        smaller than two windows are continued by their mirror image.
    together : bool
        They have the same noise: one spectrum is measured, for all of them.
    """
    coarse, small = _coarse(), _small()
    wide, narrow = coarse.periodograms(image), small.periodograms(image)
    if together:
        wide, narrow = wide.flatten(0, 1)[None], narrow.flatten(0, 1)[None]
    rings = coarse.ring_means(wide)
    weight = coarse.sizes.to(image.device)
    floor = _FLOOR * (rings.mean(1) * weight).sum(-1, keepdim=True) / weight.sum() + 1e-12
    low = torch.maximum(coarse.levels(rings)[:, 0], floor).log()
    levels = torch.maximum(small.levels(small.ring_means(narrow)), floor[:, None]).log()
    quiet = levels[:, small.quiet]
    others = [i for i in range(len(small.quantiles)) if i != small.quiet]
    condition = torch.cat([low, quiet, (levels[:, others] - quiet[:, None]).flatten(1)], -1)
    between = _interpolation(small.centres, coarse.centres).to(image.device)
    # The slowest ring of small windows loses a part of a steep spectrum with their mean.
    resolved = (coarse.centres > 1.5 / small.size_px).to(image.device)
    noise = torch.where(resolved, torch.minimum(low, quiet @ between), low)
    power = (coarse.on_plane(noise) + _stands_out(wide, rings, floor)).exp()
    return NoiseSpectrum(power, noise.exp(), condition)


def _stands_out(periodograms: Tensor, rings: Tensor, floor: Tensor) -> Tensor:
    """Logarithm of the power (batch, y, h) over that of its ring, where chance does not give it."""
    order = (rings / rings.mean(1, keepdim=True).clamp(min=1e-12)).mean(-1).argsort(1)
    quiet = order[:, : max(1, (rings.shape[1] + 1) // 2)]
    half = torch.take_along_dim(periodograms, quiet[..., None, None], 1).mean(1)
    ring = torch.maximum(_coarse().ring_means(half), floor).log()
    excess = (half.clamp(min=1e-12).log() - _coarse().on_plane(ring)).clamp(min=0)
    # Of n windows the logarithm of a mean power has a standard deviation of about 1 / sqrt(n).
    return excess * excess.square() / (excess.square() + _SHRINK / max(1, quiet.shape[1]))
