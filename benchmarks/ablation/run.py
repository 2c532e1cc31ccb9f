"""Train and score every variant on every data set; one JSON line for each, only what is missing.

    python -m benchmarks.ablation.run [--subjects NAME ...] [--variants NAME ...] [--seeds 3]
                                      [--steps 300] [--plan]

Windows are extracted once for a data set, noise is learned once for a data set and kind (with seed
0), contrast is measured once for a data set and seed; the final denoiser is trained for each seed.
Seeds come last, so that one row of all variants is there first. It can be stopped at any moment:
the same command goes on where it was.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from benchmarks.ablation.chain import Chain, Talk
from benchmarks.ablation.sets import DATA, DESIGNS, OUTPUTS, RESULTS
from benchmarks.ablation.subjects import NAMES, load_subject
from benchmarks.ablation.variants import VARIANTS, Budget, Variant, recipe_of
from benchmarks.about import commit

from nt2c.batch.stamps import model_fingerprint
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.io.records import append_record, read_records
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.stages import locked


@dataclass(frozen=True)
class Task:
    """One line of the results; `key` is the hash of what decides it, besides the code."""

    subject: str
    variant: Variant
    seed: int
    key: str

    def is_in(self, records: list[dict[str, Any]], *, retry: bool) -> bool:
        return any(
            (r["set"], r["variant"], r["seed"], r["key"])
            == (self.subject, self.variant, self.seed, self.key)
            and not (retry and "error" in r)
            for r in records
        )


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    coarse = load_model(arguments.model)
    budget = Budget(
        recipe=arguments.recipe,
        steps=arguments.steps,
        noise_steps=arguments.noise_steps,
        paper_factor=arguments.paper_factor,
    )
    records = read_records(arguments.results) if arguments.results.exists() else []
    tasks = [
        task
        for task in plan(arguments.subjects, arguments.variants, arguments.seeds, budget, coarse)
        if not task.is_in(records, retry=arguments.retry)
    ]
    print(f"{len(tasks)} of the runs asked for are missing", flush=True)
    if arguments.plan:
        for task in tasks:
            print(f"  {task.subject:14} {task.variant:10} seed {task.seed}")
        return
    with locked(arguments.outputs / "runs"):
        for number, task in enumerate(tasks, 1):
            start = time.perf_counter()
            record = carry_out(task, budget, coarse, arguments)
            append_record(arguments.results, record)
            print(
                f"[{number}/{len(tasks)}] {task.subject} {task.variant} seed {task.seed}: "
                f"{brief(record)}, {time.perf_counter() - start:.0f} s",
                flush=True,
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME"
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    parser.add_argument("--recipe", default="quick", help="of all variants but the paper's")
    parser.add_argument("--steps", type=int, default=300, help="of the final training")
    parser.add_argument("--noise-steps", type=int, help="of the WGAN; that of the recipe if absent")
    parser.add_argument("--paper-factor", type=int, default=1, help="times the steps, for paper")
    parser.add_argument("--model", default="general", help="the coarse model")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--retry", action="store_true", help="try again what failed")
    parser.add_argument("--plan", action="store_true", help="say what is missing, and stop")
    return parser.parse_args()


def plan(
    subjects: list[str],
    variants: list[Variant],
    seeds: int,
    budget: Budget,
    coarse: DenoiserModel,
) -> Iterator[Task]:
    for seed in range(seeds):
        for subject in subjects:
            for variant in variants:
                if variant == "oracle" and subject not in DESIGNS:
                    continue
                if variant == "coarse" and seed:
                    continue
                yield Task(subject, variant, seed, key_of(variant, budget, seed, coarse))


def key_of(variant: Variant, budget: Budget, seed: int, coarse: DenoiserModel) -> str:
    what: dict[str, Any] = {"coarse": model_fingerprint(coarse)}
    if variant != "coarse":
        what["recipe"] = recipe_of(variant, budget, seed).model_dump(mode="json")
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def carry_out(
    task: Task, budget: Budget, coarse: DenoiserModel, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train and score one variant; what cannot be done is recorded with its reason."""
    about: dict[str, Any] = {
        "set": task.subject,
        "variant": task.variant,
        "seed": task.seed,
        "key": task.key,
        "version": __version__,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "coarse": coarse.metadata.get("name"),
        "device": arguments.device,
        "threads": arguments.threads,
        "budget": budget.model_dump(),
    }
    subject = load_subject(task.subject, arguments.data, arguments.outputs)
    model, made = coarse, dict[str, Any]()
    if task.variant != "coarse":
        chain = Chain(
            subject, arguments.outputs / "runs", coarse, budget, task.seed, arguments.device, Talk()
        )
        try:
            model, made = chain.train(task.variant)
        except (InputError, SettingsError) as error:
            return about | {"error": str(error)}
    denoiser = Denoiser(model, device=arguments.device, precision="fp32")
    return about | made | {"scores": subject.score(denoiser)}


def brief(record: dict[str, Any]) -> str:
    if "error" in record:
        return f"FAILED: {record['error']}"
    wanted = ("fraction", "correlation", "psnr_db", "noise_ratio")
    scores = record["scores"]
    return ", ".join(f"{key} {scores[key]:.4f}" for key in wanted if scores.get(key) is not None)


if __name__ == "__main__":
    main()
