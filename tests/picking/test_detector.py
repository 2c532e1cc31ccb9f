import numpy as np
import pytest

from nt2c.picking.detector import Blobs, claimed, find_blobs, scales_px

SHAPE = (160, 190)


def dark(centres: list[tuple[float, float]], diameters: list[float]) -> np.ndarray:
    """Dark Gaussians whose response is greatest at a diameter: sigma of it over 2 sqrt 2."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for (cy, cx), diameter in zip(centres, diameters, strict=True):
        sigma = diameter / (2 * 2**0.5)
        image -= np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return image


def test_centres_are_found_to_a_fraction_of_a_pixel() -> None:
    centres = [(40.3, 50.7), (80.0, 120.5), (110.45, 60.1)]
    found = find_blobs(dark(centres, [16] * 3), 16)[:3]
    for centre in centres:
        assert np.hypot(*(found.yx_px - centre).T).min() < 0.05


def test_a_range_gives_each_blob_its_diameter_and_equal_blobs_equal_heights() -> None:
    sizes = [12.0, 20.0, 30.0]
    found = find_blobs(dark([(40, 40), (100, 60), (80, 140)], sizes), (10.0, 36.0))[:3]
    order = np.argsort(found.diameter_px)
    assert np.log(found.diameter_px[order] / sizes) == pytest.approx(0, abs=0.08)  # half a step
    assert np.ptp(found.height) < 0.03 * found.height.max()


def test_scales_cover_the_range_in_equal_steps() -> None:
    scales = scales_px((10.0, 40.0))
    assert (scales[0], scales[-1]) == pytest.approx((10, 40))
    assert np.ptp(np.diff(np.log(scales))) < 1e-9
    assert scales[1] / scales[0] == pytest.approx(1.15, abs=0.02)


def test_no_centre_lies_where_none_is_allowed() -> None:
    rng = np.random.default_rng(0)
    allowed = np.ones(SHAPE, bool)
    allowed[:, :100] = False
    found = find_blobs(rng.standard_normal(SHAPE), 10, 0.75, allowed)
    everywhere = find_blobs(rng.standard_normal(SHAPE), 10, 0.75)
    assert found.yx_px[:, 1].min() >= 99.5
    assert len(everywhere) > 1.5 * len(found) > 0


def test_blobs_are_taken_greedily_as_in_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    image = rng.standard_normal(SHAPE)
    candidates = find_blobs(image, (8.0, 14.0), 1e-6)
    kept: list[int] = []
    for i in range(len(candidates)):
        apart = [
            np.hypot(*(candidates.yx_px[i] - candidates.yx_px[j]))
            >= 0.9 * (candidates.diameter_px[i] + candidates.diameter_px[j]) / 2
            for j in kept
        ]
        if all(apart):
            kept.append(i)
    found = find_blobs(image, (8.0, 14.0), 0.9)
    assert found.yx_px == pytest.approx(candidates.yx_px[kept])
    near = claimed(candidates, found, 0.9)
    assert near.all()  # each is one of them, or too near to one


def test_blobs_near_others_are_claimed() -> None:
    one = Blobs(np.array([[10.0, 10], [10, 30]]), np.ones(2), np.full(2, 20.0))
    other = Blobs(np.array([[10.0, 24.0]]), np.ones(1), np.full(1, 10.0))
    assert claimed(one, other, 0.75).tolist() == [False, True]  # 14 and 6 px away; 11.25 claim
    assert not claimed(one, other[:0]).any()
