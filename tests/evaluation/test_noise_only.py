import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.evaluation import noise_only
from nt2c.picking.detector import Blobs, find_blobs
from tests.evaluation.conftest import smooth

DIAMETER = 16
CENTRES = [(40, 40), (40, 120), (120, 50), (110, 130), (170, 90)]


def blobs_of(height):
    return Blobs(np.zeros((len(height), 2)), height, np.ones(len(height)))


def discs(shape, centres, diameter, depth):
    y, x = np.ogrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for cy, cx in centres:
        image[np.hypot(y - cy, x - cx) <= diameter / 2] -= depth
    return image


def test_variance_ratio_of_known_variances(rng):
    particles = rng.standard_normal((100, 100))
    assert noise_only.variance_ratio(0.5 * particles + 9, particles) == pytest.approx(0.25)
    with pytest.raises(InputError, match="constant"):
        noise_only.variance_ratio(particles, np.ones((4, 4)))


def test_dark_discs_are_found_at_their_centres(rng):
    image = discs((200, 200), CENTRES, DIAMETER, 10) + 0.3 * smooth(rng, (200, 200), 3)
    blobs = find_blobs(image, DIAMETER)
    threshold = noise_only.pick_threshold([blobs])
    assert blobs.count(threshold) == len(CENTRES)
    found = {tuple(p) for p in np.round(blobs.yx_px[: len(CENTRES)]).astype(int).tolist()}
    for cy, cx in CENTRES:
        assert any(abs(cy - y) <= 1 and abs(cx - x) <= 1 for y, x in found)


def test_bright_discs_are_not_taken(rng):
    dark = discs((200, 200), CENTRES, DIAMETER, 10)
    threshold = noise_only.pick_threshold(
        [find_blobs(dark + 0.3 * smooth(rng, dark.shape, 3), DIAMETER)]
    )
    assert find_blobs(-dark, DIAMETER).count(threshold) == 0


def test_response_is_strongest_for_the_stated_diameter():
    heights = {
        size: find_blobs(discs((200, 200), [(100, 100)], size, 1), DIAMETER).height[0]
        for size in (8, 12, 16, 22, 32)
    }
    assert max(heights, key=heights.get) == DIAMETER


def test_blobs_keep_a_diameter_apart_and_off_the_border(rng):
    blobs = find_blobs(rng.standard_normal((150, 170)), DIAMETER)
    assert len(blobs.height) > 20
    gaps = np.hypot(*(blobs.yx_px[:, None] - blobs.yx_px[None]).transpose(2, 0, 1))
    assert gaps[np.triu_indices(len(gaps), 1)].min() >= DIAMETER
    assert blobs.yx_px.min() >= DIAMETER / 2 - 0.5
    assert (blobs.yx_px <= np.array([150, 170]) - 0.5 - DIAMETER / 2).all()
    assert (np.diff(blobs.height) <= 0).all()


def test_blobs_may_be_asked_to_lie_nearer_or_farther(rng):
    image = rng.standard_normal((150, 170))
    counts = []
    for spacing in (0.5, 1.0, 2.0):
        blobs = find_blobs(image, DIAMETER, spacing)
        gaps = np.hypot(*(blobs.yx_px[:, None] - blobs.yx_px[None]).transpose(2, 0, 1))
        assert gaps[np.triu_indices(len(gaps), 1)].min() >= spacing * DIAMETER
        assert blobs.yx_px.min() >= DIAMETER / 2 - 0.5
        counts.append(len(blobs.height))
    assert counts[0] > counts[1] > counts[2]


def test_a_flat_image_holds_no_blob():
    assert find_blobs(np.full((100, 100), 7.0), DIAMETER).count(1e-9) == 0


def test_otsu_threshold_separates_two_groups():
    blobs = [
        blobs_of(np.array([9.0, 10.0, 11.0])),
        blobs_of(np.array([0.5, 1.0, 1.5, 2.0])),
    ]
    assert noise_only.pick_threshold(blobs) == pytest.approx((2 + 9) / 2)
    with pytest.raises(InputError, match="too few"):
        noise_only.pick_threshold([])


def test_otsu_threshold_leaves_the_least_variance_within_the_classes(rng):
    heights = rng.gamma(1.5, size=60)
    blobs = blobs_of(heights)
    low = heights < noise_only.pick_threshold([blobs])

    def within(low):
        return sum(part.var() * part.size for part in (heights[low], heights[~low]))

    best = min(within(heights <= height) for height in np.sort(heights)[:-1])
    assert within(low) == pytest.approx(best)


def test_unsuitable_diameter_is_refused():
    with pytest.raises(InputError, match="quarter"):
        find_blobs(np.zeros((50, 200)), 20)
