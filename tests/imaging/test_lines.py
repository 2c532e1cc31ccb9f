"""Offsets of rows and columns are taken off; nothing else is."""

import math

import pytest
import torch

from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.imaging.lines import without_lines

PIXEL_A = 4.0
SHAPE = (256, 320)


def white(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grid():
    return torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij")


def particles():
    generator = torch.Generator().manual_seed(6)
    spots = -1.0 * (torch.rand(SHAPE, generator=generator) < 1 / 1600)
    field = gaussian_lowpass(spots, 6.0)
    return field / field.abs().max()


def carbon(angle_deg):
    y, x = grid()
    angle = math.radians(angle_deg)
    distance = math.cos(angle) * (x - 150) + math.sin(angle) * (y - 128)
    return -4.0 * torch.sigmoid(distance)


def filament(angle_deg):
    y, x = grid()
    angle = math.radians(angle_deg)
    distance = math.cos(angle) * (x - 150) + math.sin(angle) * (y - 128)
    return -0.8 * (distance.abs() < 4)


@pytest.mark.parametrize("which", ["rows", "columns", "both"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_offsets_are_removed(which, strength):
    rows = strength * white(SHAPE[0], 1, seed=1) * (which != "columns")
    columns = strength * white(1, SHAPE[1], seed=2) * (which != "rows")
    clean = white(*SHAPE) + 0.5 * particles()
    left = without_lines((clean + rows + columns)[None], PIXEL_A)[0] - clean
    for dim, offsets in ((1, rows), (0, columns)):
        if float(offsets.abs().max()):
            # The means of the noise itself, of variance 1 / 256 or less, cannot be told apart.
            power = float(left.mean(dim).var()) - 1 / SHAPE[dim]
            assert power < 0.05 * strength**2
    assert float(left.var()) < 0.1 * strength**2 + 0.01


@pytest.mark.parametrize(
    "added",
    [
        torch.zeros(SHAPE),
        particles(),
        carbon(17.0),
        carbon(60.0),
        filament(9.0),
        filament(45.0),
        filament(80.0),
    ],
    ids=["noise", "particles", "carbon 17", "carbon 60", "filament 9", "filament 45",
         "filament 80"],
)  # fmt: skip
def test_an_image_without_lines_is_left_as_it_is(added):
    image = (white(*SHAPE, seed=3) + added)[None]
    assert torch.equal(without_lines(image, PIXEL_A), image)


def blocks(parts):
    """Offsets of blocks of columns, as of amplifiers, of the whole or of two halves (y)."""
    values = white(parts, 5, seed=8).repeat_interleave(SHAPE[1] // 5, 1)
    return values.repeat_interleave(SHAPE[0] // parts, 0)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_offsets_of_blocks_are_removed_with_those_of_rows(parts, strength):
    rows = strength * white(SHAPE[0], 1, seed=1)
    clean = white(*SHAPE) + 0.5 * particles()
    added = strength * blocks(parts)
    added = added - added.mean() + rows - rows.mean()
    left = without_lines((clean + added)[None], PIXEL_A)[0] - clean
    # What the noise has on these few lines goes with them.
    assert float(left.var()) < 0.05 * float(added.var()) + 0.01


def test_offsets_of_the_halves_of_rows_are_removed():
    rows = 0.5 * white(SHAPE[0], 2, seed=1).repeat_interleave(SHAPE[1] // 2, 1)
    clean = white(*SHAPE)
    left = without_lines((clean + rows)[None], PIXEL_A)[0] - clean
    assert float(left.var()) < 0.05 * 0.25 + 0.01


def test_a_gradient_of_the_ice_is_no_offset():
    y, x = grid()
    image = (white(*SHAPE, seed=3) + 2.0 * x / SHAPE[1] - 1.0 * y / SHAPE[0])[None]
    assert torch.equal(without_lines(image, PIXEL_A), image)


def test_a_striped_image_does_not_change_the_others_of_its_batch():
    plain = white(*SHAPE, seed=4)
    striped = plain + white(SHAPE[0], 1, seed=5)
    done = without_lines(torch.stack([plain, striped]), PIXEL_A)
    torch.testing.assert_close(done[0], plain, atol=1e-5, rtol=0)
    assert float((done[1] - striped).var()) > 0.5


@pytest.mark.parametrize("shape", [(2, 2), (20, 300), (300, 20)])
def test_small_images_are_left_as_they_are(shape):
    image = white(1, *shape)
    assert torch.equal(without_lines(image, PIXEL_A), image)


def test_a_constant_image_stays_one():
    image = torch.full((1, *SHAPE), 3.0)
    assert torch.equal(without_lines(image, PIXEL_A), image)


def test_an_outline_in_one_part_of_the_lines_is_no_offset():
    """A dark bar across the left of the field, with sharp edges, as of a grid or of ice."""
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(1, 300, 320, generator=generator)
    image[:, 100:140, :130] -= 30.0
    image[:, 200:215, :90] -= 15.0
    torch.testing.assert_close(without_lines(image, 4.0), image)
