"""Halo-crop tiling: a plan of windows whose results put together equal the whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One window: `outer` is read, `inner` (inside it) is kept; half-open (start, stop) in px."""

    outer_y: tuple[int, int]
    outer_x: tuple[int, int]
    inner_y: tuple[int, int]
    inner_x: tuple[int, int]


def _cuts(size: int, tile: int, halo: int, stride: int) -> list[tuple[int, int, int, int]]:
    """Split one axis into (outer start, outer stop, inner start, inner stop)."""
    if size <= tile:
        return [(0, size, 0, size)]
    step = (tile - 2 * halo) // stride * stride
    cuts = []
    for start in range(0, size, step):
        stop = min(start + step, size)
        cuts.append((max(0, start - halo), min(size, stop + halo), start, stop))
    return cuts


def plan_tiles(shape: tuple[int, int], tile: int, halo: int, stride: int) -> tuple[Tile, ...]:
    """Plan tiles that cover an image exactly once.

    Parameters
    ----------
    shape : tuple of int
        Image size (y, x), multiples of `stride`.
    tile : int
        Greatest side of what is read at once, > 2 * halo.
    halo : int
        Pixels read and thrown away on inner sides, a multiple of `stride` and at least the
        reach of the network; image borders get none, since the whole image has none there.
    stride : int
        Every origin is a multiple of this, so that the network's grids coincide.

    Raises
    ------
    ValueError
        When the sizes do not fit each other.
    """
    if halo % stride or shape[0] % stride or shape[1] % stride:
        raise ValueError(f"halo {halo} and shape {shape} must be multiples of stride {stride}")
    if tile < 2 * halo + stride:
        raise ValueError(f"tile {tile} leaves no room beside a halo of {halo}")
    return tuple(
        Tile((y[0], y[1]), (x[0], x[1]), (y[2], y[3]), (x[2], x[3]))
        for y in _cuts(shape[0], tile, halo, stride)
        for x in _cuts(shape[1], tile, halo, stride)
    )
