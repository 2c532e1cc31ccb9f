"""How good nt2c is beside filters and Topaz-Denoise.

    python -m benchmarks.quality [--topaz DIR/bin/topaz] [--sets NAME ...] [--methods NAME ...]
                                 [--fitted SET=FILE] [--reference-model NAME:SET=FILE]

Each method and set adds a line to results/quality.jsonl. What is recorded with the same images,
settings and weights is not done again; a stopped run goes on where it was. After a change to the
code of a method, `--again` does it anew.
"""

import argparse
import time
from pathlib import Path

import torch
from benchmarks.about import RESULTS, about
from benchmarks.quality import crops
from benchmarks.quality.images import denoised
from benchmarks.quality.options import add_common, chosen_methods, chosen_sets
from benchmarks.quality.scores import score

from nt2c.io.records import append_record, read_records

BENCHMARK = 1  # of the scores; raised when their definition changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_common(parser)
    parser.add_argument("--results", type=Path, default=RESULTS / "quality.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    old = read_records(arguments.results) if arguments.results.exists() else []
    recorded = {(r["method"], r["set"], r["key"], r["benchmark"]) for r in old}
    methods = chosen_methods(arguments)
    for data in chosen_sets(arguments):
        for method in methods:
            what = (method.name, data.name, method.key(data), BENCHMARK)
            if method.only not in (None, data.name) or (what in recorded and not arguments.again):
                continue
            made = denoised(method, data, arguments.images, again=arguments.again)
            start = time.perf_counter()
            scores = score(data, made.images)
            append_record(
                arguments.results,
                {
                    **dict(zip(("method", "set", "key", "benchmark"), what, strict=True)),
                    **about(arguments.threads),
                    "settings": method.settings,
                    "chosen": made.chosen,
                    "seconds": made.seconds,
                    "scores": scores,
                },
            )
            crops.keep(data, method.name, made.images)
            value = scores[data.headline]
            print(
                f"{data.name:18} {method.name:14} {data.headline} {value:.4f}, "
                f"judged in {time.perf_counter() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
