"""Cheap figures of a noise synthesizer in training, and the linear filter that ends it."""

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.convolution import convolve, transfer_kernel
from nt2c.models.synthesizer import Generator
from nt2c.noise.features import band_levels, local_log_variance, projections, random_filters
from nt2c.noise.spectra import power_spectra

_LARGEST_CORRECTION = 4.0
_SMALLEST_POWER = 1e-6  # of the mean
_PIXELS_AT_ONCE = 1 << 17
_STEPS = 3  # of the correction
_BLOCKS_PX = (4, 12)
_LEVELS = 199


def make_fields(
    network: Generator, size: int, count: int, random: torch.Generator
) -> Float[Tensor, "n y x"]:
    """Uncorrected fields that hold 3 x 3 windows of `size`, 2 x 2 after the correction."""
    side = 3 * size - 2
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    fields = []
    with torch.no_grad():
        for first in range(0, count, at_once):
            maps = network.draw(min(at_once, count - first), (side, side), random)
            fields.append(network(maps)[:, 0])
    return torch.cat(fields)


def cut(fields: Float[Tensor, "n y x"], size: int) -> Float[Tensor, "m s s"]:
    """Windows of `size` that tile the fields, as many as fit."""
    windows = fields.unfold(1, size, size).unfold(2, size, size)
    return windows.reshape(-1, size, size)


def correction_kernel(
    fields: Float[Tensor, "n y x"], power: Float[Tensor, "s h"]
) -> Float[Tensor, "k k"]:
    """Linear filter that gives the fields the power spectrum wanted, and variance 1.

    Its transfer function is the root of the quotient of the two spectra, which a window blurs
    alike. Since what it blurs is not the quotient, further steps take what the first has left.

    Parameters
    ----------
    fields : Tensor
        From `make_fields`, with mean 0.
    power : Tensor
        Mean of `noise.spectra.power_spectra` over the real windows, of side s.

    Returns
    -------
    Tensor
        Kernel of side k = s - 1, or s if that is odd.
    """
    size, limit = power.shape[-2], _LARGEST_CORRECTION
    side = size - 1 + size % 2
    floor = _SMALLEST_POWER * power.mean()
    gain, kernel = torch.ones_like(power), torch.ones_like(power[:1, :1])
    for _ in range(_STEPS):
        made = power_spectra(corrected_windows(fields, kernel, size)).mean(0)
        gain = (gain * ((power + floor) / (made + floor)).sqrt()).clamp(1 / limit, limit)
        kernel = transfer_kernel(gain, side)
    return kernel / corrected_windows(fields, kernel, size).std()


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
