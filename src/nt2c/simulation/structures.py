"""Atoms and density maps as volumes of contrast potential: what a particle adds to the ice.

A particle in ice is seen by the difference of its electrostatic potential from that of the water it
displaces. Each atom contributes the potential of an isolated atom, a sum of Gaussians, and takes
away ice in a Gaussian of its own volume:

    V(k) = sum_atoms exp(-2 pi i k.r) [47.878 f(k) - V_ice v exp(-pi v^(2/3) k^2)]

with the electron scattering factor f(k) in angstrom [1]_, the volume v displaced by the atom [2]_
and the mean inner potential V_ice of amorphous ice [3]_. Atoms are at rest: the B-factor belongs to
the optics of a micrograph, not to its specimen.

References
----------
.. [1] L.-M. Peng et al., Acta Cryst. A52 (1996) 257; International Tables C, table 4.3.2.2;
   47.878 V A^2 = h^2 / (2 pi m e).
.. [2] R. D. B. Fraser, T. P. MacRae and E. Suzuki, J. Appl. Cryst. 11 (1978) 693, table 1.
.. [3] M. Vulovic et al., J. Struct. Biol. 183 (2013) 19: 4.53 V at 0.93 g/cm^3.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nt2c.core.errors import InputError, SettingsError

if TYPE_CHECKING:
    import gemmi

ICE_POTENTIAL_V = 4.53
"""Mean inner potential of amorphous ice at 0.93 g/cm^3."""

POTENTIAL_V_A2 = 47.87801
"""Volt square angstrom of potential per angstrom of electron scattering amplitude."""

PROTEIN_CONTRAST_V = 3.0
"""Typical mean contrast potential of a protein in ice, for maps without a scale of their own."""

_DISPLACED_A3 = {"H": 5.15, "C": 16.44, "N": 2.49, "O": 9.13, "P": 5.73, "S": 19.86}
_MARGIN_A = 6.0
_SPREAD_PX = 4
_ATOMS_AT_ONCE = 4096

Atoms = dict[str, tuple[Tensor, Tensor]]
"""Element -> positions [atoms, (x, y, z)] in angstrom, and how many atoms each stands for."""


def structure_volume(
    structure: "gemmi.Structure",
    pixel_size_a: float,
    *,
    assembly: str | None = "1",
    ice_potential_v: float = ICE_POTENTIAL_V,
) -> Tensor:
    """Return the contrast potential of an atomic model against ice, band-limited to the voxel size.

    Waters are left out (they are the solvent). Hydrogens that the model does not hold are placed
    on the heavy atoms of their residue.

    Parameters
    ----------
    structure : gemmi.Structure
        The model. Without assemblies of its own, models that lie apart are taken for the copies
        of an assembly, models that coincide for alternatives, of which the first is used.
    pixel_size_a : float
        Voxel size of the result, angstrom.
    assembly : str or None
        Name of the biological assembly to build; None takes the coordinates as deposited. A
        structure that lists no assembly is taken as deposited.
    ice_potential_v : float
        Mean inner potential of the displaced ice, volt; 0 gives the potential in vacuum.

    Returns
    -------
    Tensor
        float32 [z, y, x], volt. A cube of an even number n of voxels that holds the particle in
        every orientation, centre of mass at index n // 2. Frequencies from Nyquist upwards are
        zero; the sum of voxels times the voxel volume is the exact integral.

    Raises
    ------
    InputError
        The structure has no atoms, an element without scattering factors, or not this assembly.
    SettingsError
        `pixel_size_a` is not positive.
    """
    _check_pixel_size(pixel_size_a)
    atoms = _centred(_collect_atoms(structure, assembly))
    radius_a = max(float(positions.norm(dim=1).max()) for positions, _ in atoms.values())
    size = 4 * math.ceil((2 * (radius_a + _MARGIN_A) / pixel_size_a + 4) / 4)
    k2 = _squared_frequencies(size, pixel_size_a)
    total = torch.zeros(k2.shape, dtype=torch.complex64)
    for element, (positions, weights) in atoms.items():
        total += _points(positions / pixel_size_a, weights, size) * _form_factor(
            element, k2, ice_potential_v
        )
    volume: Tensor = torch.fft.irfftn(total, s=(size, size, size)) / pixel_size_a**3
    return volume


def map_volume(
    density: Tensor,
    density_pixel_size_a: float,
    pixel_size_a: float,
    *,
    threshold: float | None = None,
    contrast_v: float = PROTEIN_CONTRAST_V,
) -> Tensor:
    """Return a density map as contrast potential at another voxel size.

    The background (the median) is subtracted, what lies farther than about 10 A outside the
    envelope is masked off, the mean within the envelope is scaled to `contrast_v`, and the map is
    resampled in Fourier space: in-band content is kept, everything above the new Nyquist frequency
    is removed.

    Parameters
    ----------
    density : Tensor
        Map [z, y, x], any scale, protein positive; any shape.
    density_pixel_size_a, pixel_size_a : float
        Voxel size of the map and of the result, angstrom; any ratio.
    threshold : float, optional
        Level of the particle's envelope in units of the map; default: 3 standard deviations above
        the background.
    contrast_v : float
        Mean contrast potential within the envelope, volt.

    Returns
    -------
    Tensor
        float32 [z, y, x], volt; a cube of an even number n of voxels, centre of mass at n // 2.

    Raises
    ------
    InputError
        The map is not finite, or nothing in it is above the threshold.
    SettingsError
        A voxel size is not positive.
    """
    _check_pixel_size(pixel_size_a)
    _check_pixel_size(density_pixel_size_a)
    if density.ndim != 3 or not bool(torch.isfinite(density).all()):
        raise InputError("the map must be three-dimensional and finite; check the file")
    work = density.float() - density.median()
    level = 3 * float(work.std()) if threshold is None else threshold - float(density.median())
    inside = work > level
    if not bool(inside.any()):
        raise InputError(
            f"no voxel of the map is above the threshold {level + float(density.median()):.4g}; "
            "give a lower one, and check that the particle is positive"
        )
    work = work * _soft_mask(inside, 5.0 / density_pixel_size_a)
    work = work * (contrast_v / work[inside].mean())
    centre = inside.nonzero().float().mean(dim=0)
    reach = (inside.nonzero().float() - centre).norm(dim=1).max() * density_pixel_size_a
    size = 2 * math.ceil((float(reach) + 3 * 5.0) / pixel_size_a + 1)
    for axis in range(3):
        offset = float(centre[axis]) * density_pixel_size_a
        matrix = _resampling(work.shape[axis], density_pixel_size_a, size, pixel_size_a, offset)
        work = torch.movedim(torch.tensordot(matrix, work, dims=([1], [axis])), 0, axis)
    return work.contiguous()


def volume_diameter_a(volume: Tensor, pixel_size_a: float, level_v: float = 1.0) -> float:
    """Return the diameter of the smallest sphere about voxel n // 2 that holds the particle.

    Parameters
    ----------
    volume : Tensor
        Contrast potential [z, y, x] in volt, a cube of n voxels.
    pixel_size_a : float
        Voxel size, angstrom.
    level_v : float
        Voxels above this belong to the particle, volt.

    Raises
    ------
    InputError
        No voxel is above the level.
    """
    inside = (volume > level_v).nonzero() - volume.shape[0] // 2
    if len(inside) == 0:
        raise InputError(f"no voxel is above {level_v} V; check the scale of the volume")
    return 2 * float(inside.float().norm(dim=1).max()) * pixel_size_a


def _check_pixel_size(pixel_size_a: float) -> None:
    if not (math.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise SettingsError(f"pixel_size_a must be positive, not {pixel_size_a}")


def _collect_atoms(structure: "gemmi.Structure", assembly: str | None) -> Atoms:
    """Return the atoms of an assembly by element, hydrogens included."""
    lists: dict[str, list[tuple[float, float, float, float]]] = {}
    for model in _models(structure, assembly):
        for chain in model:
            for residue in chain:
                if not residue.is_water():
                    _add_residue(residue, lists)
    if not lists:
        raise InputError(f"the structure {structure.name!r} holds no atoms; check the file")
    tables = {element: torch.tensor(rows) for element, rows in lists.items()}
    return {element: (table[:, :3], table[:, 3]) for element, table in tables.items()}


def _models(structure: "gemmi.Structure", assembly: str | None) -> "list[gemmi.Model]":
    """Return the models whose union is the particle."""
    import gemmi

    if len(structure) == 0:
        return []
    names = [item.name for item in structure.assemblies]
    if assembly is None or not names:
        return _apart(list(structure))
    if assembly not in names:
        raise InputError(
            f"the structure {structure.name!r} has no assembly {assembly!r}; it has "
            f"{', '.join(names)} (None takes the coordinates as deposited)"
        )
    chosen = structure.assemblies[names.index(assembly)]
    return [gemmi.make_assembly(chosen, structure[0], gemmi.HowToNameCopiedChain.Dup)]


def _apart(models: "list[gemmi.Model]") -> "list[gemmi.Model]":
    """Return the models whose centres lie more than 5 A from those of all earlier ones."""
    kept: list[gemmi.Model] = []
    for model in models:
        centre = model.calculate_center_of_mass()
        if all(centre.dist(other.calculate_center_of_mass()) > 5.0 for other in kept):
            kept.append(model)
    return kept


def _add_residue(
    residue: "gemmi.Residue", lists: dict[str, list[tuple[float, float, float, float]]]
) -> None:
    """Append (x, y, z, occupancy) of a residue's atoms, and of the hydrogens it lacks."""
    import gemmi

    heavy = []
    hydrogens = 0.0
    for atom in residue:
        row = (atom.pos.x, atom.pos.y, atom.pos.z, atom.occ)
        if atom.element.is_hydrogen:
            hydrogens += atom.occ
            lists.setdefault("H", []).append(row)
        elif atom.element.atomic_number > 0:
            heavy.append(row)
            lists.setdefault(atom.element.name, []).append(row)
    table = gemmi.find_tabulated_residue(residue.name)
    linked = table.is_amino_acid() or table.is_nucleic_acid()
    missing = table.hydrogen_count - (2 if linked else 0) - hydrogens
    occupancy = sum(row[3] for row in heavy)
    if missing > 0 and occupancy > 0:
        share = missing / occupancy
        lists.setdefault("H", []).extend((x, y, z, occ * share) for x, y, z, occ in heavy)


