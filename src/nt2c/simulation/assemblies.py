"""Procedural random assemblies, so that a general model never learns one shape.

Globular domains of residue-sized points, chained at random, hollowed or flattened, repeated by a
point group. All lengths in angstrom, axes (x, y, z), origin at the centre of the assembly.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nt2c.core.random import Draw

# A mean residue scatters like 22.5 angstrom (electron scattering lengths at zero angle of
# C4.9 N1.35 O1.5 H7.8) and fills 134 cubic angstrom; times 47.88 V angstrom^2, less the
# 4.6 V mean inner potential of the water that it displaces.
RESIDUE_VOLUME_A3 = 134.0
RESIDUE_CONTRAST_V_A3 = 22.5 * 47.88 - 4.6 * RESIDUE_VOLUME_A3
_LEAST_RESIDUES = 8
SYMMETRIES = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C12", "D2", "D3", "D4", "D5", "D7",
              "T", "O", "I")  # fmt: skip
KINDS = ("globular", "hollow", "elongated", "disc")


@dataclass(frozen=True)
class Assembly:
    """Residue-sized scatterers: positions (n, 3) in angstrom and contrast (n,) in V angstrom^3."""

    positions_a: Tensor
    weights_v_a3: Tensor
    symmetry: str
    kind: str

    @property
    def diameter_a(self) -> float:
        """Diameter of the smallest sphere about the origin that holds all points."""
        return 2 * float(self.positions_a.norm(dim=-1).max()) + 5.0


def _axis_rotation(axis: tuple[float, float, float], angle: float) -> Tensor:
    """Rotation by `angle` radian about `axis` (Rodrigues' formula)."""
    x, y, z = functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0).tolist()
    k = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def _generators(symmetry: str) -> list[Tensor]:
    third, half = 2 * math.pi / 3, math.pi
    if symmetry == "T":
        return [_axis_rotation((0, 0, 1), half), _axis_rotation((1, 1, 1), third)]
    if symmetry == "O":
        return [_axis_rotation((0, 0, 1), math.pi / 2), _axis_rotation((1, 1, 1), third)]
    if symmetry == "I":
        golden = (1 + math.sqrt(5)) / 2
        return [
            _axis_rotation((0, 0, 1), half),
            _axis_rotation((1, 1, 1), third),
            _axis_rotation((0, 1, golden), 2 * math.pi / 5),
        ]
    order = int(symmetry[1:])
    rotation = [_axis_rotation((0, 0, 1), 2 * math.pi / order)]
    return rotation if symmetry[0] == "C" else [*rotation, _axis_rotation((1, 0, 0), half)]


def symmetry_matrices(symmetry: str) -> Float[Tensor, "order 3 3"]:
    """All rotations of a point group: "C7", "D2", "T", "O" or "I", the identity first."""
    matrices = [torch.eye(3, dtype=torch.float64)]
    generators = _generators(symmetry)
    for matrix in matrices:  # grows until closed under the generators
        for generator in generators:
            candidate = generator @ matrix
            if all((candidate - known).abs().max() > 1e-6 for known in matrices):
                matrices.append(candidate)
    return torch.stack(matrices).float()


def _ellipsoid(semi_axes_a: Tensor, generator: torch.Generator) -> Tensor:
    """Residue positions on a jittered lattice (so packed evenly) inside a rotated ellipsoid."""
    from nt2c.simulation.projection import random_rotations

    spacing = RESIDUE_VOLUME_A3 ** (1 / 3)
    steps = [torch.arange(-math.ceil(float(a) / spacing), math.ceil(float(a) / spacing) + 1)
             for a in semi_axes_a]  # fmt: skip
    lattice = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3) * spacing
    lattice = lattice + spacing * (torch.rand(lattice.shape, generator=generator) - 0.5)
    inside = ((lattice / semi_axes_a) ** 2).sum(-1) <= 1
    return lattice[inside] @ random_rotations(1, generator)[0].T


def _chain(kind: str, radius_a: float, generator: torch.Generator) -> Tensor:
    """One to five globular domains of mean radius `radius_a`, each touching an earlier one."""
    count = int(torch.randint(2 if kind == "elongated" else 1, 6, (), generator=generator))
    line = functional.normalize(torch.randn(3, generator=generator), dim=0)
    centres: list[Tensor] = []
    parts = []
    for _ in range(count):
        semi_axes = radius_a * (0.6 + 0.8 * torch.rand(3, generator=generator))
        if centres:
            step = functional.normalize(torch.randn(3, generator=generator), dim=0)
            if kind == "elongated":
                step = functional.normalize(line + 0.3 * step, dim=0)
                start = centres[-1]
            else:
                start = centres[int(torch.randint(len(centres), (), generator=generator))]
            centres.append(start + step * radius_a * Draw(generator).uniform(1.2, 2.0))
        else:
            centres.append(torch.zeros(3))
        parts.append(_ellipsoid(semi_axes, generator) + centres[-1])
    return torch.cat(parts)


