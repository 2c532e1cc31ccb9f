"""U-Net for micrographs at a coarse working pixel size.

Works on 2 x 2 pixel blocks from the start (space to depth), since at the working pixel size the
signal is oversampled; adds skips instead of concatenating; has no normalization layer, so that
what a pixel becomes depends on its surroundings alone and tiles equal the whole. It is told the
noise that it faces: as a second image in which that noise is white, and as a condition that scales
and shifts the channels of each block (FiLM, Perez et al. 2018).
"""

from itertools import pairwise
from typing import Annotated, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from nt2c.core.settings import Settings
from nt2c.imaging.noise_spectrum import CONDITION, NoiseSpectrum, measure_noise


class UNetSettings(Settings):
    """Size of the network, level by level, the finest first."""

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        (32, 64, 96, 128), min_length=1, max_length=12, description="channels"
    )
    blocks: tuple[Annotated[int, Field(ge=0, le=64)], ...] = Field(
        (1, 2, 2, 2), description="residual blocks per direction"
    )
    hidden: int = Field(
        64, ge=1, le=8192, description="width of the layers that read the condition"
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError("blocks and widths must name the same number of levels")
        return self


class _Block(nn.Module):
    """Residual pair of 3 x 3 convolutions, modulated in between, that starts as the identity."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.modulate = nn.Linear(hidden, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.modulate(told)[:, :, None, None].chunk(2, 1)
        inner = torch.addcmul(shift, self.first(x), 1 + scale)
        inner = functional.silu(inner, inplace=not inner.requires_grad)
        result: Tensor = self.second(inner)
        return result.add_(x)


class _Level(nn.ModuleList):
    """Blocks of one level, one after the other."""

    def __init__(self, width: int, blocks: int, hidden: int) -> None:
        super().__init__(_Block(width, hidden) for _ in range(blocks))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        for block in self:
            x = block(x, told)
        return x


class UNet(nn.Module):
    """Denoiser of images in units of their noise: (batch, 2, y, x) -> (batch, 1, y, x).

    Attributes
    ----------
    stride : int
        Image sides must be multiples of this, and tiles start on multiples of it.
    receptive_field_px : int
        Pixels on each side that can influence an output pixel (an upper bound, a multiple of
        `stride`).
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = settings.widths

        def level(width: int, blocks: int) -> _Level:
            return _Level(width, blocks, settings.hidden)

        steps = list(pairwise(widths))
        self.read = nn.Sequential(
            nn.Linear(CONDITION, settings.hidden),
            nn.SiLU(),
            nn.Linear(settings.hidden, settings.hidden),
            nn.SiLU(),
        )
        self.stem = nn.Conv2d(8, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(map(level, widths, settings.blocks))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps)
        self.decoder = nn.ModuleList(map(level, widths[:-1], settings.blocks))
        self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

        depth = len(widths)
        self.stride = 2**depth
        reach = 4  # stem and head: one block of 2 px each
        for i in range(depth):
            pixel = 2 ** (i + 1)
            passes = 2 if i < depth - 1 else 1
            reach += passes * settings.blocks[i] * 2 * pixel
            reach += pixel if i < depth - 1 else 0  # what shares a cell of the next level
        reach += 1  # the other pixel of a 2 x 2 block
        self.receptive_field_px = -(-reach // self.stride) * self.stride

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
        told = self.read(condition)
        x = self.stem(functional.pixel_unshuffle(image, 2))
        skips = []
        for encode, down in zip(self.encoder, self.down, strict=False):
            x = encode(x, told)
            skips.append(x)
            x = down(x)
        x = self.encoder[-1](x, told)
        for up, decode, skip in zip(
            reversed(self.up), reversed(self.decoder), reversed(skips), strict=True
        ):
            x = decode(up(x) + skip, told)
        result: Tensor = functional.pixel_shuffle(self.head(x), 2)
        return result


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
