"""Gaussian noise of each of several micrographs: what all share, and what is each one's own.

Ice and dose differ between the micrographs of a session. The windows of one are too few to fit a
spectrum of its own to; but in rings of resolution they tell how far it is from that of all. As far
as the windows carry that, it is taken over (empirical Bayes, Efron & Morris 1973).
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nt2c.imaging.fourier import frequency_grid
from nt2c.noise.features import radial_spectra, ring_frequencies
from nt2c.noise.samplers import ColouredNoise, standardised
from nt2c.noise.spectra import power_on_grid

_LEAST_POWER = 1e-6  # of the mean: keeps logarithms finite


def between_and_within(
    values: Float[Tensor, "n f"], groups: Shaped[Tensor, " n"]
) -> tuple[Float[Tensor, " f"], Float[Tensor, " f"]]:
    """Variances between the expectations of groups, and within groups.

    The analysis-of-variance estimate (Searle et al. 1992, ch. 3.6), at least 0. Where each value
    has a group of its own, or all have one, there is no variance between groups.
    """
    parts = [values[groups == number] for number in groups.unique()]
    count, free = len(parts), len(values) - len(parts)
    if free < 1:
        return torch.zeros_like(values[0]), torch.zeros_like(values[0])
    sizes = torch.tensor([len(part) for part in parts], dtype=values.dtype)
    means = torch.stack([part.mean(0) for part in parts])
    squares = torch.stack([(part - part.mean(0)).square().sum(0) for part in parts])
    within = squares.sum(0) / free
    if count < 2:
        return torch.zeros_like(within), within
    spread = (sizes[:, None] * (means - values.mean(0)).square()).sum(0) / (count - 1)
    size = (sizes.sum() - sizes.square().sum() / sizes.sum()) / (count - 1)
    return ((spread - within) / size).clamp(min=0), within


@dataclass(frozen=True)
class OwnNoise:
    """Noise of micrographs by their numbers.

    Attributes
    ----------
    covariance : Tensor
        Of all, (m, m), as `spectra.fit_covariance` gives it.
    sd : float
        Standard deviation of that noise.
    spread : float
        Standard deviation of the power between micrographs, relative, without chance.
    numbers : tuple of int
        Micrographs that have windows.
    log_gain : Tensor
        Logarithm of each one's power over that of all, (micrographs, rings), as far as its windows
        carry it.
    unsure : tuple of float
        What is left unknown of the power of each, a relative standard deviation.
    window_px : int
        Side of the windows, whose inverse is the width of a ring.
    """

    covariance: Tensor
    sd: float
    spread: float
    numbers: tuple[int, ...]
    log_gain: Tensor
    unsure: tuple[float, ...]
    window_px: int

    @classmethod
    def fit(cls, windows: Float[Tensor, "n s s"], groups: Shaped[Tensor, " n"]) -> Self:
        """Measure the noise in windows (n, s, s) of micrographs with the numbers `groups` (n,).

        Raises
        ------
        InputError
            As `samplers.standardised` does.
        """
        scaled = standardised(windows)
        # The last bits depend on the threads, and a run that goes on must find the same.
        numbers, counts = groups.unique(return_counts=True)
        power = radial_spectra(scaled).double()
        total = scaled.double().square().mean((1, 2))[:, None]
        relative = torch.cat([power / power.mean(0), total], 1)
        between, within = between_and_within(relative, groups)
        chance = within / counts[:, None]
        share = torch.where(between > 0, between / (between + chance), 0.0)
        means = torch.stack([relative[groups == number].mean(0) for number in numbers])
        log_gain = share * means.clamp(min=_LEAST_POWER).log()
        unsure = (share * chance)[:, -1].sqrt()
        return cls(
            ColouredNoise.fit(windows, groups).covariance,
            round(float(windows.double().std()), 6),
            round(float(between[-1].sqrt()), 6),
            tuple(numbers.tolist()),
            log_gain[:, :-1].float().mul(1e4).round().div(1e4),
            tuple(round(value, 6) for value in unsure.tolist()),
            windows.shape[-1],
        )

    def of(self, number: int) -> tuple[ColouredNoise, float]:
        """Sampler of unit variance and standard deviation of the noise of a micrograph.

        Those of all, for one without windows.
        """
        if number not in self.numbers:
            return ColouredNoise(self.covariance), self.sd
        grid = len(self.covariance)
        rings = torch.tensor(ring_frequencies(self.window_px, 1.0))
        gain = _interpolated(
            frequency_grid((grid, grid), 1.0), rings, self.log_gain[self.numbers.index(number)]
        ).exp()
        covariance = torch.fft.irfft2(power_on_grid(self.covariance, (grid, grid)) * gain)
        variance = float(covariance[0, 0])
        return ColouredNoise(covariance / variance), self.sd * variance**0.5

    def unknown(self, number: int) -> float:
        """What is not known of the power of a micrograph, a relative standard deviation."""
        known = number in self.numbers
        return self.unsure[self.numbers.index(number)] if known else self.spread

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and metadata for a file."""
        tensors = {"covariance": self.covariance, "log_gain": self.log_gain}
        own = ("sd", "spread", "numbers", "unsure", "window_px")
        return tensors, {"kind": "own"} | {name: getattr(self, name) for name in own}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build what `to_tensors` described."""
        return cls(
            tensors["covariance"],
            metadata["sd"],
            metadata["spread"],
            tuple(metadata["numbers"]),
            tensors["log_gain"],
            tuple(metadata["unsure"]),
            metadata["window_px"],
        )


def _interpolated(at: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Linear between the places, which ascend; the first and the last value beyond them."""
    right = torch.bucketize(at, places).clamp(1, len(places) - 1)
    low, high = places[right - 1], places[right]
    share = ((at - low) / (high - low)).clamp(0, 1)
    return torch.lerp(values[right - 1], values[right], share)
