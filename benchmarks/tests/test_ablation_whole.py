"""Whole fits: the table says what the records say, and which bars are met."""

from typing import Any

from benchmarks.ablation.whole import text_of


def record(
    name: str, before: float, after: float, left: float | None, own: bool = True
) -> dict[str, Any]:
    score = "fraction" if left is None else "correlation"
    more = {} if left is None else {"noise_ratio": left, "psnr_db": 27.0, "blobs_in_noise": 1,
                                    "blobs_with_particles": 40}  # fmt: skip
    return {
        "set": name, "recipe": "quick", "seed": 0, "commit": "abc",
        "steps": 90, "on_micrographs": own,
        "seconds": {"noise": 60.0, "training": 540.0},
        "before": {score: before} | more, "after": {score: after} | more,
    }  # fmt: skip


def test_bars_are_judged_and_sets_without_truth_have_no_noise() -> None:
    records = [record("ice", 0.4, 0.7, 0.06), record("empiar10146", 0.74, 0.75, None)]
    text = text_of([record("ice", 0.4, 0.6, 0.06, own=False) | {"steps": 70}, *records])
    assert "Recipe `quick`, 90 steps, seed 0. Commits" in text
    assert "Not on the micrographs: `quick`, 70 steps, seed 0." in text
    assert "| empiar10146 | 0.740 | 0.750 | – | – | – | – | – | – | 10 |" in text
    assert "| ice | 0.400 | 0.700 | 0.600 | 27.00 | 27.00 | 6.0 % | 6.0 % | 1 of 40 | 10 |" in text
    assert "- empiar10146: fraction +0.010 (bar +0.02: **not met**)." in text
    assert (
        "- ice: correlation +0.300 (bar +0.02: met), noise alone 6.0 % (bar 5 %: **not met**)."
        in text
    )


def test_exactly_on_a_bar_is_met() -> None:
    text = text_of([record("ice", 0.5, 0.52, 0.05)])
    assert text.count("**not met**") == 0


def test_a_fit_that_left_the_micrographs_out_is_not_beside_another() -> None:
    plain = [record("ice", 0.4, after, 0.04, own=False) for after in (0.6, 0.7)]
    text = text_of([*plain, record("pattern", 0.4, 0.5, 0.04)])
    assert "| ice | 0.400 | 0.700 (left out) | – |" in text
    assert "| pattern | 0.400 | 0.500 | – |" in text
    other = record("pattern", 0.4, 0.6, 0.04, own=False) | {"seed": 1}
    assert "| pattern | 0.400 | 0.500 | – |" in text_of([other, record("pattern", 0.4, 0.5, 0.04)])
