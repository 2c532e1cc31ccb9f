"""Uncertainty of figures that compare two sets of windows, by resampling the windows."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

REPLICATES = 400
_INTERVAL = (0.025, 0.975)
_SAME = (0.005, 0.995)


@dataclass(frozen=True)
class Measure:
    """A figure that compares real and synthetic windows.

    `low` and `high` bound its 95 % confidence interval. Between `same_low` and `same_high` it lies
    in 99 % of cases if both sets hold the same noise. `real` and `synthetic` are the quantity in
    each set, where there is such a thing.
    """

    value: float
    low: float
    high: float
    same_low: float
    same_high: float
    real: float | None = None
    synthetic: float | None = None

    @property
    def differs(self) -> bool:
        """Whether sets of the same noise would hardly give this value."""
        return not self.same_low <= self.value <= self.same_high

    def below(self, other: "Measure") -> bool:
        """Whether it is less than another by more than chance: half the length of its interval."""
        return self.value < other.value - (self.high - self.low) / 2

    def to_record(self) -> dict[str, float | bool | None]:
        """All figures for a record in JSON."""
        return {**asdict(self), "differs": self.differs}


@dataclass(frozen=True)
class Resamples:
    """Weights (replicate, window) of resampled sets; each row adds up to 1.

    `real` and `synthetic` resample each set; `same_real` and `same_synthetic` are two independent
    sets made from the real windows, of both sizes: what equal noise looks like.
    """

    real: Tensor
    synthetic: Tensor
    same_real: Tensor
    same_synthetic: Tensor


def resample(
    real_count: int,
    synthetic_count: int,
    groups: Int[Tensor, " n"] | None,
    generator: torch.Generator,
) -> Resamples:
    """Draw the weights of `REPLICATES` bootstrap samples.

    Parameters
    ----------
    real_count, synthetic_count : int
        Number of windows.
    groups : Tensor, optional
        Number of the micrograph of each real window: whole micrographs are drawn, since windows of
        one are not independent.
    generator : torch.Generator
        On the device of the windows.
    """
    own = torch.arange(real_count, device=generator.device)
    groups = own if groups is None else groups
    return Resamples(
        real=_weights(groups, generator),
        synthetic=_weights(torch.arange(synthetic_count, device=generator.device), generator),
        same_real=_weights(groups, generator),
        same_synthetic=_weights(own, generator, synthetic_count),
    )


def _weights(groups: Tensor, generator: torch.Generator, count: int | None = None) -> Tensor:
    """Draw `count` groups (as many as there are) with replacement, for each replicate."""
    number = groups.unique(return_inverse=True)[1]
    kinds = int(number.max()) + 1
    drawn = torch.randint(
        kinds, (REPLICATES, count or kinds), generator=generator, device=groups.device
    )
    times = torch.zeros(REPLICATES, kinds, device=groups.device)
    times.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=times.dtype))
    weights = times[:, number]
    return weights / weights.sum(1, keepdim=True)


def measure_means(
    real: Float[Tensor, "n f"],
    synthetic: Float[Tensor, "m f"],
    resamples: Resamples,
    function: Callable[[Tensor, Tensor], Tensor],
    each: Callable[[Tensor], Tensor] | None = None,
) -> list[Measure]:
    """Measures that are functions of the mean features of the windows.

    Parameters
    ----------
    real, synthetic : Tensor
        Features of each window.
    resamples : Resamples
        For sets of n and m windows.
    function : callable
        From the mean features (..., f) of the real and of the synthetic set to (..., k) figures.
    each : callable, optional
        From the mean features of one set to the k quantities that the figures compare.

    Returns
    -------
    list of Measure
        k of them.
    """
    means = real.mean(0), synthetic.mean(0)
    return bounded(
        function(*means),
        function(resamples.real @ real, resamples.synthetic @ synthetic),
        function(resamples.same_real @ real, resamples.same_synthetic @ real),
        None if each is None else (each(means[0]), each(means[1])),
    )


def bounded(
    values: Float[Tensor, " k"],
    replicates: Float[Tensor, "b k"],
    same: Float[Tensor, "b k"],
    each: tuple[Tensor, Tensor] | None = None,
) -> list[Measure]:
    """Put estimates, their bootstrap replicates and those of equal noise together.

    The interval is that of the replicates, moved so that their mean lies on the estimate: a
    distance grows by resampling, since that adds noise. Replicates of NaN are left out: few groups
    can be drawn such that nothing is left to compare.
    """
    levels = torch.tensor(_INTERVAL, device=values.device)
    spread = torch.nanquantile(replicates - replicates.nanmean(0), levels, dim=0)
    chance = torch.nanquantile(same, torch.tensor(_SAME, device=values.device), dim=0)
    columns = [values, *(values + spread), *chance, *(each or ())]
    return [Measure(*row) for row in torch.stack(columns, 1).tolist()]
