"""Tables of the ablation say what the records say."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.ablation import table
from benchmarks.ablation.table import chosen, draw, gaps_db, sections

Record = dict[str, Any]


def record(variant: str, seed: int, score: float, steps: int = 300, **more: Any) -> Record:
    auc = {"value": 0.55, "low": 0.5, "high": 0.6}
    learned = {"learned_from": 80, "judged_by": 20, "fidelity": {"classifier_auc": auc}}
    return {
        "set": "ice",
        "variant": variant,
        "seed": seed,
        "commit": "abc",
        "date": f"2026-01-0{seed + 1}",
        "budget": {"recipe": "quick", "steps": steps, "paper_factor": 1},
        "seconds": {"training": 100.0},
        "stages": {"noise": learned, "contrast": {"k1": 0.5, "gain": 1.0, "window_px": 64}},
        "scores": {
            "correlation": score,
            "psnr_db": 20 + 10 * score,
            "frc05_a": None,
            "noise_ratio": 0.04,
            "blobs_in_noise": 3,
            "blobs_with_particles": 70,
        },
    } | more


def records() -> list[Record]:
    return [
        record("coarse", 0, 0.3),
        record("wgan", 0, 0.1, steps=50),
        record("wgan", 0, 0.2),
        record("wgan", 0, 0.40),
        record("wgan", 1, 0.44),
        record("coloured", 0, 0.43),
        record("oracle", 0, 0.43),
        record("oracle", 1, 0.44),
        {**record("white", 0, 0.0), "error": "too few windows: 3"},
    ]


def test_latest_record_of_the_budget_counts() -> None:
    results = chosen(records(), None)
    assert results.values("ice", "wgan", "correlation") == [0.40, 0.44]
    assert results.values("ice", "coarse", "correlation") == [0.3]
    assert chosen(records(), 50).values("ice", "wgan", "correlation") == [0.1]


def test_gap_pairs_the_seeds() -> None:
    assert gaps_db(chosen(records(), None), "ice", "wgan") == pytest.approx([0.3, 0.0])
    assert gaps_db(chosen(records(), None), "ice", "coloured") == pytest.approx([0.0])


def test_page_says_mean_spread_gap_verdict_and_failure() -> None:
    text = "\n".join(sections(chosen(records(), None), with_figure=True))
    assert "| wgan | 0.420 ± 0.028 |" in text
    assert "| wgan | 0.15 ± 0.21 |" in text
    assert "correlation with WGAN noise +0.120" in text
    assert "Best of the samplers: coloured, 0.010 above the WGAN." in text
    assert "transfer gap 0.15 ± 0.21 dB (bar 0.2: met)" in text
    assert "4.0 % of the variance out of noise alone (bar 5 %: met)" in text
    assert "ice, white, seed 0: too few windows: 3" in text
    assert "| wgan | 0.55 (0.50–0.60) |" in text
    assert "| ice | 100 | 64 | 0.500 | 0.500 | 1.000 | 1.000 |" in text


def test_bars_that_are_missed_are_said_so() -> None:
    poor = [record("coarse", 0, 0.3), record("wgan", 0, 0.31), record("oracle", 0, 0.36)]
    text = "\n".join(table.verdicts(chosen(poor, None)))
    assert text.count("**not met**") == 2


def test_figure_is_drawn(tmp_path: Path) -> None:
    draw(chosen(records(), None), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
