"""Pairs made of real micrographs alone: recorrupted copies (Recorrupted-to-Recorrupted).

Simulated particles are not the user's. Two copies of a micrograph whose noise is independent teach
what its own look like, without truth: what one copy says of the other can only be signal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.noise.features import moments, skewness_and_kurtosis
from nt2c.noise.samplers import NoiseSampler, standardised
from nt2c.training.digest import digest
from nt2c.training.pairs import Pairs, crop, turned
from nt2c.training.settings import RecorruptedSettings

_LARGEST_KURTOSIS = 0.3
"""Windows of six data sets with Gaussian noise have -0.02 to 0.03, those with tails 1.6."""
_FARTHEST = 5.0  # standard deviations: a few hot pixels are no tails
_LARGEST_SPREAD = 0.05
"""Of five data sets: 0 to 0.027; of micrographs whose ice differs 0.09."""


def unlike_one_noise(windows: Tensor, groups: Tensor) -> str:
    """Say why one Gaussian noise cannot stand for that of all micrographs; empty if it can.

    Noise that is added and subtracted is independent only if it is Gaussian, and as strong as that
    of the micrograph; else what it lacks counts as signal.

    Parameters
    ----------
    windows : Tensor
        Particle-free windows (n, s, s).
    groups : Tensor
        Number of each window's micrograph (n,).
    """
    values = standardised(windows).clamp(-_FARTHEST, _FARTHEST)
    kurtosis = float(skewness_and_kurtosis(moments(values).mean(0))[1])
    if abs(kurtosis) > _LARGEST_KURTOSIS:
        return f"their noise is not Gaussian (excess kurtosis {kurtosis:.1f})"
    spread = _between_groups(values.square().mean((1, 2)), groups)
    if spread > _LARGEST_SPREAD:
        return f"their noise differs in power from one to the other (by {100 * spread:.0f} %)"
    return ""


def _between_groups(values: Tensor, groups: Tensor) -> float:
    """Standard deviation of the groups' expectations, less what chance within groups explains, in
    units of the mean: the analysis-of-variance estimate (Searle et al. 1992, ch. 3.6).
    """
    parts = [values[groups == number] for number in groups.unique()]
    count, free = len(parts), len(values) - len(parts)
    if count < 2 or free < 1:
        return 0.0
    sizes = torch.tensor([len(part) for part in parts], dtype=values.dtype)
    means = torch.stack([part.mean() for part in parts])
    mean = values.mean()
    within = sum(float((part - part.mean()).square().sum()) for part in parts) / free
    between = float((sizes * (means - mean).square()).sum()) / (count - 1)
    size = float(sizes.sum() - sizes.square().sum() / sizes.sum()) / (count - 1)
    return float(max(0.0, (between - within) / size) ** 0.5 / mean)


def recorrupt(image: Tensor, noise: Tensor, strength: float) -> Pairs:
    """Split a noisy image y into y + a z and y - z / a, with z the `noise` and a the `strength`.

    Where z is Gaussian and as strong and as correlated as the noise of y, the noise of the two is
    independent: the squared error of a denoiser of the first against the second differs from that
    against the clean image by a constant (Pang et al. 2021, CVPR, eq. 5-7). Noise of y that z lacks
    counts as signal.

    Parameters
    ----------
    image, noise : Tensor
        Of one shape (..., y, x).
    strength : float
        Above 0; the first copy holds 1 + a^2 times the noise of y, the second one 1 + 1 / a^2.
    """
    return Pairs(image + strength * noise, image - noise / strength)


class RealCrops:
    """Recorrupted crops of micrographs, which depend on (seed, step) alone.

    Parameters
    ----------
    micrographs : sequence of Tensor
        Images (y, x) in units of the noise, of any sizes.
    noise : NoiseSampler
        Gaussian, of unit variance, with the spectrum of theirs.
    noise_sd : float
        Standard deviation of their noise, in units of the noise: more takes signal for noise, less
        noise for signal.
    crop_px : int
        Side of the crops.
    settings : RecorruptedSettings
        Crops in a step and noise added.
    seed : int
        Of the run.
    device : torch.device
        Where the pairs are made.

    Raises
    ------
    InputError
        No micrograph holds a crop.
    """

    def __init__(
        self,
        micrographs: Sequence[Tensor],
        noise: NoiseSampler,
        noise_sd: float,
        crop_px: int,
        settings: RecorruptedSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self._micrographs = [m.to(device) for m in micrographs if min(m.shape) >= crop_px]
        if not self._micrographs:
            raise InputError(
                f"no micrograph is as large as a training crop of {crop_px} pixels; set a smaller "
                "pairs.crop_px"
            )
        self._noise = noise
        self._noise_sd = noise_sd
        self._crop_px = crop_px
        self._settings = settings
        self._seed = seed
        self._device = device

    @property
    def target_noise(self) -> float:
        """Variance of the noise in the second copies."""
        return self._noise_sd**2 * (1 + 1 / self._settings.strength**2)

    @property
    def signal_power(self) -> float:
        """What the micrographs' mean variance is above that of their noise, or 0.

        One figure for all: in a single crop, or from one ice to the next, the variance of the noise
        differs by as much as faint signal adds.
        """
        variances = [float(m.double().var()) for m in self._micrographs]
        return max(0.0, sum(variances) / len(variances) - self._noise_sd**2)

    def batch(self, step: int) -> Pairs:
        """Return the crops of a step, each of the two (n, 1, y, x)."""
        count, side = self._settings.batch, self._crop_px
        draws = torch.rand(count, 5, generator=stream(self._seed, "real crops", step)).tolist()
        generator = stream(self._seed, "recorruption", step, self._device)
        noise = self._noise_sd * self._noise.sample((count, side, side), generator)
        pairs = []
        for own, (which, y, x, flip, turn) in zip(noise, draws, strict=True):
            micrograph = self._micrographs[int(which * len(self._micrographs))]
            image = crop(micrograph, side, y, x)
            both = recorrupt(image, own, self._settings.strength)
            # Noise need not be the same in all directions: crops are turned together with it.
            pairs.append(turned(torch.stack([both.noisy, both.clean]), flip, turn))
        noisy, other = torch.stack(pairs, 1)[:, :, None]
        return Pairs(noisy, other)

    def describe(self) -> Mapping[str, Any]:
        """Everything that the crops are made of beyond the recipe."""
        tensors, metadata = self._noise.to_tensors()
        return {
            "micrographs": digest(self._micrographs),
            "noise": {"kind": metadata["kind"], "digest": digest(tensors.values())},
            "noise_sd": self._noise_sd,
        }