def _centred(atoms: Atoms) -> Atoms:
    """Move the centre of mass to the origin."""
    import gemmi

    mass = 0.0
    moment = torch.zeros(3, dtype=torch.float64)
    for element, (positions, weights) in atoms.items():
        weight = gemmi.Element(element).weight
        mass += weight * float(weights.double().sum())
        moment += weight * (positions.double() * weights.double()[:, None]).sum(dim=0)
    if mass <= 0:
        raise InputError("all atoms of the structure have occupancy 0; check the file")
    centre = (moment / mass).float()
    return {element: (points - centre, weights) for element, (points, weights) in atoms.items()}


def _form_factor(element: str, k2: Tensor, ice_potential_v: float) -> Tensor:
    """Contrast of one atom, potential minus displaced ice, V A^3, at squared frequencies, 1/A^2."""
    import gemmi

    table = gemmi.Element(element).c4322
    if table is None:
        raise InputError(f"no electron scattering factor is known for the element {element}")
    coefficients = table.get_coefs()
    terms = len(coefficients) // 2
    result = torch.zeros_like(k2)
    for amplitude, width in zip(coefficients[:terms], coefficients[terms:], strict=True):
        result += POTENTIAL_V_A2 * amplitude * torch.exp(k2 * (-width / 4))
    volume = displaced_volume_a3(element)
    return result - ice_potential_v * volume * torch.exp(k2 * (-math.pi * volume ** (2 / 3)))


