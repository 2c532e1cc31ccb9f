import numpy as np
import pytest
import torch

from nt2c.core.errors import SettingsError
from nt2c.core.random import stream
from nt2c.imaging.fourier import resize
from nt2c.noise.extraction import (
    ExtractionSettings,
    contrast,
    find_windows,
    survey,
    window_px,
)

PIXEL_A = 4.0
SHAPE = (200, 232)
STRICT = (0.008, 24.0)
ANY = (1e9, 0.0)


def white(seed=0, shape=SHAPE):
    return torch.randn(shape, generator=stream(seed, "test noise"))


def discs(centres, radius, depth=0.3, shape=SHAPE):
    """Zero, and -depth in discs."""
    y, x = torch.meshgrid(torch.arange(shape[0]) * 1.0, torch.arange(shape[1]) * 1.0, indexing="ij")
    image = torch.zeros(shape)
    for a, b in centres:
        image[torch.hypot(y - a, x - b) <= radius] = -depth
    return image


def extract(scaled=None, estimate=None, size=24, level=STRICT, allowed=None, seed=0, **settings):
    settings = ExtractionSettings(**{"per_micrograph": 10000, **settings})
    scaled = white() if scaled is None else scaled
    estimate = torch.zeros_like(scaled) if estimate is None else estimate
    seen = survey(scaled, estimate, PIXEL_A, settings, allowed)
    return find_windows(seen, settings, size, level, stream(seed, "test windows"))


def covered(windows, shape=SHAPE):
    """How many windows lie over each pixel."""
    count = np.zeros(shape, int)
    for y, x in zip(windows.y_px, windows.x_px, strict=True):
        count[y : y + windows.size_px, x : x + windows.size_px] += 1
    return count


def test_no_window_touches_a_particle_even_at_a_corner():
    centres = [(60, 60), (60, 150), (140, 100), (150, 190)]
    signal = discs(centres, 12)
    windows = extract(white() + signal, signal)
    assert len(windows) > 5
    assert not covered(windows)[signal.numpy() < 0].any()
    assert (windows.evidence <= STRICT[0]).all()


def test_signal_in_the_margin_counts_as_signal_in_the_window():
    signal = discs([(100, 116)], 12)
    near = covered(extract(estimate=signal, level=(0.008, 0.0), overlap=0.5)).astype(bool)
    far = covered(extract(estimate=signal, level=(0.008, 40.0), overlap=0.5)).astype(bool)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(y - 100, x - 116) - 12
    assert distance[near].min() < 6
    assert distance[far].min() >= 10


def test_bright_parts_are_no_particles():
    bright = -discs([(100, 116)], 12)
    assert covered(extract(estimate=bright, overlap=0.5))[100, 116] > 0
    assert covered(extract(estimate=-bright, overlap=0.5))[100, 116] == 0


def test_evidence_is_the_local_energy_of_the_estimate():
    # A disc of 30 px keeps, between periods of 20 and 200 A, most of its depth near its rim.
    windows = extract(estimate=discs([(100, 116)], 15, depth=0.5), level=ANY, overlap=0.5)
    strongest = windows.evidence.max()
    assert 0.1 * 0.25 < strongest < 1.5 * 0.25
    weaker = extract(estimate=discs([(100, 116)], 15, depth=0.25), level=ANY, overlap=0.5)
    assert strongest / weaker.evidence.max() == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize(("size", "margin_a"), [(24, 0.0), (32, 12.0), (8, 24.0)])
def test_evidence_of_a_window_is_the_greatest_in_it_and_its_margin(size, margin_a):
    settings = ExtractionSettings(per_micrograph=20)
    seen = survey(white(), white(1), PIXEL_A, settings)
    windows = find_windows(seen, settings, size, (1e9, margin_a), stream(0, "test windows"))
    margin = round(margin_a / PIXEL_A)
    assert len(windows) == 20
    for y, x, evidence in zip(windows.y_px, windows.x_px, windows.evidence, strict=True):
        top, left = max(0, y - margin), max(0, x - margin)
        around = seen.energy[top : y + size + margin, left : x + size + margin]
        assert evidence == float(around.max())


