"""Atoms and maps -> contrast potential, and the readers that feed them."""

import bz2
import gzip
import resource
import zlib
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import torch

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.structures import read_map, read_structure
from nt2c.simulation.structures import map_volume, structure_volume, volume_diameter_a
from tests.reference import potential

PART = Path(__file__).resolve().parents[1] / "data" / "4hhb_chain_a.pdb.gz"
WHOLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "structures"

# One glycine and a water, written by hand. A free ligand would keep all its hydrogens; a residue
# in a chain loses two: C2H5NO2 -> C2H3NO.
GLYCINE = """\
ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00 10.00           N
ATOM      2  CA  GLY A   1       2.200   2.700   3.300  1.00 10.00           C
ATOM      3  C   GLY A   1       3.300   1.700   3.900  1.00 10.00           C
ATOM      4  O   GLY A   1       4.400   2.100   4.300  1.00 10.00           O
HETATM    5  O   HOH A   2      30.000  30.000  30.000  1.00 10.00           O
END
"""
GLYCINE_ATOMS = [
    (element, weight, position)
    for element, position in (
        ("N", (1.0, 2.0, 3.0)),
        ("C", (2.2, 2.7, 3.3)),
        ("C", (3.3, 1.7, 3.9)),
        ("O", (4.4, 2.1, 4.3)),
    )
    for element, weight in ((element, 1.0), ("H", 0.75))
]

RECORDS = ("ATOM", "HETA")

TWO_COPIES = """\
REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000
"""


def centred(atoms):
    masses = np.array([weight * gemmi.Element(element).weight for element, weight, _ in atoms])
    positions = np.array([position for _, _, position in atoms])
    centre = (masses[:, None] * positions).sum(axis=0) / masses.sum()
    return [(e, w, tuple(np.array(p) - centre)) for e, w, p in atoms]


def integral(volume, pixel_size_a):
    return float(volume.double().sum()) * pixel_size_a**3


def expected_integral(atoms):
    return potential.structure_factor(atoms, (0, 0, 0)).real


@pytest.fixture
def glycine(tmp_path):
    path = tmp_path / "gly.pdb"
    path.write_text(GLYCINE)
    return read_structure(path)


@pytest.mark.parametrize("pixel_size_a", [1.5, 2.6])
def test_volume_equals_direct_summation(glycine, pixel_size_a):
    volume = structure_volume(glycine, pixel_size_a)
    expected = potential.volume(centred(GLYCINE_ATOMS), volume.shape[0], pixel_size_a)
    # The gridding error is at most 0.3 % near Nyquist (docstring of _points), less elsewhere.
    assert np.abs(volume.numpy() - expected).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("pixel_size_a", [1.0, 3.3, 6.0])
def test_integral_does_not_depend_on_voxel_size(glycine, pixel_size_a):
    volume = structure_volume(glycine, pixel_size_a)
    assert integral(volume, pixel_size_a) == pytest.approx(
        expected_integral(GLYCINE_ATOMS), rel=1e-4
    )


