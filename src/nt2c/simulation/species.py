"""Particles of known structure, as species that a micrograph can be filled with."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nt2c.simulation.bank import Species, species_from_volume, voxel_size_for
from nt2c.simulation.structures import map_volume, structure_volume, volume_diameter_a

if TYPE_CHECKING:
    import gemmi

_SURVEY_A = 6.0  # voxel size that is fine enough to measure a particle's extent


def structure_species(
    structure: "gemmi.Structure",
    pixel_size_a: float,
    views: int,
    generator: torch.Generator,
    *,
    name: str = "",
) -> Species:
    """Project the first biological assembly of an atomic model in random orientations.

    Parameters
    ----------
    structure : gemmi.Structure
        The model, see `structures.structure_volume`, which also says what is refused.
    pixel_size_a : float
        Pixel size of the projections, angstrom.
    views : int
        Number of orientations.
    generator : torch.Generator
        Stream on the CPU.
    name : str
        Name of the species; that of the structure when empty.
    """
    diameter_a = volume_diameter_a(structure_volume(structure, _SURVEY_A), _SURVEY_A)
    voxel_a = voxel_size_for(diameter_a, pixel_size_a)
    volume = structure_volume(structure, voxel_a)
    return species_from_volume(
        volume, voxel_a, pixel_size_a, diameter_a, name or structure.name, views, generator
    )


def map_species(
    density: Tensor,
    density_pixel_size_a: float,
    pixel_size_a: float,
    views: int,
    generator: torch.Generator,
    *,
    name: str,
) -> Species:
    """Project a density map in random orientations.

    Parameters
    ----------
    density : Tensor
        Map [z, y, x], see `structures.map_volume`, which also says what is refused.
    density_pixel_size_a, pixel_size_a : float
        Voxel size of the map and pixel size of the projections, angstrom.
    views : int
        Number of orientations.
    generator : torch.Generator
        Stream on the CPU.
    name : str
        Name of the species.
    """
    survey = map_volume(density, density_pixel_size_a, _SURVEY_A)
    diameter_a = volume_diameter_a(survey, _SURVEY_A)
    voxel_a = voxel_size_for(diameter_a, pixel_size_a)
    volume = map_volume(density, density_pixel_size_a, voxel_a)
    return species_from_volume(volume, voxel_a, pixel_size_a, diameter_a, name, views, generator)
