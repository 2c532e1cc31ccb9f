"""Pages are filled from records, and say where another method is better."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.about import ROOT
from benchmarks.pages import filled
from benchmarks.report import picking, quality, speed
from benchmarks.report.records import Latest, circumstances, latest, markdown

MACHINE = {"cpu": "some processor", "cores": 2, "threads": 1}


def record(method: str, scores: dict[str, Any], data: str = "sim_thirdparty") -> dict[str, Any]:
    return {"method": method, "set": data, "scores": scores, "machine": MACHINE,
            "date": "2026-01-02T03:04:05+00:00", "version": "9.9", "commit": "abc"}  # fmt: skip


def of(*records: dict[str, Any]) -> Latest:
    return Latest({(r["set"], r["method"]): r for r in records})


def test_the_latest_record_of_a_method_and_set_counts(tmp_path: Path) -> None:
    path = tmp_path / "quality.jsonl"
    rows = [record("nt2c", {"correlation": c}) for c in (0.1, 0.2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert latest(path).score("sim_thirdparty", "nt2c", "correlation") == 0.2
    assert latest(path, version="1.0").records == {}
    assert latest(tmp_path / "absent.jsonl").records == {}


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb <!-- y: begin --> <!-- y: end -->"
    new = filled(page, "x", "new")
    assert new == page.replace("\nold\n", "\n\nnew\n\n")
    assert filled(new, "x", "new") == new
    with pytest.raises(ValueError, match="z: begin"):
        filled(page, "z", "new")


def test_a_row_that_holds_nothing_is_left_out() -> None:
    assert markdown(["m", "a"], [["x", "–"], ["y", "1"]]).splitlines()[2:] == ["| y | 1 |"]


def test_a_defeat_is_said_and_a_victory_is_not() -> None:
    def defeats(ours: float, left: float) -> str:
        rows = (
            record("nt2c", {"correlation": ours, "noise_left": left}),
            record("topaz-unet", {"correlation": 0.5, "noise_left": 0.3}),
            record("nt2c fit", {"correlation": 0.9, "noise_left": 0.0}),
        )
        return quality.defeats(of(*rows), ["sim_thirdparty"])

    assert defeats(0.6, 0.1).startswith("Nowhere")
    assert "correlation: nt2c 0.400; better: Topaz `unet` 0.500." in defeats(0.4, 0.1)
    assert "noise alone: nt2c 0.400; better: Topaz `unet` 0.300." in defeats(0.6, 0.4)


def test_picking_says_where_it_loses() -> None:
    def scores(value: float) -> dict[str, Any]:
        group = {"average_precision": value, "best_f1": 0.5, "false_per_noise_field": None}
        return {"specimens": {"tubulin": group}}

    found = of(record("nt2c", scores(0.7)), record("raw", scores(0.8)))
    text = picking.section(found, of())
    assert "- tubulin, average precision: nt2c 0.700; better: raw 0.800." in text
    assert "best F1: nt2c" not in text


def run(size: str, threads: int, ours: float, peer: float | None) -> dict[str, Any]:
    def timing(seconds: float) -> dict[str, float]:
        return {"each_s": seconds, "whole_s": seconds + 1, "startup_s": 1, "peak_gb": 2}

    row = record("-", {}) | {"kind": "run", "size": size, "machine": MACHINE | {"threads": threads}}
    row["nt2c"] = timing(ours)
    if peer is not None:
        row |= {"topaz": timing(peer), "ratio": peer / ours}
    return row


def test_speed_shows_medians_and_the_range_of_the_ratios() -> None:
    records = [run("4096", 2, 2.0, p) for p in (100.0, 300.0, 200.0)] + [run("1024", 1, 0.2, None)]
    text = speed.section(records)
    assert "| 4096 | 2 | 2.00 | 3.00 | 2.00 | 200.0 | 201.0 | 2.0 | 100 (50–150) |" in text
    assert text.index("| 1024 |") < text.index("| 4096 |")
    assert "200 s" in speed.sentence(records)
    assert "2 CPU threads (the median of 3 pairs)" in speed.sentence(records)


def test_speed_counts_only_what_the_latest_code_took() -> None:
    old = run("4096", 2, 9.0, 900.0) | {"commit": "old"}
    text = speed.section([old, run("4096", 2, 2.0, 100.0)])
    assert "| 50 (one round) |" in text
    assert "old" not in text


def test_circumstances_name_date_version_processor_and_no_host() -> None:
    text = circumstances([record("nt2c", {}), record("raw", {}) | {"date": "2026-02-03T00:00:00"}])
    assert text == (
        "Measured 2026-01-02 to 2026-02-03 with nt2c 9.9 (commits `abc`) on some processor "
        "(2 cores), 1 thread."
    )


@pytest.mark.parametrize("page", ["docs/results.md", "README.md"])
def test_the_pages_have_their_markers(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = ("quality", "picking", "speed") if page.startswith("docs") else ("results", "speed")
    for name in names:
        filled(text, name, "")
