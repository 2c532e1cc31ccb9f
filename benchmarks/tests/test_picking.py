"""Picks are matched to true centres as docs/metrics.md says, and the curves follow from that."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.picking.blobs import Picks, judge, score_picks, thinned
from benchmarks.picking.matching import curve, match
from benchmarks.quality.fields import NOISE, DataSet, Field

from nt2c.evaluation.filters import gaussian


def test_a_true_centre_is_claimed_once_and_by_the_strongest_pick() -> None:
    picks = np.array([[10.0, 13.0], [10.0, 10.0], [40.0, 40.0]])
    assert match(picks, np.array([[10.0, 10.0], [41.0, 40.0]]), 20.0).tolist() == [0, -1, 1]


def test_a_pick_claims_the_nearest_free_centre_up_to_half_a_diameter_away() -> None:
    true = np.array([[0.0, 0.0], [0.0, 12.0]])
    assert match(np.array([[0.0, 7.0], [0.0, 8.0]]), true, 20.0).tolist() == [1, 0]
    assert match(np.array([[10.0, 0.0]]), true[:1], 20.0).tolist() == [0]
    assert match(np.array([[10.1, 0.0]]), true[:1], 20.0).tolist() == [-1]


@pytest.mark.parametrize(("picks", "true"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_match(picks: int, true: int) -> None:
    assert match(np.zeros((picks, 2)), np.zeros((true, 2)), 5.0).tolist() == [-1] * picks


def test_precision_recall_and_their_summaries_by_hand() -> None:
    # Two fields, four true centres: right, wrong, right at heights 3, 2, 1.
    swept = curve([np.array([3.0, 1.0]), np.array([2.0])], [[True, True], [False]], 4)
    assert swept.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert swept.recall == pytest.approx([1 / 4, 1 / 4, 1 / 2])
    assert swept.average_precision == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)
    assert swept.best == (pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)), 1.0)


def test_picks_of_one_height_enter_together() -> None:
    swept = curve([np.ones(4)], [np.array([True, True, False, False])], 2)
    assert swept.precision.tolist() == [0.5]
    assert swept.average_precision == 0.5


def test_no_picks_score_nothing() -> None:
    swept = curve([], [], 5)
    assert swept.average_precision == 0
    assert swept.best == (0.0, float("inf"))
    assert thinned(swept) == {}


def test_centres_at_the_border_do_not_count_nor_do_picks_on_them() -> None:
    field = Field("a", np.zeros((100, 100)), np.zeros((100, 100)), 1.0, diameter_a=20.0,
                  centres_px=np.array([[5.0, 50.0], [50.0, 50.0]]))  # fmt: skip
    picks = Picks(np.array([[11.0, 50.0], [50.0, 51.0], [80.0, 80.0]]), np.array([3.0, 2.0, 1.0]))
    judged = judge(field, picks)
    assert judged.true == 1
    assert judged.height.tolist() == [2, 1]
    assert judged.right.tolist() == [True, False]


def make_set(noise_sd: float) -> tuple[DataSet, dict[str, np.ndarray]]:
    """Dark discs on noise, and noise alone."""
    rng = np.random.default_rng(0)
    centres = np.array([[40.0, 40.0], [40.0, 100.0], [100.0, 60.0]])
    rows, columns = np.mgrid[:140, :140]
    discs = -sum((np.hypot(rows - y, columns - x) < 10) * 1.0 for y, x in centres)
    noise = noise_sd * rng.standard_normal((2, 140, 140))
    field = Field("a", discs + noise[0], discs, 1.0, noise_only=noise[1], diameter_a=20.0,
                  centres_px=centres)  # fmt: skip
    data = DataSet("some", "truth", (field,))
    return data, {shot.name: shot.image for shot in data.shots}


def test_clear_discs_are_all_found_and_nothing_in_the_noise() -> None:
    scores = score_picks(*make_set(0.1))
    assert scores["average_precision"] == 1
    assert scores["best_f1"] == 1
    assert scores["false_per_noise_field"] == 0


def test_bright_discs_are_none_of_the_picks() -> None:
    data, images = make_set(0.1)
    assert score_picks(data, {n: -i for n, i in images.items()})["average_precision"] < 0.2


def test_the_scale_of_the_grey_values_is_that_of_the_raw_micrograph_for_all_fields() -> None:
    """A field on a grey scale of its own weighs in as any other."""
    data, images = make_set(1.0)
    field = data.fields[0]
    second = replace(field, name="b", image=100 * field.image, noise_only=None)
    both = DataSet("some", "truth", (field, second))
    blurred = {n: gaussian(i, 3) for n, i in (images | {"b": second.image}).items()}
    alone = score_picks(data, {n: blurred[n] for n in ("a", "a" + NOISE)})
    assert score_picks(both, blurred)["average_precision"] == pytest.approx(
        alone["average_precision"]
    )
