"""Options that the quality and picking benchmarks share, and what they choose."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.about import DATA, OUTPUTS
from benchmarks.quality.fields import DataSet
from benchmarks.quality.methods import FILTERS, Method, nt2c
from benchmarks.quality.peers import TOPAZ_MODELS, topaz
from benchmarks.quality.sets import NAMES, load_set

METHODS = (*FILTERS, *(f"topaz-{model}" for model in TOPAZ_MODELS), "nt2c")


def add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--sets", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    add("--model", default="general", help="bundled model or file")
    add(
        "--fitted",
        nargs="+",
        default=[],
        metavar="SET=FILE",
        help="model of `nt2c fit` on a set; the row `nt2c fit`",
    )
    add(
        "--reference-model",
        nargs="+",
        default=[],
        metavar="NAME:SET=FILE,...",
        help="model that needed more than a user has; of n files, number i denoises the fields "
        "i, i + n ... (benchmarks/noise2noise.py)",
    )
    add("--topaz", type=Path, help="the program; without it, only its images that are kept")
    add("--threads", type=int, default=os.cpu_count())
    add("--data", type=Path, default=DATA)
    add("--images", type=Path, default=OUTPUTS / "images", help="where images are kept")
    add("--again", action="store_true", help="do again what is recorded")


def chosen_sets(arguments: argparse.Namespace) -> Iterator[DataSet]:
    for name in arguments.sets:
        yield load_set(name, arguments.data)


def chosen_methods(arguments: argparse.Namespace) -> list[Method]:
    methods = []
    for name in arguments.methods:
        if name in FILTERS:
            methods.append(FILTERS[name])
        elif name == "nt2c":
            methods.append(nt2c(name, [arguments.model]))
        else:
            model = name.removeprefix("topaz-")
            methods.append(topaz(model, arguments.topaz, arguments.images, arguments.threads))
    for text in arguments.fitted:
        data, _, path = text.partition("=")
        methods.append(nt2c("nt2c fit", [path], known(data)))
    for text in arguments.reference_model:
        row, _, rest = text.partition(":")
        data, _, path = rest.partition("=")
        methods.append(nt2c(row, path.split(","), known(data)))
    return methods


def known(name: str) -> str:
    if name not in NAMES:
        raise SystemExit(f"{name}: no such set; give SET=FILE with a set of {', '.join(NAMES)}")
    return name
