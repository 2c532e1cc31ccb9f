"""Placement: no overlaps, the coverage that is asked, nothing when nothing is asked."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nt2c.simulation.placement import particle_count, place


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 99),
    st.lists(st.floats(4.0, 40.0), max_size=60),
    st.tuples(st.integers(30, 300), st.integers(30, 300)),
)
def test_no_two_particles_overlap(seed, diameters, shape):
    sizes = torch.tensor(diameters)
    centres, kept = place(shape, sizes, stream(seed))
    assert centres.shape == (len(kept), 2)
    assert len(set(kept.tolist())) == len(kept) <= len(diameters)
    if len(kept) == 0:
        return
    assert bool((centres >= 0).all())
    assert bool((centres < torch.tensor(shape)).all())
    touching = (sizes[kept][:, None] + sizes[kept]) / 2
    distance = torch.cdist(centres, centres) + torch.diag(torch.full((len(kept),), 1e6))
    assert bool((distance >= touching - 1e-3).all())


@pytest.mark.parametrize("coverage", [0.05, 0.15, 0.3])
def test_coverage_is_as_asked(coverage):
    shape, diameter = (400, 500), 12.0
    count = particle_count(shape, coverage, diameter)
    area = count * math.pi / 4 * diameter**2
    assert area / (400 * 500) == pytest.approx(coverage, rel=0.01)
    placed = len(place(shape, torch.full((count,), diameter), stream(1))[1])
    # Random sequential addition with six tries jams well above these coverages.
    assert placed >= 0.9 * count


def test_denser_than_possible_leaves_particles_out():
    count = particle_count((200, 200), 0.9, 20.0)
    placed = len(place((200, 200), torch.full((count,), 20.0), stream(2))[1])
    assert 0.35 * count < placed < 0.7 * count  # jamming of discs is at 0.547 coverage


def test_empty_fields():
    assert particle_count((200, 200), 0.0, 20.0) == 0
    centres, kept = place((200, 200), torch.empty(0), stream(3))
    assert centres.shape == (0, 2)
    assert len(kept) == 0


def test_centres_are_uniform_over_the_field():
    centres, _ = place((1000, 2000), torch.full((2000,), 2.0), stream(4))
    scaled = centres / torch.tensor([1000.0, 2000.0])
    limit = 4 / math.sqrt(12 * len(centres))
    assert bool(((scaled.mean(dim=0) - 0.5).abs() < limit).all())
    assert bool(((scaled.var(dim=0) * 12 - 1).abs() < 0.1).all())


def test_streams():
    sizes = torch.full((50,), 8.0)
    one, same, other = (place((300, 300), sizes, stream(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one[:10], other[:10])
