"""Fields of any size laid with small windows, without seams."""

import math

import torch
from jaxtyping import Float, Float16
from torch import Tensor

_OVERLAP = 0.25  # of the side of a window


def _step(side: int) -> int:
    return side - int(_OVERLAP * side)


def _blend_line(side: int, device: torch.device) -> Float[Tensor, " side"]:
    """Weight that rises and falls as a sine: squares of neighbours add up to 1."""
    ramp = side - _step(side)
    rise = torch.sin(0.5 * math.pi * (torch.arange(ramp, device=device) + 0.5) / ramp)
    return torch.cat([rise, torch.ones(side - 2 * ramp, device=device), rise.flip(0)])


def blend_overlap(side: int, grid: int, device: torch.device) -> Float[Tensor, "grid grid"]:
    """Part of the autocovariance that survives in a quilt, at the lags of an FFT of `grid` points.

    Two pixels are related only if one window covers both: this is the autocorrelation of the
    weights over the distance between windows. `grid` >= 2 `side`.
    """
    spectrum = torch.fft.rfft(_blend_line(side, device), n=grid).abs().square()
    line = torch.fft.irfft(spectrum, n=grid) / _step(side)
    return line[:, None] * line


def _turns_and_order(count: int, tiles: int, choices: int, generator: torch.Generator) -> Tensor:
    """Window (doubled, plus 1 if turned) of each tile: in one field each comes once, if it can."""
    device = generator.device
    rounds = math.ceil(tiles / choices)
    order = torch.rand(count, rounds, choices, generator=generator, device=device).argsort(-1)
    turns = torch.randint(2, (count, tiles), generator=generator, device=device)
    return 2 * order.flatten(1)[:, :tiles] + turns


def quilt(
    windows: Float16[Tensor, "n s s"], shape: tuple[int, int, int], generator: torch.Generator
) -> Float[Tensor, "count y x"]:
    """Lay windows over fields, neighbours overlapping by a quarter, blended in quadrature.

    Parameters
    ----------
    windows : Tensor
        Independent windows of mean 0, axes (n, y, x), on the device of the generator.
    shape : tuple of int
        Number and size of the fields (n, y, x). Each is cut from its quilt at an origin of its
        own, so that no place is more often a border than another.
    generator : torch.Generator
        Chooses the windows, whether they are turned by 180 degrees, and the origins.
    """
    count, height, width = shape
    device = windows.device
    side, step = windows.shape[-1], _step(windows.shape[-1])
    ramp = side - step
    line = _blend_line(side, device)
    weight = line[:, None] * line
    rows, columns = (math.ceil((size + side) / step) for size in (height, width))
    chosen = _turns_and_order(count, rows * columns, len(windows), generator)
    canvas = torch.zeros(count, rows * step + ramp, columns * step + ramp, device=device)
    for tile, index in enumerate(chosen.unbind(1)):
        window = windows[index // 2].float()
        window = torch.where((index % 2).bool()[:, None, None], window.flip(1, 2), window)
        y, x = tile // columns * step, tile % columns * step
        canvas[:, y : y + side, x : x + side] += window * weight
    origins = ramp + torch.randint(step, (count, 2), generator=generator, device=device)
    y_px = origins[:, :1] + torch.arange(height, device=device)
    x_px = origins[:, 1:] + torch.arange(width, device=device)
    item = torch.arange(count, device=device)[:, None, None]
    return canvas[item, y_px[:, :, None], x_px[:, None, :]]
