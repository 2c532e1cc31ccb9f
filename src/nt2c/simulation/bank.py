"""Projections of many particles, made once and pasted into many fields."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import resize
from nt2c.simulation.assemblies import random_assembly, rasterize
from nt2c.simulation.projection import project, random_rotations

_MAX_BOX = 160  # voxels; larger particles are projected at a coarser voxel and up-sampled


@dataclass(frozen=True)
class Species:
    """Views of one particle: projected contrast potential in V angstrom, (views, b, b).

    The box is square and even; the particle's centre is pixel b // 2.
    """

    projections: Tensor
    diameter_a: float
    name: str


def voxel_size_for(diameter_a: float, pixel_size_a: float) -> float:
    """Voxel size that holds a particle in an affordable box, never finer than the pixel."""
    return max(pixel_size_a, 1.15 * diameter_a / _MAX_BOX)


def box_for(diameter_a: float, voxel_size_a: float) -> int:
    """Even box with room for the particle in any orientation."""
    return 2 * math.ceil(0.5 * 1.1 * diameter_a / voxel_size_a) + 4


def species_from_volume(
    volume: Float[Tensor, "n n n"],
    voxel_size_a: float,
    pixel_size_a: float,
    diameter_a: float,
    name: str,
    views: int,
    generator: torch.Generator,
) -> Species:
    """Project a contrast potential (volt, axes z, y, x) in `views` random orientations."""
    images = project(volume, random_rotations(views, generator), voxel_size_a)
    box = 2 * round(volume.shape[0] * voxel_size_a / pixel_size_a / 2)
    images = resize(images, (box, box)) * _support(box, 0.5 * diameter_a / pixel_size_a)
    return Species(images, diameter_a, name)


def _support(box: int, radius_px: float) -> Float[Tensor, "b b"]:
    """1 inside the particle's sphere, falling to 0 at the edge of the box.

    Takes away the faint ghosts (about 1 %) that trilinear interpolation leaves around it.
    """
    line = torch.arange(box) - box // 2
    distance = torch.hypot(line[:, None].float(), line[None].float())
    edge = max(box / 2 - radius_px, 1.0)
    return 0.5 + 0.5 * torch.cos(math.pi * ((distance - radius_px) / edge).clamp(0, 1))


def procedural_species(
    diameter_a: float, pixel_size_a: float, views: int, generator: torch.Generator
) -> Species:
    """Draw a random assembly of the given diameter and project it."""
    assembly = random_assembly(diameter_a, generator)
    voxel_size_a = voxel_size_for(diameter_a, pixel_size_a)
    volume = rasterize(assembly, voxel_size_a, box_for(diameter_a, voxel_size_a))
    name = f"{assembly.kind}-{assembly.symmetry}-{diameter_a:.0f}A"
    return species_from_volume(
        volume, voxel_size_a, pixel_size_a, diameter_a, name, views, generator
    )


def procedural_bank(
    count: int,
    pixel_size_a: float,
    views: int,
    diameter_a: tuple[float, float],
    generator: torch.Generator,
) -> list[Species]:
    """Draw `count` random species with log-uniform diameters between the limits."""
    low, high = (math.log(d) for d in diameter_a)
    draws = torch.rand(count, generator=generator).tolist()
    return [
        procedural_species(math.exp(low + (high - low) * u), pixel_size_a, views, generator)
        for u in draws
    ]
