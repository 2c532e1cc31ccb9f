"""Run a network on an image of any size: whole or in tiles with the same result."""

import math

import torch
from jaxtyping import Float32
from torch import Tensor

from nt2c.core.device import free_memory_bytes, is_out_of_memory
from nt2c.imaging.noise_spectrum import NoiseSpectrum
from nt2c.imaging.tiles import plan_tiles
from nt2c.models.network import DenoisingNetwork, network_input

BF16_TOLERANCE = 0.01
"""Greatest difference of a bfloat16 result, in standard deviations of the result."""

_BORDER_PX = 32  # mirrored around the image, so that its edge is nothing special
_CHECK_PX = 512  # side of the crop on which bfloat16 is compared
_SHARE_OF_MEMORY = 0.5
# On the CPU torch computes a convolution by other code, with another rounding, where the input
# holds no more values than this; windows larger than that at every level give equal bits.
_SMALL_CONVOLUTION = 20480


def run_network(
    network: DenoisingNetwork,
    image: Float32[Tensor, "y x"],
    *,
    noise: NoiseSpectrum | None = None,
    bf16: bool = False,
    tile_px: int | None = None,
    max_memory_bytes: int | None = None,
) -> Float32[Tensor, "y x"]:
    """Apply the network to an image.

    Parameters
    ----------
    network : DenoisingNetwork
        On the device of `image`.
    image : Tensor
        In units of the noise, at the working pixel size.
    noise : NoiseSpectrum, optional
        What the network is told of the noise; by default it is measured in the image.
    bf16 : bool
        Compute in bfloat16.
    tile_px : int, optional
        Greatest side given to the network at once, if it is not too small for the network; by
        default as much as the free memory holds, and less when the device still runs out of it.
    max_memory_bytes : int, optional
        What the process shall use at most; by default what is free.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stride = network.stride
    height, width = image.shape
    inputs, condition = network_input(image[None], noise=noise)
    bottom, right = (-(height + 2 * _BORDER_PX) % stride, -(width + 2 * _BORDER_PX) % stride)
    padded = _mirror(inputs[0], (_BORDER_PX, _BORDER_PX + right, _BORDER_PX, _BORDER_PX + bottom))
    least = _least_side(network, min(padded.shape[-2:]))
    side = max(least, tile_px or _fitting_side(network, padded, max_memory_bytes))
    while True:
        try:
            result = _run_tiles(network, padded, condition, side, least, bf16)
            break
        except (MemoryError, RuntimeError) as error:
            if side <= least or not is_out_of_memory(error):
                raise
            side = max(least, min(side, max(padded.shape[-2:])) // 2)
    return result[_BORDER_PX : _BORDER_PX + height, _BORDER_PX : _BORDER_PX + width]


def bf16_deviation(network: DenoisingNetwork, image: Float32[Tensor, "y x"]) -> float:
    """Standard deviation of (bfloat16 - float32 result), in that of the result.

    Measured on the middle of `image`, at most 512 pixels wide. Infinite where the result is flat.
    """
    top, left = (max(0, (size - _CHECK_PX) // 2) for size in image.shape)
    middle = image[top : top + _CHECK_PX, left : left + _CHECK_PX]
    exact = run_network(network, middle)
    spread = float(exact.std())
    if not spread > 0:
        return float("inf")
    return float((run_network(network, middle, bf16=True) - exact).std()) / spread


def _fitting_side(network: DenoisingNetwork, padded: Tensor, max_memory_bytes: int | None) -> int:
    """Side of the tiles that fit into the free memory; the longer side when the whole does."""
    free = max(0, free_memory_bytes(padded.device, max_memory_bytes))
    pixels = _SHARE_OF_MEMORY * free / network.bytes_per_px
    return max(padded.shape[-2:]) if padded[0].numel() <= pixels else int(pixels**0.5)


def _least_side(network: DenoisingNetwork, shorter: int) -> int:
    """Smallest side of a window: half of it is not halo, and it is computed like the whole."""
    area = max(_SMALL_CONVOLUTION * p**2 // c + p**2 for p, c in network.levels)
    side = max(math.ceil(area**0.5), -(-area // shorter))
    return max(4 * network.receptive_field_px, _multiple(side, network.stride))


def _multiple(size: int, stride: int) -> int:
    return -(-size // stride) * stride


def _widened(span: tuple[int, int], least: int, size: int) -> tuple[int, int]:
    """Widen (start, stop) to `least` where the axis of `size` has room for it."""
    start = max(0, min(span[0], size - least))
    return start, min(size, max(span[1], start + least))


def _run_tiles(
    network: DenoisingNetwork, padded: Tensor, condition: Tensor, side: int, least: int, bf16: bool
) -> Tensor:
    result = torch.empty_like(padded[0])
    shape = (padded.shape[-2], padded.shape[-1])
    for tile in plan_tiles(shape, side, network.receptive_field_px, network.stride):
        outer_y = _widened(tile.outer_y, least, shape[0])
        outer_x = _widened(tile.outer_x, least, shape[1])
        window = padded[:, slice(*outer_y), slice(*outer_x)]
        with torch.inference_mode(), torch.autocast(padded.device.type, torch.bfloat16, bf16):
            batch = window[None].contiguous(memory_format=torch.channels_last)
            output = network(batch, condition)[0, 0]
        y, x = tile.inner_y[0] - outer_y[0], tile.inner_x[0] - outer_x[0]
        rows, columns = tile.inner_y[1] - tile.inner_y[0], tile.inner_x[1] - tile.inner_x[0]
        result[slice(*tile.inner_y), slice(*tile.inner_x)] = output[y : y + rows, x : x + columns]
    return result


def _mirror(image: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Extend by mirroring, also further than the image is wide (left, right, top, bottom)."""

    def index(size: int, before: int, after: int) -> Tensor:
        place = torch.arange(-before, size + after, device=image.device).remainder(2 * size)
        return torch.where(place < size, place, 2 * size - 1 - place)

    rows = index(image.shape[-2], margins[2], margins[3])
    columns = index(image.shape[-1], margins[0], margins[1])
    return image[..., rows, :][..., columns]
