"""Projections against torch-fourier-slice and against what is known without a computer."""

import math

import pytest
import torch

from nt2c.simulation.projection import project, random_rotations


def blobs(n, *, centres, sigma):
    """Gaussian blobs of height 1 at (x, y, z) voxels from the middle, volume [z, y, x]."""
    axis = torch.arange(n) - n // 2
    volume = torch.zeros(n, n, n)
    for x, y, z in centres:
        r2 = (axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2
        volume += torch.exp(-r2 / (2 * sigma**2))
    return volume


def random_volume(n=48, seed=0, spread=0.2):
    """Blobs within `spread` n of each other.

    Linear interpolation in a transform padded to 2 n dims what lies r from the middle by
    sinc^2(r / 2n) per axis for oblique slices and not at all for slices along the axes; the
    projection undoes it for all. So slices along the axes are wrong by (pi r / 2n)^2 / 3 per axis:
    1 % for r = n / 10.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = (torch.rand((12, 3), generator=generator) - 0.5) * spread * n
    return blobs(n, centres=centres.tolist(), sigma=1.6)


def rotation(axis, degrees):
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return {
        "x": torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis][None]


IDENTITY = torch.eye(3)[None]


def relative_error(got, expected):
    return float((got - expected).norm() / expected.norm())


def test_equals_torch_fourier_slice_within_interpolation():
    oracle = pytest.importorskip("torch_fourier_slice")
    volume = random_volume(spread=0.5)
    rotations = random_rotations(6, torch.Generator().manual_seed(1))
    got = project(volume, rotations, 1.0)
    # torch-fourier-slice turns the slice and not the object: its matrices are the transposes.
    same_padding = oracle.project_3d_to_2d(volume, rotations.mT, pad_factor=2.0)
    assert relative_error(got, same_padding) < 1e-5
    finer = oracle.project_3d_to_2d(volume, rotations.mT, pad_factor=4.0)
    assert relative_error(got, finer) < 0.02


def test_without_rotation_it_is_the_sum_along_z():
    volume = random_volume()
    got = project(volume, IDENTITY, 2.5)[0]
    assert relative_error(got, 2.5 * volume.sum(dim=0)) < 0.03


def test_a_gaussian_blob_lands_where_the_rotation_takes_it():
    point, sigma, n = torch.tensor([7.0, -4.0, 9.0]), 2.0, 48
    rotations = random_rotations(5, torch.Generator().manual_seed(2))
    images = project(blobs(n, centres=[point.tolist()], sigma=sigma), rotations, 1.0)
    axis = torch.arange(n) - n // 2
    for matrix, image in zip(rotations, images, strict=True):
        x, y, _ = (matrix @ point).tolist()
        spot = torch.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * sigma**2))
        expected = spot * math.sqrt(2 * math.pi) * sigma  # the integral along the ray
        assert relative_error(image, expected) < 0.03


def test_a_ball_looks_the_same_from_everywhere():
    images = project(
        blobs(40, centres=[(0, 0, 0)], sigma=4.0),
        random_rotations(8, torch.Generator().manual_seed(3)),
        1.0,
    )
    assert (images - images[0]).abs().max() < 0.01 * images.max()


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        # A quarter turn about z takes x to y: the image turns with it.
        ("z", lambda v: v.sum(0).T.flip(1)),
        # About x: y to z, z to -y. The ray now runs along the old y, rows count the old z down.
        ("x", lambda v: v.sum(1).flip(0)),
        # About y: z to x, x to -z.
        ("y", lambda v: v.sum(2).T),
    ],
)
def test_quarter_turns(axis, expected):
    volume = random_volume()
    got = project(volume, rotation(axis, 90.0), 1.0)[0][1:, 1:]
    # Reflection about the middle voxel n // 2 maps 1..n-1 onto itself.
    assert relative_error(got, expected(volume[1:, 1:, 1:])) < 0.03


def test_half_turns_about_x_and_y_differ_by_one_about_z():
    volume = random_volume()
    about_x, about_y = (project(volume, rotation(a, 180.0), 1.0)[0] for a in "xy")
    assert relative_error(about_x[1:, 1:], about_y[1:, 1:].flip(0, 1)) < 1e-3


def test_linear_and_scaled_by_the_voxel():
    a, b = random_volume(seed=1), random_volume(seed=2)
    rotations = random_rotations(3, torch.Generator().manual_seed(4))
    both = project(2 * a - 3 * b, rotations, 1.0)
    apart = 2 * project(a, rotations, 1.0) - 3 * project(b, rotations, 1.0)
    assert (both - apart).abs().max() < 1e-4 * both.abs().max()
    assert relative_error(project(a, rotations, 4.0), 4 * project(a, rotations, 1.0)) < 1e-6


def test_the_integral_is_kept():
    volume = random_volume()
    images = project(volume, random_rotations(5, torch.Generator().manual_seed(5)), 1.0)
    totals = images.sum(dim=(1, 2))
    assert torch.allclose(totals, volume.sum().expand(5), rtol=0.02)


def test_rotations_are_rotations():
    matrices = random_rotations(500, torch.Generator().manual_seed(6))
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).expand(500, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(500), atol=1e-5)


def test_rotations_are_uniform():
    count = 20000
    matrices = random_rotations(count, torch.Generator().manual_seed(7))
    # Every entry of a uniform rotation is uniform on [-1, 1]: mean 0, variance 1/3, and the
    # rotation angle has density (1 - cos t) / pi, so the mean of the trace is 0.
    limit = 4 / math.sqrt(count)
    assert float(matrices.mean(dim=0).abs().max()) < limit
    assert float((matrices.square().mean(dim=0) - 1 / 3).abs().max()) < limit
    trace = matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert abs(float(trace.mean())) < limit
    assert abs(float(trace.square().mean()) - 1) < 3 * limit
    pair = torch.einsum("nij,nkl->ijkl", matrices[:-1], matrices[1:]) / count
    assert float(pair.abs().max()) < limit  # one draw says nothing of the next
