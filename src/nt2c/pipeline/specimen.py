"""The user's own particles: files of structures and maps, as species to simulate."""

from pathlib import Path

import torch

from nt2c.io.structures import read_map, read_structure
from nt2c.simulation.bank import Species
from nt2c.simulation.species import map_species, structure_species

_MAPS = (".mrc", ".map", ".ccp4")


def species_from_file(
    path: Path, pixel_size_a: float, views: int, generator: torch.Generator
) -> Species:
    """Project the particle that a file holds in random orientations.

    Parameters
    ----------
    path : Path
        mmCIF or PDB file (its first biological assembly), or an MRC or CCP4 map; also compressed.
    pixel_size_a : float
        Pixel size of the projections, angstrom.
    views : int
        Number of orientations.
    generator : torch.Generator
        Stream on the CPU.

    Raises
    ------
    InputError
        The file cannot be read as what its name says.
    """
    ending = path.with_suffix("").suffix if path.suffix in (".gz", ".bz2") else path.suffix
    if ending.lower() in _MAPS:
        density, density_pixel_a = read_map(path)
        return map_species(density, density_pixel_a, pixel_size_a, views, generator, name=path.name)
    return structure_species(read_structure(path), pixel_size_a, views, generator, name=path.name)