def displaced_volume_a3(element: str) -> float:
    """Return the volume of solvent that an atom displaces, cubic angstrom.

    From table 1 of Fraser, MacRae and Suzuki (1978); for elements not in it (metals, mostly) the
    sphere of the covalent radius.

    Parameters
    ----------
    element : str
        Symbol of the element.
    """
    import gemmi

    if element in _DISPLACED_A3:
        return _DISPLACED_A3[element]
    return float(4 / 3 * math.pi * gemmi.Element(element).covalent_r ** 3)


def _squared_frequencies(size: int, pixel_size_a: float) -> Tensor:
    """Squared spatial frequency [z, y, x // 2 + 1] of a cube, 1/A^2."""
    whole = torch.fft.fftfreq(size, pixel_size_a) ** 2
    half = torch.fft.rfftfreq(size, pixel_size_a) ** 2
    squared: Tensor = whole[:, None, None] + whole[None, :, None] + half[None, None, :]
    return squared


def _points(positions_px: Tensor, weights: Tensor, size: int) -> Tensor:
    """Fourier transform [z, y, x // 2 + 1] of weighted points, origin at index size // 2.

    Points are spread as Gaussians on a grid 1.5 times finer and the Gaussian is divided out, the
    non-uniform FFT of Greengard and Lee, SIAM Review 46 (2004) 443; frequencies from Nyquist
    upwards are zero. `positions_px` are [points, (x, y, z)] from the origin, in voxels.
    """
    fine = size * 3 // 2
    grid = torch.zeros(fine**3)
    offsets = torch.arange(-_SPREAD_PX, _SPREAD_PX + 1)
    for start in range(0, len(weights), _ATOMS_AT_ONCE):
        part = slice(start, start + _ATOMS_AT_ONCE)
        centres = positions_px[part] * 1.5 + fine // 2
        nearest = centres.round()
        gauss = torch.exp(-0.5 * (offsets + (nearest - centres)[..., None]) ** 2)
        x, y, z = (gauss / gauss.sum(dim=-1, keepdim=True)).unbind(dim=1)
        values = torch.einsum("ai,aj,ak->aijk", z * weights[part, None], y, x)
        index = (nearest.long()[..., None] + offsets).remainder(fine)
        flat = (index[:, 2, :, None] * fine + index[:, 1, None, :])[..., None] * fine
        grid.index_add_(0, (flat + index[:, 0, None, None, :]).flatten(), values.flatten())
    transform = _crop(torch.fft.rfftn(grid.view(fine, fine, fine)), size)
    undone: Tensor = transform * torch.exp(2 * math.pi**2 * _squared_frequencies(size, 1.5))
    return undone