@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_overlap_is_limited(overlap):
    windows = extract(overlap=overlap)
    corners = np.stack([windows.y_px, windows.x_px], 1)
    sides = (24 - np.abs(corners[:, None] - corners)).clip(min=0).prod(-1) / 24**2
    np.fill_diagonal(sides, 0)
    assert sides.max() <= overlap
    if overlap:
        assert sides.max() > 0
        assert len(windows) > len(extract())


def test_a_micrograph_gives_its_quota():
    assert len(extract(per_micrograph=7)) == 7


def test_the_border_is_left_free():
    count = covered(extract(border_a=60.0, overlap=0.5))
    assert count[15:-15, 15:-15].any()
    count[15:-15, 15:-15] = 0
    assert not count.any()


def test_windows_lie_where_they_are_allowed():
    allowed = torch.zeros(SHAPE, dtype=torch.bool)
    allowed[50:120, 100:200] = True
    count = covered(extract(allowed=allowed))
    assert count[50:120, 100:200].any()
    assert not count[~allowed.numpy()].any()


def test_dark_contamination_and_gradients_are_left_out():
    scaled = white()
    scaled[:, :80] -= 3
    count = covered(extract(scaled, overlap=0.5))
    assert count[:, 110:].any()
    assert not count[:, :90].any()


def test_regions_of_other_variance_are_left_out():
    scaled = white()
    scaled[:, :80] *= 2
    scaled[:, 80:140] *= 1.15  # thicker ice is still ice
    count = covered(extract(scaled, overlap=0.5))
    assert not count[:, :70].any()
    assert count[:, 85:135].any()


def test_crystals_are_left_out():
    scaled = white()
    crystal = 0.8 * torch.sin(2 * torch.pi * torch.arange(100) / 2.6)  # ten angstrom
    scaled[:, :100] += crystal
    count = covered(extract(scaled, overlap=0.3, size=48))
    assert count[:, 120:].any()
    assert not count[:, :60].any()


def test_an_enlarged_micrograph_has_windows_too():
    enlarged = resize(white(shape=(128, 150)), SHAPE)
    assert len(extract(enlarged / enlarged.std())) > 10


def test_the_quietest_windows_are_not_preferred():
    estimate = 0.05 * white(3)
    everything = extract(estimate=estimate, level=ANY, overlap=0.5).evidence
    some = np.concatenate(
        [
            extract(estimate=estimate, level=ANY, per_micrograph=12, seed=seed).evidence
            for seed in range(20)
        ]
    )
    # Mean of 240 draws, of which windows of one seed do not overlap.
    assert abs(some.mean() - everything.mean()) < 4 * everything.std() / len(some) ** 0.5


def test_the_same_stream_draws_the_same_windows():
    first, second, other = extract(), extract(), extract(seed=1)
    assert np.array_equal(first.y_px, second.y_px)
    assert not np.array_equal(first.y_px[:5], other.y_px[:5])


def test_a_window_larger_than_the_micrograph_is_not_found():
    assert len(extract(size=240)) == 0
    assert len(extract(size=240).evidence) == 0


def test_contrast_tells_particles_from_none():
    settings = ExtractionSettings()
    signal = discs([(60, 60), (60, 150), (140, 100), (150, 190)], 12, depth=2.0)
    assert contrast(survey(white(), signal, PIXEL_A, settings), settings) > 0.35
    assert contrast(survey(white(), 0.01 * white(1), PIXEL_A, settings), settings) < 0.05


def test_sizes_are_multiples_of_eight_pixels():
    assert [window_px(a, PIXEL_A) for a in (256, 100, 96, 3)] == [64, 24, 24, 8]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"windows_a": (96.0, 128.0)}, "large to small"),
        ({"levels": ((0.1, 12.0), (0.01, 12.0))}, "strict"),
        ({"least": 10, "count": 5}, "more than count"),
        ({"faint": (0.5, 0.1)}, "lower limit"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(values, text):
    with pytest.raises(SettingsError, match=text):
        ExtractionSettings.parse(values)
