"""How faithful synthetic noise is: measures against held-out real windows, with uncertainties."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.imaging.fourier import half_plane_weights
from nt2c.noise import features as of
from nt2c.noise.diversity import descriptor_diversity, nearest_ratio
from nt2c.noise.resampling import Measure, Resamples, measure_means, resample
from nt2c.noise.samplers import standardised
from nt2c.noise.spectra import power_spectra
from nt2c.noise.two_sample import classifier_auc

SHOWN = {
    "radial_error": "power, worst ring: error",
    "spectrum_error": "two-dimensional power: error",
    "autocorrelation_error": "autocorrelation: error",
    "ks_distance": "grey values: Kolmogorov-Smirnov distance",
    "excess_kurtosis": "excess kurtosis: difference",
    "local_variance_spread": "spread of local variance: ratio",
    "sliced_wasserstein": "patches: sliced Wasserstein distance",
    "diversity": "diversity: ratio",
    "classifier_auc": "classifier: AUC (0.5: cannot tell)",
}
"""Measures of `Fidelity` that a user is shown, and what they are called in tables."""

LEAST_WINDOWS = 8
LEAST_SIDE_PX = 16


@dataclass(frozen=True)
class Fidelity:
    """Measures of synthetic noise against real windows; docs/noise.md says how each can mislead.

    Ratios are synthetic to real and 1 at best; errors, distances and differences are 0 at best;
    `classifier_auc` is 0.5 at best, and None if it was not asked for. `radial_ratio` has a measure
    for each ring of `frequency` (1/angstrom), with the power of both sets.
    """

    real_count: int
    synthetic_count: int
    side_px: int
    pixel_size_a: float
    frequency: tuple[float, ...]
    radial_ratio: tuple[Measure, ...]
    radial_error: Measure
    spectrum_error: Measure
    autocorrelation_error: Measure
    ks_distance: Measure
    skewness: Measure
    excess_kurtosis: Measure
    local_variance_spread: Measure
    local_variance_distance: Measure
    sliced_wasserstein: Measure
    diversity: Measure
    nearest: Measure
    classifier_auc: Measure | None

    def measures(self) -> dict[str, Measure]:
        """The measures of one figure each, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Measure)}

    def to_record(self) -> dict[str, object]:
        """Everything for a record in JSON."""
        return {
            "real_count": self.real_count,
            "synthetic_count": self.synthetic_count,
            "side_px": self.side_px,
            "pixel_size_a": self.pixel_size_a,
            "frequency": list(self.frequency),
            "radial_ratio": [measure.to_record() for measure in self.radial_ratio],
            **{name: measure.to_record() for name, measure in self.measures().items()},
        }


def compare(
    real: Float[Tensor, "n y x"],
    synthetic: Float[Tensor, "m v u"],
    pixel_size_a: float,
    generator: torch.Generator,
    groups: Int[Tensor, " g"] | None = None,
    *,
    classifier: bool = True,
) -> Fidelity:
    """Judge synthetic noise against real windows that its sampler has not seen.

    Each set is brought to mean 0 and variance 1 as a whole first: the noise gain is not judged.

    Parameters
    ----------
    real, synthetic : Tensor
        Windows (n, y, x) and (m, y, x), squares of one size, on the device of the generator.
        Synthetic windows are independent draws.
    pixel_size_a : float
        Pixel size in angstrom.
    generator : torch.Generator
        For resampling, directions and the classifier.
    groups : Tensor, optional
        Number of the micrograph of each real window. Without it, overlapping windows count as
        independent and the intervals come out too narrow.
    classifier : bool
        Whether to train the classifier too, which takes longer than all the rest.

    Raises
    ------
    InputError
        The sets differ in size, are too few or too small, or hold NaN or no variance.
    """
    _check(real, synthetic, groups)
    real, synthetic = standardised(real), standardised(synthetic)
    resamples = resample(len(real), len(synthetic), groups, generator)
    radial, radial_error = _radial(real, synthetic, resamples)
    skewness, kurtosis = measure_means(
        of.moments(real),
        of.moments(synthetic),
        resamples,
        lambda r, s: of.skewness_and_kurtosis(s) - of.skewness_and_kurtosis(r),
        of.skewness_and_kurtosis,
    )
    spread, local_distance = _local_variance(real, synthetic, pixel_size_a, resamples)
    return Fidelity(
        real_count=len(real),
        synthetic_count=len(synthetic),
        side_px=real.shape[-1],
        pixel_size_a=pixel_size_a,
        frequency=tuple(of.ring_frequencies(real.shape[-1], pixel_size_a)),
        radial_ratio=radial,
        radial_error=radial_error,
        spectrum_error=_spectrum_error(real, synthetic, resamples),
        autocorrelation_error=_autocorrelation_error(real, synthetic, resamples),
        ks_distance=ks_distance(real.flatten(1), synthetic.flatten(1), resamples),
        skewness=skewness,
        excess_kurtosis=kurtosis,
        local_variance_spread=spread,
        local_variance_distance=local_distance,
        sliced_wasserstein=sliced_wasserstein(real, synthetic, resamples, generator),
        diversity=descriptor_diversity(real, synthetic, groups, resamples),
        nearest=nearest_ratio(real, synthetic, groups, generator),
        classifier_auc=classifier_auc(real, synthetic, groups, resamples, generator)
        if classifier
        else None,
    )