def _crop(transform: Tensor, size: int) -> Tensor:
    """Keep the frequencies below Nyquist of a cube of `size` voxels from a finer rfftn."""
    half = size // 2
    kept = torch.cat([torch.arange(half + 1), torch.arange(1 - half, 0) + transform.shape[0]])
    result = transform[:, :, : half + 1][:, kept][kept].clone()
    result[half], result[:, half], result[:, :, half] = 0, 0, 0
    return result


def _soft_mask(inside: Tensor, sigma_px: float) -> Tensor:
    """Mask in 0..1: 1 as far as about one sigma outside, 0 beyond about three."""
    transform = torch.fft.rfftn(inside.float())
    for axis, count in enumerate(inside.shape):
        last = axis == inside.ndim - 1
        frequency = torch.fft.rfftfreq(count) if last else torch.fft.fftfreq(count)
        shape = [-1 if other == axis else 1 for other in range(inside.ndim)]
        blur = torch.exp(-2 * (math.pi * sigma_px * frequency) ** 2)
        transform = transform * blur.view(shape)
    smooth = torch.fft.irfftn(transform, s=inside.shape)
    return torch.where(inside, 1.0, (8 * smooth).clamp(0, 1))


def _resampling(
    count: int, spacing_a: float, new_count: int, new_spacing_a: float, centre_a: float
) -> Tensor:
    """Matrix [new, old] of trigonometric interpolation along one axis, band-limited to both grids.

    New samples lie at `centre_a` + (j - new_count // 2) new_spacing_a; those outside the old period
    are zero.
    """
    length_a = count * spacing_a
    x_new = centre_a + (np.arange(new_count) - new_count // 2) * new_spacing_a
    x_old = np.arange(count) * spacing_a
    limit = math.ceil(min(count / 2, length_a / new_spacing_a / 2)) - 1
    phase = 2 * np.pi / length_a * (x_new[:, None] - x_old[None, :])
    matrix = np.ones_like(phase)
    for harmonic in range(1, limit + 1):
        matrix += 2 * np.cos(harmonic * phase)
    within = (x_new > -spacing_a / 2) & (x_new < length_a - spacing_a / 2)
    return torch.from_numpy((matrix * within[:, None] / count).astype(np.float32))
