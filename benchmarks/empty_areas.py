"""Micrographs with pixels that hold no image: is the rest denoised as well as without them?

    python -m benchmarks.empty_areas

Damages fields of the third-party simulator in each of many ways, at a mean of 3, 5 and 10 times the
noise. `damaged` is the correlation with the truth in the pixels that hold an image, `whole` that of
the undamaged field in the same pixels. `crop` is that of the field cropped to the largest rectangle
without empty pixels (dead pixels are none), and `inside` that of the damaged one in this rectangle.
The bar: `inside` no more than 0.01 below `crop`. One JSON line goes to `results/empty_areas.jsonl`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.about import DATA, RESULTS, about
from benchmarks.quality.fields import Array, read_truths

from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.io.records import append_record

BAR = 0.01
FIELDS = ("t20s_1024_0", "groel_1024_0", "tubulin_1024_0")
MEANS = (3, 5, 10)  # in standard deviations of the noise

Box = tuple[slice, slice]


def damages(size: int) -> Iterator[tuple[str, Array, Box]]:
    """Name, empty pixels (y, x) and the largest rectangle without any, of `size` x `size` px."""
    y, x = np.indices((size, size))
    every = slice(None)
    for width in (2, 10, 40, 60):
        yield f"{width} columns", x < width, (every, slice(width, None))
    yield "30 rows", y < 30, (slice(30, None), every)
    yield "bar", (y >= 600) & (y < 660), (slice(600), every)
    yield "half written", y >= size // 2, (slice(size // 2), every)
    inset = round(0.55 * size * 0.5**0.5)  # half the square in a circle
    middle = slice(size // 2 - inset, size // 2 + inset)
    yield "beam", np.hypot(y - size / 2, x - size / 2) > 0.55 * size, (middle, middle)
    yield "slanted", x + 0.3 * y < 200, (every, slice(200, None))
    dead = np.random.default_rng(0).random((size, size)) < 0.02
    yield "2 % dead", dead, (every, every)
    lines = ((y >= 300) & (y < 303)) | ((x >= 400) & (x < 403))
    yield "lines of 3 px", lines, (slice(303, None), slice(403, None))


def correlation(image: Array, truth: Array, where: Any = ...) -> float:
    return float(np.corrcoef(image[where].ravel(), truth[where].ravel())[0, 1])


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--fields", nargs="*", default=FIELDS)
    parser.add_argument("--only", nargs="*", help="some damages")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS / "empty_areas.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    denoiser = Denoiser(load_model(), device="cpu", precision="fp32")
    cases = []
    for field in read_truths(options.data):
        if field.name not in options.fields:
            continue
        truth, size = np.float64(field.reference), len(field.image)
        noise = float(np.std(np.float64(field.image) - truth))
        raised = np.float32(field.image) - np.float32(field.image).mean()
        whole = denoiser(raised, field.pixel_size_a)
        for name, empty, box in damages(size):
            if options.only and name not in options.only:
                continue
            cropped = denoiser(raised[box], field.pixel_size_a)
            case = {
                "field": field.name,
                "damage": name,
                "whole": correlation(whole, truth, ~empty),
                "whole_inside": correlation(whole[box], truth[box]),
                "crop": correlation(cropped, truth[box]),
            }
            for mean in MEANS:
                image = np.where(empty, 0, raised + np.float32(mean * noise))
                result = denoiser(image, field.pixel_size_a)
                figures = {
                    "mean": mean,
                    "damaged": correlation(result, truth, ~empty),
                    # Single dead pixels hold the truth's value in neither.
                    "inside": correlation(result[box], truth[box]),
                }
                cases.append(case | figures)
                print(show(cases[-1]), flush=True)
    met = sum(case["inside"] > case["crop"] - BAR for case in cases)
    print(f"{met} of {len(cases)} within {BAR}")
    append_record(options.results, about(options.threads) | {"cases": cases})


def show(case: dict[str, Any]) -> str:
    """A line of a table."""
    values = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in case.values()]
    missed = case["inside"] <= case["crop"] - BAR
    return "  ".join(f"{value:>14}" for value in values) + ("  missed" if missed else "")


if __name__ == "__main__":
    main()
