"""Whole fits on every data set, as a user runs `nt2c fit`, and what their models score.

    python -m benchmarks.ablation.whole [--subjects NAME ...] [--recipe quick] [--page FILE]

A fit goes on where it was stopped. Each adds a JSON line to results/fit.jsonl; the latest one of
each data set counts in the table, which is put into docs/results.md. Beside it stands the latest
one of that recipe and seed that was not trained on crops of the micrographs, if there is one.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from benchmarks.ablation.sets import DATA, OUTPUTS, ROOT
from benchmarks.ablation.subjects import NAMES, REAL, Subject, load_subject
from benchmarks.ablation.table import FRACTION_BAR, NOISE_BAR, PAGE, headline, met
from benchmarks.about import about
from benchmarks.pages import NONE, filled, markdown

from nt2c.cli.app import main as nt2c
from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.io.files import atomic_path
from nt2c.io.records import append_record, read_records
from nt2c.pipeline.fit import RECORD

RESULTS = ROOT / "benchmarks" / "results" / "fit.jsonl"

Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", nargs="*", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.subjects:
        subject = load_subject(name, arguments.data, arguments.outputs)
        folder = arguments.outputs / "fits" / f"{name}-{arguments.recipe}"
        if nt2c(["fit", *subject.inputs, "--recipe", arguments.recipe, "-o", str(folder)]):
            continue
        record = about(arguments.threads) | {"set": name} | judge(subject, folder)
        append_record(arguments.results, record)
        print(name, {when: record[when][headline(name)] for when in ("before", "after")})
    with atomic_path(arguments.page) as temporary:
        page = arguments.page.read_text(encoding="utf-8")
        text = text_of(read_records(arguments.results))
        temporary.write_text(filled(page, "fits", text), encoding="utf-8")


def judge(subject: Subject, folder: Path) -> Record:
    """Scores of the bundled model and of the fitted one, and what came out of the stages."""
    fit = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    models = {"before": load_model("general"), "after": load_model(folder / "model.safetensors")}
    scores = {
        when: subject.score(Denoiser(model, device="cpu", precision="fp32"))
        for when, model in models.items()
    }
    stages = fit["stages"].items()
    return {
        "recipe": fit["recipe"]["name"],
        "seed": fit["recipe"]["seed"],
        "steps": fit["recipe"]["optimizer"]["steps"],
        "on_micrographs": "real" in models["after"].metadata["given"],
        "verdicts": {name: stage["verdict"] for name, stage in stages},
        "seconds": {name: stage["seconds"] for name, stage in stages},
        **scores,
    }


def text_of(records: list[Record]) -> str:
    """The table, and whether the bars that were set beforehand are met."""
    latest = {record["set"]: record for record in records}
    found = [latest[name] for name in NAMES if name in latest]
    without = {r["set"]: r for r in records if stands_beside(r, latest[r["set"]])}
    commits = sorted({record["commit"] for record in found})
    head = ["set", "score before", "after", "not on the micrographs", "PSNR in dB, before", "after",
            "noise alone, before", "after", "blobs in noise alone", "minutes"]  # fmt: skip
    lines = [
        f"Recipe {recipes(found)}. Commits {', '.join(f'`{commit}`' for commit in commits)}."
        + (f" Not on the micrographs: {recipes(without.values())}." if without else ""),
        markdown(head, [row(record, without.get(record["set"])) for record in found]),
        "\n".join(f"- {verdict(record)}" for record in found),
    ]
    return "\n\n".join(lines)


def stands_beside(record: Record, latest: Record) -> bool:
    """Whether two fits of a set differ in that the latest one alone was on the micrographs."""
    alike = (record["recipe"], record["seed"]) == (latest["recipe"], latest["seed"])
    return alike and latest["on_micrographs"] and not record["on_micrographs"]


def recipes(records: Iterable[Record]) -> str:
    told = {f"`{r['recipe']}`, {r['steps']} steps, seed {r['seed']}" for r in records}
    return " and ".join(sorted(told))


def row(record: Record, without: Record | None) -> list[str]:
    before, after = record["before"], record["after"]
    score = headline(record["set"])
    plain = without["after"][score] if without else None
    return [
        record["set"],
        f"{before[score]:.3f}",
        f"{after[score]:.3f}" + ("" if record["on_micrographs"] else " (left out)"),
        shown(plain, "{:.3f}"),
        *(shown(one.get("psnr_db"), "{:.2f}") for one in (before, after)),
        *(shown(one.get("noise_ratio"), "{:.1%}") for one in (before, after)),
        shown(after.get("blobs_in_noise"), f"{{}} of {after.get('blobs_with_particles')}"),
        f"{sum(record['seconds'].values()) / 60:.0f}",
    ]


def shown(value: float | None, pattern: str) -> str:
    return NONE if value is None else pattern.format(value).replace("%", " %")


def verdict(record: Record) -> str:
    """Whether a fit met the bars."""
    score = headline(record["set"])
    gain = record["after"][score] - record["before"][score]
    parts = [f"{score} {gain:+.3f} (bar +{FRACTION_BAR}: {met(gain >= FRACTION_BAR)})"]
    if record["set"] != REAL:
        left = record["after"]["noise_ratio"]
        parts.append(f"noise alone {left:.1%} (bar {NOISE_BAR:.0%}: {met(left <= NOISE_BAR)})")
    return f"{record['set']}: {', '.join(parts).replace('%', ' %')}."


if __name__ == "__main__":
    main()
