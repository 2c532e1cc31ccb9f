"""U-Net for micrographs at a coarse working pixel size.

Works on 2 x 2 pixel blocks from the start (space to depth), since at the working pixel size the
signal is oversampled; adds skips instead of concatenating; has no normalization layer, so that
what a pixel becomes depends on its surroundings alone and tiles equal the whole.
"""

from itertools import pairwise
from typing import Annotated, Self

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from nt2c.core.settings import Settings


class UNetSettings(Settings):
    """Size of the network, level by level, the finest first."""

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        (32, 64, 96, 128), min_length=1, max_length=12, description="channels"
    )
    blocks: tuple[Annotated[int, Field(ge=0, le=64)], ...] = Field(
        (1, 2, 2, 2), description="residual blocks per direction"
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError("blocks and widths must name the same number of levels")
        return self


class _Block(nn.Module):
    """Residual pair of 3 x 3 convolutions that starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(x)
        inner = functional.silu(inner, inplace=not inner.requires_grad)
        result: Tensor = self.second(inner)
        return result.add_(x)


class UNet(nn.Module):
    """Denoiser of images in units of their noise: (batch, 1, y, x) -> the same shape.

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

        def level(width: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*(_Block(width) for _ in range(blocks)))

        steps = list(pairwise(widths))
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)
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

    def forward(self, image: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch 1 y x"]:
        """Estimate the clean signal; sides must be multiples of `stride`."""
        x = self.stem(functional.pixel_unshuffle(image, 2))
        skips = []
        for encode, down in zip(self.encoder, self.down, strict=False):
            x = encode(x)
            skips.append(x)
            x = down(x)
        x = self.encoder[-1](x)
        for up, decode, skip in zip(
            reversed(self.up), reversed(self.decoder), reversed(skips), strict=True
        ):
            x = decode(up(x) + skip)
        result: Tensor = functional.pixel_shuffle(self.head(x), 2)
        return result


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in network.parameters())
