"""Pairs made of real micrographs alone: recorrupted copies (Recorrupted-to-Recorrupted)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.training.pairs import Pairs, random_crop
from nt2c.training.settings import RecorruptedSettings


def recorrupt(image: Tensor, strength: float, generator: torch.Generator) -> Pairs:
    """Split a noisy image y into y + a z and y - z / a, with z white and a the `strength`.

    For white Gaussian noise of variance 1 the noise of the two is independent: the squared error of
    a denoiser of the first against the second differs from that against the clean image by a
    constant (Pang et al. 2021, CVPR, eq. 5-7). Noise beyond that, such as ice, counts as signal.

    Parameters
    ----------
    image : Tensor
        Micrographs (n, 1, y, x) in units of the noise.
    strength : float
        Standard deviation of what is added.
    generator : torch.Generator
        On the device of `image`.
    """
    z = torch.randn(image.shape, generator=generator, device=image.device)
    return Pairs(image + strength * z, image - z / strength)


class RealCrops:
    """Recorrupted crops of micrographs, which depend on (seed, step) alone.

    Parameters
    ----------
    micrographs : sequence of Tensor
        Images (y, x) in units of the noise, of any sizes.
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
        self._crop_px = crop_px
        self._settings = settings
        self._seed = seed
        self._device = device

    def batch(self, step: int) -> Pairs:
        """Return the pairs of a step."""
        draws = torch.rand(
            self._settings.batch, 5, generator=stream(self._seed, "real crops", step)
        ).tolist()
        crops = [
            random_crop(
                self._micrographs[int(which * len(self._micrographs))],
                self._crop_px,
                (y, x, flip, turn),
            )
            for which, y, x, flip, turn in draws
        ]
        noise = stream(self._seed, "recorruption", step, self._device)
        return recorrupt(torch.stack(crops)[:, None], self._settings.strength, noise)
