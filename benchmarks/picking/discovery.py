"""How many picks of `nt2c pick` are wrong, beside the share of noise that it states.

    python -m benchmarks.picking.discovery [--sets NAME ...] [--model NAME|FILE] [--fields N]

The fields of a specimen are written as files and picked on together, as a user would do; then the
empty fields like them. A pick is wrong if no true centre that no better pick has claimed is within
half a diameter. Each set adds a line to results/discovery.jsonl.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.about import RESULTS, about
from benchmarks.picking.blobs import Judged, Picks, groups, judge
from benchmarks.picking.matching import curve
from benchmarks.quality.fields import Array, Field
from benchmarks.quality.sets import load_set

from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import append_record
from nt2c.io.star_text import read_star_text
from nt2c.workflows.options import PickOptions
from nt2c.workflows.pick import PickSummary, pick

RATES = (0.01, 0.05, 0.1, 0.2)
ALL = 0.999
SETS = ("own", "sim_thirdparty", "zoo_pink", "zoo_carbon", "zoo_modulated", "zoo_rows", "zoo_tails")
BENCHMARK = 1


def write(folder: Path, images: dict[str, Array | None], pixel_size_a: float) -> None:
    for name, image in images.items():
        if image is not None:
            folder.mkdir(exist_ok=True)
            write_micrograph(folder / f"{name}.mrc", image, pixel_size_a)


def picks_at(folder: Path, rate: float, diameter_a: float, given: Any) -> PickSummary:
    options = PickOptions(diameter_a=(diameter_a,), fdr=rate, fields=given.fields)
    return pick(folder, folder.with_suffix(".picks"), options, given.model, device="cpu")


def of(folder: Path, name: str) -> Picks:
    path = next(folder.with_suffix(".picks").rglob(f"{name}_autopick.star"))
    table = read_star_text(path).table("rlnCoordinateX")
    if table is None:
        return Picks(np.empty((0, 2)), np.empty(0))
    columns = ("rlnCoordinateY", "rlnCoordinateX", "rlnAutopickFigureOfMerit")
    y, x, score = (np.array(table.column(column), float) for column in columns)
    return Picks(np.stack([y, x], -1), score)


def score_specimen(fields: list[Field], work: Path, given: Any) -> dict[str, Any]:
    diameter_a = fields[0].diameter_a
    full, empty = work / "full", work / "empty"
    for folder, images in (
        (full, {f.name: f.image for f in fields}),
        (empty, {f.name: f.noise_only for f in fields}),
    ):
        write(folder, images, fields[0].pixel_size_a)

    def judged(rate: float) -> list[Judged]:
        picks_at(full, rate, diameter_a, given)
        return [judge(field, of(full, field.name)) for field in fields]

    everything = judged(ALL)
    true = sum(one.true for one in everything)
    swept = curve([j.height for j in everything], [j.right for j in everything], true)
    best_f1, _ = swept.best
    result: dict[str, Any] = {
        "fields": len(fields), "true": true, "best_f1": best_f1,
        "recall_at_best_f1": float(swept.recall[int(swept.f1.argmax())]) if best_f1 else 0.0,
    }  # fmt: skip
    for rate in RATES:
        at = judged(rate)
        result[f"{rate:g}"] = {
            "picks": sum(len(one.right) for one in at),
            "wrong": sum(int((~one.right).sum()) for one in at),
            "in_empty": picks_at(empty, rate, diameter_a, given).picks if empty.is_dir() else None,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--model", default="general")
    parser.add_argument("--fields", type=int, default=8, help="of noise, per micrograph")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "discovery.jsonl")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.sets:
        data = load_set(name, given.data)
        scores = {}
        for specimen, fields in groups(data).items():
            for diameter_a in dict.fromkeys(f.diameter_a for f in fields):
                alike = [f for f in fields if f.diameter_a == diameter_a]
                key = f"{specimen}, {diameter_a:g} A"
                with tempfile.TemporaryDirectory() as work:
                    scores[key] = score_specimen(alike, Path(work), given)
                print(name, key, scores[key], flush=True)
        record = {"set": name, "model": given.model, "benchmark": BENCHMARK, "specimens": scores}
        append_record(
            given.results, {**record, "noise_fields": given.fields, **about(given.threads)}
        )


if __name__ == "__main__":
    main()