def _carve(points: Tensor, generator: torch.Generator) -> Tensor:
    """Remove residues where a smooth random wave is low: clefts, pores and loose packing.

    A small unit that would vanish keeps all of them.
    """
    waves = 12
    direction = torch.randn(waves, 3, generator=generator)
    wavelength = 12 + 30 * torch.rand(waves, 1, generator=generator)
    k = 2 * math.pi * functional.normalize(direction, dim=-1) / wavelength
    phase = 2 * math.pi * torch.rand(waves, generator=generator)
    level = torch.cos(points @ k.T + phase).sum(-1) / math.sqrt(waves / 2)
    kept = points[level > Draw(generator).uniform(-2.0, -0.3)]
    return kept if len(kept) >= _LEAST_RESIDUES else points


def _disc(diameter_a: float, generator: torch.Generator) -> Tensor:
    """A flat or slightly bent membrane-like disc: two leaflets of head groups."""
    radius = 0.5 * diameter_a
    count = int(2 * math.pi * radius**2 * 18 / RESIDUE_VOLUME_A3)
    r = radius * torch.rand(count, generator=generator).sqrt()
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    leaflet = torch.randint(2, (count,), generator=generator) * 2 - 1
    z = leaflet * 20 + 4 * torch.randn(count, generator=generator)
    bend = Draw(generator).uniform(-0.15, 0.15) * r**2 / radius
    return torch.stack([r * torch.cos(angle), r * torch.sin(angle), z + bend], -1)


def random_assembly(diameter_a: float, generator: torch.Generator) -> Assembly:
    """Draw an assembly of about the given diameter.

    Parameters
    ----------
    diameter_a : float
        Diameter in angstrom, reached within the size of a residue.
    generator : torch.Generator
        Stream on the CPU.
    """
    draw = Draw(generator)
    kind = draw.choice(KINDS[:3] * 3 + KINDS[3:])
    # Few domains fill a small particle; a large one is built of many subunits.
    affordable = SYMMETRIES if diameter_a > 100 else SYMMETRIES[:9]
    symmetry = "C1" if kind == "disc" else draw.choice(affordable)
    matrices = symmetry_matrices(symmetry)
    order = len(matrices)
    if kind == "disc":
        unit = _disc(0.8 * diameter_a, generator)
        inserted = _chain("globular", 0.14 * diameter_a, generator)
        unit = torch.cat([unit, inserted])
    else:
        share = draw.uniform(0.25, 0.5) * (2 / order) ** (1 / 3 if order > 2 else 0)
        unit = _carve(_chain(kind, share * diameter_a / 2, generator), generator)
        unit = unit - unit.mean(0)
        if order > 1:
            # Distance of the subunit from the axis: small overlaps, large leaves a hole.
            reach = 0.5 * diameter_a * draw.uniform(0.35, 0.8)
            if kind == "hollow":
                reach = 0.5 * diameter_a * draw.uniform(0.7, 0.95)
            unit = unit + reach * functional.normalize(torch.randn(3, generator=generator), dim=0)
    points = torch.einsum("sij,nj->sni", matrices, unit).reshape(-1, 3)
    points = points - points.mean(0)
    if kind == "hollow" and order == 1:
        norm = points.norm(dim=-1)
        points = points[norm > draw.uniform(0.3, 0.7) * norm.max()]
    points = _thin(points * ((0.5 * diameter_a - 2.5) / points.norm(dim=-1).max()))
    weights = torch.full((len(points),), RESIDUE_CONTRAST_V_A3)
    return Assembly(points, weights, symmetry, kind)


def _thin(points: Tensor) -> Tensor:
    """Keep one residue per residue-sized cell, so that overlapping domains are not denser."""
    cell = torch.floor(points / RESIDUE_VOLUME_A3 ** (1 / 3)).long() + 1024
    key = (cell[:, 0] * 2048 + cell[:, 1]) * 2048 + cell[:, 2]
    _, inverse = torch.unique(key, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(points))
    first.scatter_reduce_(0, inverse, torch.arange(len(points)), "amin")
    return points[first]


def rasterize(
    assembly: Assembly, voxel_size_a: float, box: int, blur_a: float = 2.5
) -> Float[Tensor, "n n n"]:
    """Contrast potential in volt on a grid, axes (z, y, x), centred on voxel box // 2.

    Trilinear splatting followed by a Gaussian of `blur_a` (standard deviation of a residue).
    The integral, sum * voxel^3, equals the sum of the weights when the box holds the assembly.
    """
    position = assembly.positions_a.flip(-1) / voxel_size_a + box // 2
    base = torch.floor(position).long()
    fraction = position - base
    volume = torch.zeros(box**3)
    for corner in range(8):
        offset = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = torch.where(offset == 1, fraction, 1 - fraction).prod(-1)
        index = base + offset
        inside = ((index >= 0) & (index < box)).all(-1)
        flat = (index[:, 0] * box + index[:, 1]) * box + index[:, 2]
        volume.index_add_(0, flat[inside], (weight * assembly.weights_v_a3)[inside])
    k = torch.fft.fftfreq(box, voxel_size_a)
    gain = torch.exp(-2 * (math.pi * blur_a * k) ** 2)
    transfer = gain[:, None, None] * gain[:, None] * gain[: box // 2 + 1]
    spectrum = torch.fft.rfftn(volume.reshape(box, box, box)) * transfer
    return torch.fft.irfftn(spectrum, s=(box, box, box)) / voxel_size_a**3
