"""Cheap figures of a noise synthesizer in training, and the linear filter that ends it."""

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.convolution import convolve, transfer_kernel
from nt2c.models.synthesizer import Generator
from nt2c.noise.features import band_levels, local_log_variance, projections, random_filters
from nt2c.noise.spectra import fit_covariance

_LARGEST_CORRECTION = 4.0
_SMALLEST_POWER = 1e-6  # of the mean
_BLOCKS_PX = (4, 12)
_LEVELS = 199


def make_fields(
    network: Generator, size: int, count: int, random: torch.Generator
) -> Float[Tensor, "n y x"]:
    """Uncorrected fields that hold 2 x 2 windows of `size` after `correction_kernel` is applied."""
    side = 4 * size - 2
    with torch.no_grad():
        fields = [network(network.draw(1, (side, side), random))[:, 0] for _ in range(count)]
    return torch.cat(fields)


def cut(fields: Float[Tensor, "n y x"], size: int) -> Float[Tensor, "m s s"]:
    """Windows of `size` that tile the fields, as many as fit."""
    windows = fields.unfold(1, size, size).unfold(2, size, size)
    return windows.reshape(-1, size, size)


def correction_kernel(
    fields: Float[Tensor, "n y x"], covariance: Float[Tensor, "m m"], size: int
) -> Float[Tensor, "k k"]:
    """Linear filter that gives the fields the covariance wanted, a kernel of 2 size - 1 pixels.

    Its transfer function is the root of the quotient of the two power spectra, both measured from
    windows of `size` in the same way.
    """
    windows = cut(fields, size)
    windows = windows - windows.mean()
    made = fit_covariance(windows) * windows.square().mean()
    wanted, got = (torch.fft.rfft2(c).real.clamp(min=0) for c in (covariance, made))
    floor = _SMALLEST_POWER * wanted.mean()
    limit = _LARGEST_CORRECTION
    gain = ((wanted + floor) / (got + floor)).sqrt().clamp(1 / limit, limit)
    return transfer_kernel(gain, 2 * size - 1)


def corrected_windows(
    fields: Float[Tensor, "n y x"], kernel: Float[Tensor, "k k"], size: int
) -> Float[Tensor, "m s s"]:
    """Windows of `size` cut from the fields after the correction."""
    return cut(convolve(fields, kernel[None])[:, 0], size)


def distances(
    real: Float[Tensor, "n s s"], made: Float[Tensor, "m s s"], random: torch.Generator
) -> dict[str, float]:
    """Distances between two sets of windows, in standard deviations of the real ones.

    Each is the first Wasserstein distance between distributions of one thing: the values of patches
    along random directions (sliced Wasserstein), the logarithm of local variance in small and in
    large blocks, the logarithm of the power in four bands. `score`, the sum, chooses among
    networks; `diversity` is the variance of the bands' levels between windows over the real one.
    """
    sliced = [
        _wasserstein(a, b)
        for group in random_filters(random)
        for a, b in zip(projections(real, group), projections(made, group), strict=True)
    ]
    figures = {"distance_values": sum(sliced) / len(sliced)}
    for block in _BLOCKS_PX:
        logs = [local_log_variance(w, 32.0 / block) for w in (real, made)]
        figures[f"distance_variance_{block}px"] = _wasserstein(*logs)
    levels = [band_levels(w).reshape(-1, 4) for w in (real, made)]
    bands = [_wasserstein(a, b) for a, b in zip(*(x.unbind(1) for x in levels), strict=True)]
    figures["distance_bands"] = sum(bands) / len(bands)
    figures["score"] = sum(figures.values())
    figures["diversity"] = float(levels[1].var(0).mean() / levels[0].var(0).mean())
    return figures


def _wasserstein(real: Tensor, made: Tensor) -> float:
    ordered = [x.flatten().sort().values for x in (real, made)]
    rank = torch.linspace(0.5 / _LEVELS, 1 - 0.5 / _LEVELS, _LEVELS, device=real.device)
    a, b = (x[(rank * len(x)).long()] for x in ordered)
    return float((a - b).abs().mean() / real.std())
