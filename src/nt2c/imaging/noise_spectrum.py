"""Spectrum of the noise of one micrograph, measured between and under its particles.

A denoiser has to know which noise it faces: at low frequency film, ice and particles look alike.
The power in many small windows tells them apart: noise is everywhere, so that the weaker windows
show it, while particles come on top in some. From it come the micrograph with white noise (a second
input of the network) and a short description (its condition).
"""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

WINDOW_PX = 64
# Limits of the rings in cycles per window; the last one ends at Nyquist.
_EDGES = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 24.0, 28.0, 32.5)
RINGS = len(_EDGES) - 1
CONDITION = 3 * RINGS
"""Length of `NoiseSpectrum.condition`."""

_FINE = 6  # first ring of less than 40 A
_LEAST_FINE = 0.05
_QUIET = 0.25  # quantile of the windows that stands for noise alone
_FLOOR = 3e-3  # of the mean power: rings that a filter has emptied
_SHRINK = 16.0  # an anisotropy counts where it is far above what chance gives in so many windows
_WHITE_WINDOWS = 4096


@dataclass(frozen=True)
class NoiseSpectrum:
    """Noise of micrographs (batch) at one pixel size.

    Attributes
    ----------
    power : Tensor, shape (batch, WINDOW_PX, WINDOW_PX // 2 + 1)
        Power on the half plane of `torch.fft.rfft2`; white noise of variance v has v everywhere.
    condition : Tensor, shape (batch, CONDITION)
        Of each ring of frequency: logarithm of the noise power, of the mean power over the noise
        power, and of the spread of the windows over what chance gives.
    """

    power: Tensor
    condition: Tensor

    @property
    def variance(self) -> Tensor:
        """Variance (batch, 1, 1) of white noise that is as strong, where hardly any signal is.

        Mean power of the fine rings, but no less than a part of that of all.
        """
        weight = _ring_sizes(self.power.device)
        rings = self.condition[:, :RINGS].exp() * weight
        fine = rings[:, _FINE:].sum(-1) / weight[_FINE:].sum()
        return torch.maximum(fine, _LEAST_FINE * rings.sum(-1) / weight.sum())[:, None, None]

    def whiten(self, image: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y x"]:
        """Divide the transform by the amplitude of the noise: it becomes white, of variance 1.

        The image is continued by itself beyond its borders.
        """
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
        return torch.fft.irfft2(torch.fft.rfft2(image) * (-0.5 * gain).exp(), s=(height, width))


def measure_noise(image: Float[Tensor, "batch y x"], *, together: bool = False) -> NoiseSpectrum:
    """Measure the spectrum of the noise of each micrograph.

    In half overlapping windows (Hann) the power of each ring is taken; the lower quartile over the
    windows, over that of white noise, is the noise. Directions that stand out in the quieter half
    of the windows (lines of a camera) belong to it.

    Parameters
    ----------
    image : Tensor
        Micrographs (batch, y, x) less their slow background, at the working pixel size; those
        smaller than two windows are continued by their mirror image.
    together : bool
        They have the same noise: one spectrum is measured, for all of them.
    """
    periodograms = _periodograms(image)  # (batch, windows, y, h)
    if together:
        periodograms = periodograms.flatten(0, 1)[None]
    count = periodograms.shape[1]
    rings = _ring_means(periodograms)  # (batch, windows, rings)
    low, high = torch.quantile(rings, torch.tensor([_QUIET, 0.75], device=image.device), dim=1)
    white_low, white_spread = (v.to(image.device) for v in _white())
    mean = rings.mean(1)
    floor = _FLOOR * (mean * _ring_sizes(image.device)).sum(-1, keepdim=True)
    floor = floor / _ring_sizes(image.device).sum() + 1e-12
    noise = torch.maximum(low / white_low, floor)
    mean, high = torch.maximum(mean, floor), torch.maximum(high, floor)
    spread = (high / torch.maximum(low, floor)).log() - white_spread
    condition = torch.cat([noise.log(), (mean / noise).log(), spread], -1)

    level = _on_plane(noise.log())
    order = (rings / rings.mean(1, keepdim=True).clamp(min=1e-12)).mean(-1).argsort(1)
    quiet = order[:, : max(1, (count + 1) // 2)]
    half = torch.take_along_dim(periodograms, quiet[..., None, None], 1).mean(1)
    ring = _on_plane(torch.maximum(_ring_means(half[:, None])[:, 0], floor).log())
    stands_out = (half.clamp(min=1e-12).log() - ring).clamp(min=0)
    # Of n windows the logarithm of a mean power has a standard deviation of about 1 / sqrt(n).
    chance = _SHRINK / max(1, quiet.shape[1])
    stands_out = stands_out * stands_out.square() / (stands_out.square() + chance)
    return NoiseSpectrum((level + stands_out).exp(), condition)


def _periodograms(image: Tensor) -> Tensor:
    """Power in half overlapping windows (batch, windows, y, h): 1 for white noise of variance 1."""
    for dim in (-2, -1):
        while image.shape[dim] < 2 * WINDOW_PX:
            image = torch.cat([image, image.flip(dim)], dim)
    windows = image.unfold(-2, WINDOW_PX, WINDOW_PX // 2).unfold(-2, WINDOW_PX, WINDOW_PX // 2)
    windows = windows.flatten(1, 2)
    hann = torch.hann_window(WINDOW_PX, device=image.device)
    taper = hann[:, None] * hann
    taper = taper / taper.square().sum().sqrt()
    windows = windows - windows.mean((-2, -1), keepdim=True)
    return torch.fft.rfft2(windows * taper).abs().square()


@cache
def _ring_matrix() -> Tensor:
    """Weights (plane, rings) whose product with a flat half plane is the mean of each ring."""
    ky = torch.fft.fftfreq(WINDOW_PX, 1 / WINDOW_PX)[:, None]
    kx = torch.fft.rfftfreq(WINDOW_PX, 1 / WINDOW_PX)[None]
    radius = torch.hypot(ky, kx)
    edges = torch.tensor(_EDGES)
    weight = torch.full_like(radius, 2.0)
    weight[:, [0, -1]] = 1
    inside = [(radius >= a) & (radius < b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return torch.stack([(weight * part).flatten() for part in inside], -1)


def _ring_sizes(device: torch.device) -> Tensor:
    return _ring_matrix().sum(0).to(device)


def _ring_means(power: Tensor) -> Tensor:
    """Mean of (..., y, h) over each ring: (..., rings)."""
    matrix = _ring_matrix().to(power.device)
    return power.flatten(-2) @ matrix / matrix.sum(0)


@cache
def _interpolation() -> Tensor:
    """Weights (rings, plane) that spread values of rings linearly over a half plane."""
    ky = torch.fft.fftfreq(WINDOW_PX, 1 / WINDOW_PX)[:, None]
    kx = torch.fft.rfftfreq(WINDOW_PX, 1 / WINDOW_PX)[None]
    radius = torch.hypot(ky, kx).flatten()
    edges = torch.tensor(_EDGES)
    centres = (edges[1:] + edges[:-1]) / 2
    right = torch.searchsorted(centres, radius).clamp(1, RINGS - 1)
    share = ((radius - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)
    plane = torch.arange(len(radius))
    weights = torch.zeros(RINGS, len(radius))
    weights[right - 1, plane] = 1 - share
    weights[right, plane] += share
    return weights


def _on_plane(rings: Tensor) -> Tensor:
    """Values of rings (batch, rings) on the half plane (batch, y, h)."""
    plane = rings @ _interpolation().to(rings.device)
    return plane.unflatten(-1, (WINDOW_PX, WINDOW_PX // 2 + 1))


@cache
def _white() -> tuple[Tensor, Tensor]:
    """Lower quartile of the rings' powers in white noise, and log ratio of the quartiles."""
    generator = torch.Generator().manual_seed(1)
    side = WINDOW_PX // 2 * (round(_WHITE_WINDOWS**0.5) + 1)
    rings = _ring_means(_periodograms(torch.randn(1, side, side, generator=generator)))[0]
    low, high = torch.quantile(rings, torch.tensor([_QUIET, 0.75]), dim=0)
    return low, (high / low).log()