def test_coarse_volume_is_the_fine_one_without_its_high_frequencies(glycine):
    fine = structure_volume(glycine, 1.0)
    coarse = structure_volume(glycine, 3.0)
    # Value of the fine volume's transform at the coarse volume's lowest frequency along x.
    k = 1 / (coarse.shape[2] * 3.0)

    def at(volume, spacing):
        x = (torch.arange(volume.shape[2]) - volume.shape[2] // 2) * spacing
        profile = volume.sum(dim=(0, 1)) * spacing**3
        return (profile * torch.exp(-2j * torch.pi * k * x)).sum()

    assert abs(at(fine, 1.0) - at(coarse, 3.0)) < 1e-2 * abs(at(coarse, 3.0))


CARBONS = """\
ATOM      1  C   UNL A   1       0.000   0.000   0.000  1.00 10.00           C
ATOM      2  C   UNL A   2      20.000  10.000   0.000  0.50 10.00           C
END
"""


@pytest.fixture
def carbons(tmp_path):
    path = tmp_path / "carbons.pdb"
    path.write_text(CARBONS)
    return read_structure(path)


def test_axes_are_z_y_x_and_the_centre_of_mass_is_in_the_middle(carbons):
    volume = structure_volume(carbons, 2.0, ice_potential_v=0.0)
    assert volume.dtype == torch.float32
    assert len(set(volume.shape)) == 1
    assert volume.shape[0] % 2 == 0
    middle = volume.shape[0] // 2
    heavy = torch.tensor([0.0, -10 / 3, -20 / 3]) / 2  # (z, y, x) from the middle, in voxels
    light = torch.tensor([0.0, 20 / 3, 40 / 3]) / 2
    peak = torch.tensor(np.unravel_index(int(volume.argmax()), volume.shape)) - middle
    assert (peak - heavy).abs().max() <= 0.51
    near = (light.round() + middle).long()
    assert volume[tuple(near)] > 0.2 * volume.max()
    assert volume[tuple(near.flip(0))] < 0.05 * volume.max()


def test_waters_are_solvent_and_vacuum_has_no_displacement(glycine):
    in_ice = integral(structure_volume(glycine, 2.0), 2.0)
    in_vacuum = integral(structure_volume(glycine, 2.0, ice_potential_v=0.0), 2.0)
    displaced = sum(w * potential.FRASER_A3[e] for e, w, _ in GLYCINE_ATOMS)
    assert in_vacuum - in_ice == pytest.approx(4.53 * displaced, rel=1e-4)


def test_assembly_is_built(tmp_path):
    path = tmp_path / "dimer.pdb"
    path.write_text(TWO_COPIES + GLYCINE)
    structure = read_structure(path)
    one = integral(structure_volume(structure, 2.0, assembly=None), 2.0)
    two = structure_volume(structure, 2.0)
    assert integral(two, 2.0) == pytest.approx(2 * one, rel=1e-4)
    # The two-fold axis along z maps the volume onto itself (the plane at -n/2 has no partner).
    inner = two[:, 1:, 1:]
    assert (inner - inner.flip(1, 2)).abs().max() < 1e-2 * two.max()
    with pytest.raises(InputError, match="no assembly '7'; it has 1"):
        structure_volume(structure, 2.0, assembly="7")


def test_chain_lists_of_old_entries_are_read_whole(tmp_path):
    old = TWO_COPIES.replace("CHAINS: A\n", "CHAINS: A, B,\nREMARK 350 C, D\n")
    atoms = [GLYCINE.splitlines()[0].replace("GLY A", f"GLY {chain}") for chain in "ABCD"]
    path = tmp_path / "old.pdb"
    path.write_text(old + "\n".join([*atoms, "END\n"]))
    four_chains_twice = integral(structure_volume(read_structure(path), 3.0), 3.0)
    path.write_text("\n".join([atoms[0], "END\n"]))
    assert four_chains_twice == pytest.approx(
        8 * integral(structure_volume(read_structure(path), 3.0), 3.0), rel=1e-4
    )


def shifted(text, by_a):
    """PDB text with all x coordinates increased."""
    return "".join(
        f"{line[:30]}{float(line[30:38]) + by_a:8.3f}{line[38:]}" if line[:4] in RECORDS else line
        for line in text.splitlines(keepends=True)
    )


@pytest.mark.parametrize(("apart_a", "copies"), [(0.5, 1), (40.0, 2)])
def test_models_that_lie_apart_are_copies_and_others_alternatives(tmp_path, apart_a, copies):
    body = GLYCINE.replace("END\n", "")
    second = shifted(body, apart_a)
    path = tmp_path / "models.pdb"
    path.write_text(f"MODEL        1\n{body}ENDMDL\nMODEL        2\n{second}ENDMDL\nEND\n")
    volume = structure_volume(read_structure(path), 3.0)
    assert integral(volume, 3.0) == pytest.approx(
        copies * expected_integral(GLYCINE_ATOMS), rel=1e-3
    )


@pytest.mark.parametrize(
    ("path", "expected_kda"),
    [
        (PART, 15.1),
        (WHOLE / "1mnf.pdb.gz", 805.0),
        (WHOLE / "2fha.pdb.gz", 24 * 21.2),
        (WHOLE / "8zpm.cif.gz", 48.0),
    ],
)
def test_real_entries_have_the_contrast_of_protein(path, expected_kda):
    if not path.exists():
        pytest.skip(f"{path} is not there")
    volume = structure_volume(read_structure(path), 4.0)
    inside = volume > 1.0
    assert 2.0 < float(volume[inside].mean()) < 3.5
    # Mass from the envelope: protein fills 1.21 A^3 per dalton.
    mass_kda = float(inside.sum()) * 4.0**3 / 1.21 / 1e3
    assert mass_kda == pytest.approx(expected_kda, rel=0.1)


def test_diameter_of_the_envelope():
    volume = torch.zeros(32, 32, 32)
    volume[16, 16, 6] = 3.0
    assert volume_diameter_a(volume, 2.0) == pytest.approx(40.0)
    with pytest.raises(InputError, match="no voxel"):
        volume_diameter_a(volume, 2.0, level_v=5.0)


def test_bad_structures_are_refused(glycine):
    with pytest.raises(InputError, match="holds no atoms"):
        structure_volume(gemmi.Structure(), 2.0)
    with pytest.raises(SettingsError, match="pixel_size_a"):
        structure_volume(glycine, 0.0)


# Files


@pytest.mark.parametrize("suffix", [".pdb", ".pdb.gz", ".cif", ".cif.gz"])
def test_read_structure_formats(tmp_path, glycine, suffix):
    text = glycine.make_mmcif_document().as_string() if ".cif" in suffix else GLYCINE
    path = tmp_path / f"gly{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    atoms = [cra.atom.name for cra in read_structure(path)[0].all()]
    assert atoms == ["N", "CA", "C", "O", "O"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.pdb", b""), ("b.cif", b"data_x\n_cell.length_a 1\n"), ("c.pdb.gz", b"not gzip")],
)
def test_read_structure_names_the_bad_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_structure(path)
    with pytest.raises(InputError, match=r"nowhere\.pdb"):
        read_structure(tmp_path / "nowhere.pdb")


def blob(shape, spacing_a, centre_a, sigma_a=8.0):
    axes = [
        torch.arange(count) * spacing_a - centre
        for count, centre in zip(shape, centre_a, strict=True)
    ]
    r2 = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
    return torch.exp(-r2 / (2 * sigma_a**2))


def test_read_map_gives_axes_and_voxel_size(tmp_path):
    path = tmp_path / "map.mrc"
    data = blob((10, 12, 14), 1.3, (5, 6, 9)).numpy()
    with mrcfile.new(path) as out:
        out.set_data(data)
        out.voxel_size = 1.3
    density, pixel_size_a = read_map(path)
    assert pixel_size_a == pytest.approx(1.3)
    assert np.array_equal(density.numpy(), data)
    with mrcfile.open(path, mode="r+") as out:
        out.header.mapc, out.header.maps = 3, 1
    assert np.array_equal(read_map(path)[0].numpy(), data.transpose(2, 1, 0))


def test_read_map_refuses_unknown_voxel_size(tmp_path):
    path = tmp_path / "map.mrc"
    with mrcfile.new(path) as out:
        out.set_data(np.ones((4, 4, 4), np.float32))
    with pytest.raises(InputError, match=r"map\.mrc.*voxels"):
        read_map(path)
    path.write_bytes(b"no map")
    with pytest.raises(InputError, match=r"map\.mrc"):
        read_map(path)


def bomb(head, gigabytes):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(int(1024 * gigabytes))]
    return b"".join([*parts, packer.flush()])


