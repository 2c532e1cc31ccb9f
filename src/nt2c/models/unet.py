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

from nt2c.imaging.noise_spectrum import CONDITION
from nt2c.models.network import Architecture, DenoisingNetwork

# Peak memory of U-Nets with 16, 32 and 48 channels at the finest level on 1.5 to 2 thousand px
# images was 4.7 to 5.1 bytes per pixel and channel (torch 2.13, CPU, float32, resident set).
_BYTES_PER_PX_AND_CHANNEL = 6


class UNetSettings(Architecture):
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

    @property
    def stride(self) -> int:
        """One pixel of the coarsest level."""
        return 2 ** len(self.widths)

    def build(self) -> "UNet":
        """Return the network with random weights."""
        return UNet(self)


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


class UNet(DenoisingNetwork):
    """The network of the bundled models."""

    settings: UNetSettings

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
        pixels = [2 ** (level + 1) for level in range(depth)]
        # The stem sees 2 x 2 blocks, like the finest level.
        self.levels = tuple(zip((2, *pixels), (8, *widths), strict=True))
        self.bytes_per_px = 24 + _BYTES_PER_PX_AND_CHANNEL * widths[0]
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
        """Estimate the clean signal, as `DenoisingNetwork` says."""
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
