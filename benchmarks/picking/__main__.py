"""How well a fixed picker finds particles on the images of every method.

    python -m benchmarks.picking [--sets NAME ...] [--methods NAME ...] [--topaz DIR/bin/topaz]
                                 [--topaz-picker]

Images are those of `benchmarks.quality`, made now where they are missing. `--topaz-picker` lets the
pretrained detector of Topaz pick too. Each method, picker and set adds a line to
results/picking.jsonl; what is recorded is not done again.
"""

import argparse
import time
from pathlib import Path

import torch
from benchmarks.about import RESULTS, about
from benchmarks.picking.blobs import pick_blobs, score_picks
from benchmarks.picking.detector import topaz_detector
from benchmarks.quality.images import denoised
from benchmarks.quality.options import add_common, chosen_methods, chosen_sets

from nt2c.io.records import append_record, read_records

BENCHMARK = 1  # of the scores; raised when their definition changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_common(parser)
    parser.add_argument("--results", type=Path, default=RESULTS / "picking.jsonl")
    parser.add_argument("--topaz-picker", action="store_true", help="instead of the fixed picker")
    arguments = parser.parse_args()
    if arguments.topaz_picker and arguments.topaz is None:
        parser.error("--topaz-picker needs --topaz, the program")
    torch.set_num_threads(arguments.threads)
    name, picker = "blobs", pick_blobs
    if arguments.topaz_picker:
        name, picker = "topaz", topaz_detector(arguments.topaz, arguments.threads)
    old = read_records(arguments.results) if arguments.results.exists() else []
    recorded = {(r["picker"], r["method"], r["set"], r["key"], r["benchmark"]) for r in old}
    methods = chosen_methods(arguments)
    for data in chosen_sets(arguments):
        if all(f.centres_px is None for f in data.fields):
            continue
        for method in methods:
            what = (name, method.name, data.name, method.key(data), BENCHMARK)
            if method.only not in (None, data.name) or (what in recorded and not arguments.again):
                continue
            images = denoised(method, data, arguments.images).images
            start = time.perf_counter()
            scores = score_picks(data, images, picker)
            record = dict(
                zip(("picker", "method", "set", "key", "benchmark"), what, strict=True),
                **about(arguments.threads),
                seconds=time.perf_counter() - start,
                scores=scores,
            )
            append_record(arguments.results, record)
            print(
                f"{data.name:16} {method.name:14} {name} average precision "
                f"{scores['average_precision']:.3f}, best F1 {scores['best_f1']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
