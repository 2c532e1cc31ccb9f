"""Pairs made of real micrographs alone: recorrupted copies (Recorrupted-to-Recorrupted).

Simulated particles are not the user's. Two copies of a micrograph whose noise is independent teach
what its own look like, without truth: what one copy says of the other can only be signal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.models.network import network_input
from nt2c.noise.features import moments, skewness_and_kurtosis
from nt2c.noise.samplers import NoiseSampler
from nt2c.training.digest import digest
from nt2c.training.pairs import Pairs, random_crop
from nt2c.training.settings import RecorruptedSettings

_LARGEST_KURTOSIS = 0.3
"""Windows of six data sets with Gaussian noise have -0.02 to 0.03, those with tails 1.6."""
Place = tuple[float, float, float, float]
_FARTHEST = 5.0  # standard deviations: a few hot pixels are no tails
_REGION_PX = 448  # side of the part of a micrograph whose noise is measured in a step


def excess_kurtosis(windows: Tensor, groups: Tensor) -> float:
    """Excess kurtosis of noise windows (n, s, s), each micrograph brought to variance 1."""
    scaled = windows.clone()
    for number in groups.unique():
        own = groups == number
        scaled[own] = (windows[own] - windows[own].mean()) / windows[own].std()
    values = scaled.clamp(-_FARTHEST, _FARTHEST)
    return float(skewness_and_kurtosis(moments(values).mean(0))[1])


def is_gaussian(kurtosis: float) -> bool:
    """Whether noise of this excess kurtosis can be recorrupted.

    Noise that is added and subtracted is independent only if it is Gaussian; else what it lacks
    counts as signal.
    """
    return abs(kurtosis) <= _LARGEST_KURTOSIS


@dataclass(frozen=True)
class NoisyMicrograph:
    """A micrograph and Gaussian noise that is as its own.

    Attributes
    ----------
    image : Tensor
        (y, x), in units of the noise.
    noise : NoiseSampler
        Of unit variance, with the spectrum of the micrograph's.
    noise_sd : float
        Standard deviation of the micrograph's, in units of the noise: more takes signal for noise,
        less noise for signal.
    source : str
        What the noise was made from, for the fingerprint of a run: what is computed from it
        differs in its last bits between machines.
    """

    image: Tensor
    noise: NoiseSampler
    noise_sd: float
    source: str = ""

    def drawn(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw noise (y, x) as strong as the micrograph's."""
        return self.noise_sd * self.noise.sample((1, *shape), generator)[0]


def recorrupt(image: Tensor, noise: Tensor, strength: float) -> tuple[Tensor, Tensor]:
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
    return image + strength * noise, image - noise / strength


def target_noise(noise_sd: float, strength: float) -> float:
    """Variance of the noise in the second copy."""
    return noise_sd**2 * (1 + 1 / strength**2)


def signal_power(micrographs: Sequence[NoisyMicrograph]) -> float:
    """What the micrographs' mean variance is above that of their noise, or 0.

    One figure for all: in a single crop the variance of the noise differs by as much as faint
    signal adds.
    """
    above = [float(m.image.double().var()) - m.noise_sd**2 for m in micrographs]
    return max(0.0, sum(above) / len(above))


class RealCrops:
    """Recorrupted crops of micrographs, which depend on (seed, step) alone.

    Parameters
    ----------
    micrographs : sequence of NoisyMicrograph
        Of any sizes; those smaller than a crop are left out.
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
        micrographs: Sequence[NoisyMicrograph],
        crop_px: int,
        settings: RecorruptedSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self._micrographs = [
            replace(m, image=m.image.to(device))
            for m in micrographs
            if min(m.image.shape) >= crop_px
        ]
        if not self._micrographs:
            raise InputError(
                f"no micrograph is as large as a training crop of {crop_px} pixels; set a smaller "
                "pairs.crop_px"
            )
        self._crop_px = crop_px
        self._settings = settings
        self._seed = seed
        self._device = device

    @property
    def signal_power(self) -> float:
        """What the micrographs' mean variance is above that of their noise, or 0."""
        return signal_power(self._micrographs)

    def _drawn(self, step: int) -> tuple[NoisyMicrograph, tuple[float, float], list[Place]]:
        """Micrograph of a step, and where its region and the crops within lie, in [0, 1)."""
        generator = stream(self._seed, "real crops", step)
        (which, top, left, _), *places = torch.rand(
            self._settings.batch + 1, 4, generator=generator
        ).tolist()
        micrograph = self._micrographs[int(which * len(self._micrographs))]
        return micrograph, (top, left), [(y, x, flip, turn) for y, x, flip, turn in places]

    def target_noise(self, step: int) -> float:
        """Variance of the noise in the second copies of a step."""
        return target_noise(self._drawn(step)[0].noise_sd, self._settings.strength)

    def batch(self, step: int) -> Pairs:
        """Return the crops of a step: first copies as `noisy`, second ones as `clean`.

        All are of one region, so that the network is told the noise of its first copy.
        """
        micrograph, (y, x), places = self._drawn(step)
        side, whole = self._crop_px, micrograph.image.shape
        height, width = (min(size, max(side, _REGION_PX)) for size in whole)
        top, left = int(y * (whole[0] - height + 1)), int(x * (whole[1] - width + 1))
        region = micrograph.image[top : top + height, left : left + width]
        generator = stream(self._seed, "recorruption", step, self._device)
        noise = micrograph.drawn((height, width), generator)
        first, second = recorrupt(region, noise, self._settings.strength)
        images, condition = network_input(first[None])
        # Noise need not be the same in all directions: crops are turned together with it.
        both = torch.cat([images[0], second[None]])
        crops = torch.stack([random_crop(both, side, place) for place in places])
        return Pairs(crops[:, :-1], condition.expand(len(crops), -1), crops[:, -1:])

    def describe(self) -> Mapping[str, object]:
        """Everything that the crops are made of beyond the recipe."""
        return {
            "micrographs": digest([m.image for m in self._micrographs]),
            "noise": [f"{m.noise.kind} {m.source}".strip() for m in self._micrographs],
            "noise_sd": [round(m.noise_sd, 4) for m in self._micrographs],
        }