def _check(real: Tensor, synthetic: Tensor, groups: Tensor | None) -> None:
    sides = {*real.shape[1:], *synthetic.shape[1:]}
    if len(sides) != 1 or min(sides) < LEAST_SIDE_PX:
        raise InputError(
            f"noise windows of {tuple(real.shape[1:])} and {tuple(synthetic.shape[1:])} px cannot "
            f"be compared; give squares of one size, {LEAST_SIDE_PX} px or more"
        )
    if min(len(real), len(synthetic)) < LEAST_WINDOWS:
        raise InputError(
            f"{len(real)} real and {len(synthetic)} synthetic windows are too few to compare; "
            f"give at least {LEAST_WINDOWS} of each"
        )
    if groups is not None and (len(groups) != len(real) or len(groups.unique()) < 2):
        raise InputError(
            f"the {len(real)} real windows need a group each, of at least 2 groups; "
            "leave the groups out for windows of one micrograph"
        )


def _radial(
    real: Tensor, synthetic: Tensor, resamples: Resamples
) -> tuple[tuple[Measure, ...], Measure]:
    """Ratio of power in each ring, and its largest distance from 1."""
    rings = of.radial_spectra(real), of.radial_spectra(synthetic)
    ratios = measure_means(*rings, resamples, lambda r, s: s / r, lambda mean: mean)
    worst = measure_means(*rings, resamples, lambda r, s: of.worst(s / r - 1))
    return tuple(ratios), worst[0]


def _spectrum_error(real: Tensor, synthetic: Tensor, resamples: Resamples) -> Measure:
    """Root mean square of log(synthetic / real) over the Fourier plane, less what chance adds."""
    power = power_spectra(real).flatten(1), power_spectra(synthetic).flatten(1)
    side = real.shape[-1]
    weight = half_plane_weights(side, real.device).repeat(side) / side**2
    by_chance = sum(
        (w @ p).var(0) / p.mean(0).square().clamp(min=1e-24)
        for w, p in zip((resamples.real, resamples.synthetic), power, strict=True)
    )

    def error(r: Tensor, s: Tensor) -> Tensor:
        excess = ((of.log_ratio(s, r).square() - by_chance) * weight).sum(-1, keepdim=True)
        return excess.clamp(min=0).sqrt()

    return measure_means(*power, resamples, error)[0]


def _autocorrelation_error(real: Tensor, synthetic: Tensor, resamples: Resamples) -> Measure:
    """Largest difference of the autocorrelations at lags up to a quarter of the side."""
    lags = of.autocovariances(real), of.autocovariances(synthetic)
    return measure_means(*lags, resamples, lambda r, s: of.worst(s / s[..., :1] - r / r[..., :1]))[
        0
    ]


def ks_distance(real: Tensor, synthetic: Tensor, resamples: Resamples) -> Measure:
    """Largest difference of the cumulative distributions of values (n, k) of each window."""
    levels = of.quantile_levels(torch.cat([real.flatten(), synthetic.flatten()]))
    shares = of.cumulative(real, levels), of.cumulative(synthetic, levels)
    return measure_means(*shares, resamples, lambda r, s: of.worst(s - r))[0]


def _local_variance(
    real: Tensor, synthetic: Tensor, pixel_size_a: float, resamples: Resamples
) -> tuple[Measure, Measure]:
    """Ratio of the spreads of log local variance, and the KS distance of its distributions."""
    logs = [of.local_log_variance(w, pixel_size_a) for w in (real, synthetic)]
    means = [torch.stack([x.mean(1), x.square().mean(1)], 1) for x in logs]

    def spread(mean: Tensor) -> Tensor:
        return (mean[..., 1:] - mean[..., :1].square()).clamp(min=0).sqrt()

    ratio = measure_means(means[0], means[1], resamples, lambda r, s: spread(s) / spread(r), spread)
    return ratio[0], ks_distance(logs[0], logs[1], resamples)


def sliced_wasserstein(
    real: Tensor, synthetic: Tensor, resamples: Resamples, generator: torch.Generator
) -> Measure:
    """Mean over directions of the 1-Wasserstein distance of projected patches.

    In standard deviations of the real projections; what lies beyond 6 of them is not counted.
    """
    levels = torch.linspace(-6, 6, 97, device=real.device)
    shares: list[list[Tensor]] = [[], []]
    for directions in of.random_filters(generator):
        pairs = zip(*(of.projections(w, directions) for w in (real, synthetic)), strict=True)
        for pair in pairs:
            for kept, values in zip(shares, pair, strict=True):
                kept.append(of.cumulative(values / pair[0].std(), levels))
    step = float(levels[1] - levels[0]) * len(levels)

    def distance(r: Tensor, s: Tensor) -> Tensor:
        return (s - r).abs().mean(-1, keepdim=True) * step

    together = [torch.cat(kept, 1) for kept in shares]
    return measure_means(together[0], together[1], resamples, distance)[0]
