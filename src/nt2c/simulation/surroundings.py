"""What is in a micrograph besides particles and ice: contamination, carbon, gradients, hot pixels.

None of it belongs to the clean signal of the particles.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.core.random import Draw


def _grid(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return torch.arange(shape[0])[:, None].float(), torch.arange(shape[1])[None].float()


def contamination(
    shape: tuple[int, int], pixel_size_a: float, count: int, generator: torch.Generator
) -> Float[Tensor, "y x"]:
    """Thickness in angstrom of `count` blobs of frozen contamination, 150-1500 A wide.

    Polygons with rounded or sharp edges, as transmission-damping extra ice.
    """
    y, x = _grid(shape)
    thickness, draw = torch.zeros(shape), Draw(generator)
    for _ in range(count):
        centre_y, centre_x = draw.uniform(0, shape[0]), draw.uniform(0, shape[1])
        radius = draw.log_uniform(75, 750) / pixel_size_a
        corners = int(torch.randint(4, 9, (), generator=generator))
        angle = torch.atan2(y - centre_y, x - centre_x) + draw.uniform(0, 2 * math.pi)
        sector = torch.remainder(angle, 2 * math.pi / corners) - math.pi / corners
        outline = radius * math.cos(math.pi / corners) / torch.cos(sector)
        roundness = draw.uniform(0, 1)
        outline = roundness * radius + (1 - roundness) * outline
        distance = torch.hypot(y - centre_y, x - centre_x) - outline
        edge = draw.uniform(5, 60) / pixel_size_a
        height = draw.uniform(100, 1500)
        thickness += height * torch.sigmoid(-distance / edge)
    return thickness


def carbon_edge(
    shape: tuple[int, int], pixel_size_a: float, generator: torch.Generator
) -> Float[Tensor, "y x"]:
    """Mask in [0, 1] of the carbon film outside a hole of about a micrometre."""
    (y, x), draw = _grid(shape), Draw(generator)
    radius = draw.uniform(5000, 15000) / pixel_size_a
    angle = draw.uniform(0, 2 * math.pi)
    # The edge crosses the field at a random distance from its centre.
    reach = radius + draw.uniform(-0.4, 0.45) * min(shape)
    centre_y = shape[0] / 2 + reach * math.sin(angle)
    centre_x = shape[1] / 2 + reach * math.cos(angle)
    distance = torch.hypot(y - centre_y, x - centre_x) - radius
    inside_hole = draw.chance(0.5)
    edge = draw.uniform(5, 40) / pixel_size_a
    return torch.sigmoid((distance if inside_hole else -distance) / edge)


def illumination(
    shape: tuple[int, int], strength: float, generator: torch.Generator
) -> Float[Tensor, "y x"]:
    """Slow multiplicative background around 1: a random plane and parabola of given strength."""
    y, x = _grid(shape)
    v, u = 2 * y / shape[0] - 1, 2 * x / shape[1] - 1
    a = strength * torch.randn(5, generator=generator)
    return (1 + a[0] * v + a[1] * u + a[2] * v * u + a[3] * v**2 + a[4] * u**2).clamp(min=0.2)


def hot_pixels(
    counts: Float[Tensor, "... y x"], rate: float, generator: torch.Generator
) -> Float[Tensor, "... y x"]:
    """Replace a share `rate` of pixels by counts far above (x-rays) or zero (dead pixels)."""
    chance = torch.rand(counts.shape, generator=generator, device=counts.device)
    excess = torch.rand(counts.shape, generator=generator, device=counts.device)
    bright = counts + counts.std() * (10 + 100 * excess)
    return torch.where(chance < 0.5 * rate, bright, counts.masked_fill(chance > 1 - 0.5 * rate, 0))
