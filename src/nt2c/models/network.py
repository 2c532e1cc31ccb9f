"""What a denoising network is: its settings, what it declares, and what it is given.

A network joins as a class of settings that builds it, named in `NetworkSettings` of
`nt2c.models.denoiser`; recipes and model files hold those settings.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nt2c.core.settings import Settings
from nt2c.imaging.noise_spectrum import NoiseSpectrum, measure_noise

if TYPE_CHECKING:
    from nt2c.models.denoiser import NetworkSettings


class Architecture(Settings):
    """Size of a network; settings of another kind are told from it by the names of their fields."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Sides of images must be multiples of this, in pixels."""

    @abstractmethod
    def build(self) -> "DenoisingNetwork":
        """Return the network with random weights."""


class DenoisingNetwork(nn.Module):
    """Denoiser of images in units of their noise, given as `network_input` says.

    What a pixel becomes depends on its surroundings alone, so that tiles equal the whole: no layer
    takes statistics of an image.

    Attributes
    ----------
    settings : NetworkSettings
        What builds it again.
    receptive_field_px : int
        Pixels on each side that can influence an output pixel (an upper bound, a multiple of
        the stride).
    bytes_per_px : float
        Peak memory for a pixel of the image.
    levels : tuple of (int, int)
        Of each level of resolution that is convolved: side in pixels of one of its cells, and
        channels.
    """

    settings: "NetworkSettings"
    receptive_field_px: int
    bytes_per_px: float
    levels: tuple[tuple[int, int], ...]

    @property
    def stride(self) -> int:
        """Sides of images must be multiples of this, and tiles start on multiples of it."""
        return self.settings.stride

    @abstractmethod
    def forward(
        self, image: Float[Tensor, "batch 2 y x"], condition: Float[Tensor, "batch c"]
    ) -> Float[Tensor, "batch 1 y x"]:
        """Estimate the clean signal; sides must be multiples of `stride`.

        Parameters
        ----------
        image : Tensor
            The image in units of its noise, and the same with white noise.
        condition : Tensor
            `NoiseSpectrum.condition` of the micrographs.
        """


def network_input(
    scaled: Float[Tensor, "batch y x"],
    *,
    together: bool = False,
    noise: NoiseSpectrum | None = None,
) -> tuple[Float[Tensor, "batch 2 y x"], Float[Tensor, "batch c"]]:
    """Return what the network is given of whole micrographs: images and conditions.

    Parameters
    ----------
    scaled : Tensor
        Micrographs in units of their noise.
    together : bool
        They have the same noise, which is measured on all of them.
    noise : NoiseSpectrum, optional
        Their noise; by default it is measured.
    """
    noise = noise or measure_noise(scaled, together=together)
    condition = noise.condition.expand(len(scaled), -1)
    return torch.stack([scaled, noise.whiten(scaled)], 1), condition


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in network.parameters())
