"""Where particles go: random centres without overlap, up to a wanted coverage."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def place(
    shape: tuple[int, int],
    diameters_px: Tensor,
    generator: torch.Generator,
    *,
    attempts: int = 6,
) -> tuple[Float[Tensor, "placed 2"], Tensor]:
    """Put discs at random positions so that none overlap (random sequential addition).

    Parameters
    ----------
    shape : tuple of int
        Field (y, x) in pixels; centres lie inside.
    diameters_px : Tensor
        Diameter of every particle that is to be placed, in order, shape (n,).
    generator : torch.Generator
        Stream on the CPU.
    attempts : int
        Positions tried for a particle before it is left out.

    Returns
    -------
    centres : Tensor
        (y, x) of the placed particles, integers.
    kept : Tensor
        Indices into `diameters_px` of the placed particles.
    """
    count = len(diameters_px)
    size = torch.tensor(shape)
    candidates = (torch.rand(count, attempts, 2, generator=generator) * size).floor()
    centres = torch.empty(count, 2)
    kept: list[int] = []
    radii = torch.empty(count)
    for i in range(count):
        n = len(kept)
        distance = (candidates[i][:, None] - centres[:n]).norm(dim=-1)
        free = (distance >= radii[:n] + diameters_px[i] / 2).all(-1)
        if bool(free.any()):
            centres[n] = candidates[i][int(free.float().argmax())]
            radii[n] = diameters_px[i] / 2
            kept.append(i)
    return centres[: len(kept)], torch.tensor(kept, dtype=torch.long)


def particle_count(shape: tuple[int, int], coverage: float, diameter_px: float) -> int:
    """Number of discs of a diameter that cover the given share of a field."""
    return round(coverage * shape[0] * shape[1] / (math.pi / 4 * diameter_px**2))
