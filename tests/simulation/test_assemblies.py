"""Procedural assemblies: they have the symmetry, the size and the contrast that is asked."""

import pytest
import torch

from nt2c.core.random import stream
from nt2c.simulation.assemblies import (
    KINDS,
    RESIDUE_CONTRAST_V_A3,
    SYMMETRIES,
    Assembly,
    _carve,
    random_assembly,
    rasterize,
    symmetry_matrices,
)
from nt2c.simulation.structures import structure_volume

ORDERS = {"C1": 1, "C2": 2, "C7": 7, "C12": 12, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetry_matrices_are_a_group_of_rotations(symmetry):
    matrices = symmetry_matrices(symmetry)
    count = len(matrices)
    assert torch.allclose(matrices[0], torch.eye(3))
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).expand(count, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(count), atol=1e-5)
    products = torch.einsum("aij,bjk->abik", matrices, matrices).reshape(-1, 1, 9)
    nearest = (products - matrices.reshape(1, -1, 9)).abs().amax(dim=-1).min(dim=1)
    assert float(nearest.values.max()) < 1e-4  # closed ...
    assert bool((nearest.indices.bincount() == count).all())  # ... each reached equally often


@pytest.mark.parametrize(("symmetry", "order"), ORDERS.items())
def test_orders(symmetry, order):
    assert len(symmetry_matrices(symmetry)) == order


@pytest.fixture(scope="module")
def drawn() -> list[Assembly]:
    generator = torch.Generator().manual_seed(5)
    return [random_assembly(d, generator) for d in (70.0, 150.0, 240.0) for _ in range(12)]


def density_at(points, cloud, sigma_a=8.0):
    distance = torch.cdist(points, cloud)
    return torch.exp(-(distance**2) / (2 * sigma_a**2)).sum(dim=1)


def test_assemblies_have_the_symmetry_they_name(drawn):
    checked = 0
    for assembly in drawn:
        matrices = symmetry_matrices(assembly.symmetry)
        if len(matrices) == 1:
            continue
        cloud = assembly.positions_a
        probe = cloud[:: max(1, len(cloud) // 60)]
        own = density_at(probe, cloud)
        turned = density_at(torch.einsum("ij,nj->ni", matrices[len(matrices) // 2], probe), cloud)
        # Residues of overlapping subunits are thinned on a lattice, which is not symmetric.
        assert float((turned - own).abs().mean() / own.mean()) < 0.1
        wrong = density_at(probe + 0.2 * assembly.diameter_a, cloud)
        assert float((wrong - own).abs().mean() / own.mean()) > 0.3  # the test can fail
        checked += 1
    assert checked > 5


def test_size_and_kind(drawn):
    assert {a.kind for a in drawn} == set(KINDS)
    assert len({a.symmetry for a in drawn}) > 5
    for index, assembly in enumerate(drawn):
        asked = (70.0, 150.0, 240.0)[index // 12]
        assert assembly.diameter_a == pytest.approx(asked, abs=5.0)
        assert torch.isfinite(assembly.positions_a).all()
        assert len(assembly.positions_a) > 20


def test_no_denser_than_protein(drawn):
    for assembly in drawn:
        volume = rasterize(assembly, 4.0, 80, blur_a=6.0)
        # 3.4 V is protein of full density; thinning keeps one residue per 134 A^3 cell.
        assert float(volume.max()) < 6.0


def test_same_stream_same_assembly():
    one, same, other = (
        random_assembly(120.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.positions_a, same.positions_a)
    assert one.positions_a.shape != other.positions_a.shape or not torch.equal(
        one.positions_a, other.positions_a
    )


@pytest.mark.parametrize("voxel_size_a", [2.0, 4.0])
def test_rasterize_keeps_integral_place_and_axes(voxel_size_a):
    point = torch.tensor([[10.0, -4.0, 6.0]])  # x, y, z
    assembly = Assembly(point, torch.tensor([500.0]), "C1", "globular")
    volume = rasterize(assembly, voxel_size_a, 24)
    assert float(volume.sum()) * voxel_size_a**3 == pytest.approx(500, rel=1e-4)
    grid = (torch.arange(24) - 12) * voxel_size_a
    for dims, expected in (((0, 1), 10.0), ((0, 2), -4.0), ((1, 2), 6.0)):
        centre = float((volume.sum(dim=dims) * grid).sum() / volume.sum())
        assert centre == pytest.approx(expected, abs=0.05)


def test_residue_contrast_agrees_with_atoms(tmp_path):
    from nt2c.io.structures import read_structure

    # Alanine, not far from the mean residue: C3 N O, 5 H.
    lines = [
        f"ATOM  {i:5d}  {name:<3} ALA A   1    {x:8.3f}   0.000   0.000  1.00  0.00           {e}"
        for i, (name, x, e) in enumerate(
            [("N", 0, "N"), ("CA", 1.5, "C"), ("C", 3, "C"), ("O", 4, "O"), ("CB", 2, "C")], 1
        )
    ]
    path = tmp_path / "ala.pdb"
    path.write_text("\n".join([*lines, "END\n"]))
    alanine = float(structure_volume(read_structure(path), 2.0).sum()) * 8
    assert alanine * 4.9 / 3 == pytest.approx(RESIDUE_CONTRAST_V_A3, rel=0.25)


def test_small_units_are_not_carved_away() -> None:
    few = torch.randn(3, 3, generator=stream(1, "few residues"))
    for number in range(20):
        assert len(_carve(few, stream(1, "waves", number))) == len(few)
