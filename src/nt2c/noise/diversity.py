"""Whether the draws of a sampler differ from each other as real windows do."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nt2c.noise.features import band_levels
from nt2c.noise.resampling import Measure, Resamples, bounded, measure_means, resample

_MOST_WINDOWS = 128  # all pairs of them are shifted over each other
_PAIRS_AT_ONCE = 512
_LEAST = 1e-6  # keeps divisions finite


def _different(groups: Int[Tensor, " n"] | None, count: int, device: torch.device) -> Tensor:
    """Which pairs (count, count) count: not a window with itself, nor two of one micrograph."""
    own = torch.arange(count, device=device) if groups is None else groups
    return own[:, None] != own


def _mean_distance(distance: Tensor, allowed: Tensor, weights: Tensor) -> Tensor:
    """Mean over allowed pairs of resampled windows, weights (b, n); NaN where there is no pair."""
    pairs = ((weights @ allowed.float()) * weights).sum(1)
    return ((weights @ (distance * allowed)) * weights).sum(1) / pairs


def descriptor_diversity(
    real: Float[Tensor, "n s s"],
    synthetic: Float[Tensor, "m s s"],
    groups: Int[Tensor, " n"] | None,
    resamples: Resamples,
) -> Measure:
    """Ratio of mean distances between windows, synthetic to real, in 16 descriptors of a window.

    The descriptors (`features.band_levels`) are divided by their standard deviation in the real
    windows. Below 1 the draws are too much alike (0: all the same; K equally likely ones:
    1 - 1/K), above 1 too different.
    """
    features = band_levels(real), band_levels(synthetic)
    spread = features[0].std(0).clamp(min=_LEAST)
    distances = [torch.cdist(f / spread, f / spread) for f in features]
    allowed = [
        _different(groups, len(real), real.device),
        _different(None, len(synthetic), real.device),
    ]

    def mean(which: int, weights: Tensor) -> Tensor:
        return _mean_distance(distances[which], allowed[which], weights)[:, None]

    equal = [torch.full((1, len(f)), 1 / len(f), device=real.device) for f in features]
    own = mean(0, equal[0])[0], mean(1, equal[1])[0]
    same = mean(0, resamples.same_synthetic) / mean(0, resamples.same_real)
    spread_of = mean(1, resamples.synthetic) / mean(0, resamples.real)
    return bounded(own[1] / own[0], spread_of, same, own)[0]


def nearest_distance(
    windows: Float[Tensor, "n s s"], others: Float[Tensor, "m s s"], allowed: Bool[Tensor, "n m"]
) -> Float[Tensor, " n"]:
    """Distance of each window to the most similar of the others, whatever the shift.

    1 minus the largest correlation over all cyclic shifts, after each set was made white by its
    mean spectrum: 0 for a copy, also a shifted one (a copy cut elsewhere from a larger field counts
    by the area that both show).
    """
    side = windows.shape[-1]
    first, second = (_white_spectra(w) for w in (windows, others))
    best = torch.full((len(windows),), -1.0, device=windows.device)
    for part in allowed.nonzero().split(_PAIRS_AT_ONCE):
        product = first[part[:, 0]] * second[part[:, 1]].conj()
        match = torch.fft.irfft2(product, s=(side, side)).amax((1, 2))
        best.scatter_reduce_(0, part[:, 0], match, "amax")
    return 1 - best


def _white_spectra(windows: Tensor) -> Tensor:
    """Transforms of the windows made white by their mean spectrum, each of energy 1."""
    spectra = torch.fft.rfft2(windows)
    spectra = spectra / spectra.abs().square().mean(0).sqrt().clamp(min=_LEAST)
    energy = torch.fft.irfft2(spectra, s=windows.shape[1:]).square().sum((1, 2))
    return spectra / energy.sqrt()[:, None, None]


def nearest_ratio(
    real: Float[Tensor, "n s s"],
    synthetic: Float[Tensor, "m s s"],
    groups: Int[Tensor, " n"] | None,
    generator: torch.Generator,
) -> Measure:
    """Ratio of mean distances to the nearest other window, synthetic to real (`nearest_distance`).

    Near 0 if the draws are copies of a few fields, shifted or not. At most 128 windows of each set
    are compared, equally many of both, since the nearest of more is nearer.
    """
    count = min(len(real), len(synthetic), _MOST_WINDOWS)
    device = real.device
    chosen = [
        torch.randperm(len(w), generator=generator, device=device)[:count]
        for w in (real, synthetic)
    ]
    of_chosen = None if groups is None else groups[chosen[0]]
    features = [
        nearest_distance(w, w, _different(g, count, device))[:, None]
        for w, g in ((real[chosen[0]], of_chosen), (synthetic[chosen[1]], None))
    ]
    resamples = resample(count, count, of_chosen, generator)
    return measure_means(
        features[0], features[1], resamples, lambda r, s: s / r, lambda mean: mean
    )[0]