def test_what_swells_when_decompressed_is_refused_within_memory(tmp_path):
    path = tmp_path / "map.mrc"
    with mrcfile.new(path) as out:
        out.set_data(np.ones((4, 4, 4), np.float32))
        out.voxel_size = 1.0
        for axis in "xyz":
            out.header[f"n{axis}"] = out.header[f"m{axis}"] = 1000
            out.header.cella[axis] = 1000.0
    (tmp_path / "map.mrc.gz").write_bytes(bomb(path.read_bytes()[:1024], 0.01))
    (tmp_path / "model.pdb.gz").write_bytes(bomb(b"HEADER\n", 0.4))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"map\.mrc\.gz: claims to unpack"):
        read_map(tmp_path / "map.mrc.gz")
    with pytest.raises(InputError, match=r"model\.pdb\.gz.*not an atomic model"):
        read_structure(tmp_path / "model.pdb.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kB


def test_compressed_maps_are_read(tmp_path):
    plain = tmp_path / "map.mrc"
    data = blob((10, 12, 14), 1.3, (5, 6, 9)).numpy()
    with mrcfile.new(plain) as out:
        out.set_data(data)
        out.voxel_size = 1.3
    for ending, compress in ((".gz", gzip.compress), (".bz2", bz2.compress)):
        path = tmp_path / f"map.mrc{ending}"
        path.write_bytes(compress(plain.read_bytes()))
        assert np.array_equal(read_map(path)[0].numpy(), data)


@pytest.mark.parametrize("pixel_size_a", [2.0, 3.7, 5.0])
def test_map_volume_resamples_a_smooth_map(pixel_size_a):
    # Off centre, in a box that is not a cube, on an offset and a scale of its own.
    density = 5 + 0.02 * blob((50, 44, 48), 2.0, (48.0, 44.0, 52.0))
    threshold = 5 + 0.02 * 0.5
    volume = map_volume(density, 2.0, pixel_size_a, threshold=threshold, contrast_v=3.0)
    n = volume.shape[0]
    assert volume.shape == (n, n, n)
    assert n % 2 == 0
    # Within the half-maximum sphere of a Gaussian of height A the mean is 0.6709 A.
    expected = 3.0 / 0.6709 * blob((n, n, n), pixel_size_a, (n // 2 * pixel_size_a,) * 3)
    middle = expected > 0.5 * expected.max()
    error = (volume - expected)[middle].abs().max() / expected.max()
    assert float(error) < 0.05  # the half-maximum sphere is known to a voxel


def test_map_volume_masks_the_background():
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((40, 40, 40), generator=generator)
    density = 100 * blob((40, 40, 40), 2.0, (40.0, 40.0, 40.0), 6.0) + noise
    volume = map_volume(density, 2.0, 2.0, threshold=30.0)
    corner = volume[:3, :3, :3]
    assert float(corner.abs().max()) < 1e-3
    with pytest.raises(InputError, match="threshold"):
        map_volume(density, 2.0, 2.0, threshold=1e6)
    with pytest.raises(InputError, match="three-dimensional"):
        map_volume(density[0], 2.0, 2.0)
