"""A plan of tiles: every pixel once, halos inside the image, origins on the network's grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nt2c.imaging.tiles import plan_tiles


@st.composite
def plans(draw):
    stride = draw(st.sampled_from([1, 2, 8, 16]))
    halo = stride * draw(st.integers(0, 4))
    tile = 2 * halo + stride * draw(st.integers(1, 6)) + draw(st.integers(0, stride - 1))
    shape = tuple(stride * draw(st.integers(1, 40)) for _ in range(2))
    return shape, tile, halo, stride


@settings(deadline=None, max_examples=200)
@given(plans())
def test_plan(plan):
    shape, tile, halo, stride = plan
    cover = np.zeros(shape, int)
    for part in plan_tiles(*plan):
        for outer, inner, size in (
            (part.outer_y, part.inner_y, shape[0]),
            (part.outer_x, part.inner_x, shape[1]),
        ):
            assert 0 <= outer[0] <= inner[0] < inner[1] <= outer[1] <= size
            assert outer[1] - outer[0] <= tile
            assert all(edge % stride == 0 for edge in (*outer, *inner))
            # The halo is whole, except where the image ends.
            assert inner[0] - outer[0] >= min(halo, inner[0])
            assert outer[1] - inner[1] >= min(halo, size - inner[1])
        cover[slice(*part.inner_y), slice(*part.inner_x)] += 1
    assert (cover == 1).all()


@settings(deadline=None, max_examples=25)
@given(plans(), st.integers(0, 99))
def test_tiled_equals_whole_for_an_operation_of_that_reach(plan, seed):
    shape, _, halo, _ = plan
    reach = min(halo, 8)
    image = torch.randint(-9, 9, shape, generator=torch.Generator().manual_seed(seed)).float()
    kernel = torch.randint(-3, 4, (2 * reach + 1, 2 * reach + 1)).float()

    def operation(field):
        padded = field[None, None]
        return torch.nn.functional.conv2d(padded, kernel[None, None], padding=reach)[0, 0]

    whole, tiled = operation(image), torch.full(shape, torch.nan)
    for part in plan_tiles(*plan):
        done = operation(image[slice(*part.outer_y), slice(*part.outer_x)])
        rows, columns = (
            slice(inner[0] - outer[0], inner[1] - outer[0])
            for outer, inner in ((part.outer_y, part.inner_y), (part.outer_x, part.inner_x))
        )
        tiled[slice(*part.inner_y), slice(*part.inner_x)] = done[rows, columns]
    assert torch.equal(tiled, whole)  # whole numbers: exact in float32


def test_one_tile_when_the_image_fits():
    (part,) = plan_tiles((64, 48), 64, 16, 16)
    assert part.outer_y == part.inner_y == (0, 64)
    assert part.outer_x == part.inner_x == (0, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((65, 64), 64, 16, 16), "multiples of stride"),
        (((64, 64), 64, 15, 16), "multiples of stride"),
        (((640, 640), 32, 16, 16), "no room"),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_tiles(*arguments)
