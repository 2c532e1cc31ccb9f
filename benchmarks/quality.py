"""How good nt2c is beside the raw micrograph, a Gaussian, a Wiener filter and Topaz.

    python benchmarks/quality.py [--topaz /path/to/bin/topaz] [--model general]

Sets in the data folder (default ../shared/data beside the repository): `pairs` real micrographs
with an independent exposure; `truth` micrographs of a third-party simulator with their truth;
`truth noise` the same without particles. Sets of our own simulator: `own`, from a fixed seed, and
`own noise`, empty fields under the same conditions. Gaussian and Wiener filters are set with the
independent exposure or the truth in hand. Each method and set adds a JSON line to the results.
"""

import argparse
import csv
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from nt2c import __version__
from nt2c.core.random import stream
from nt2c.evaluation.filters import best_gaussian, gaussian, radial_wiener, wiener_gain
from nt2c.evaluation.noise_only import find_blobs, pick_threshold, variance_ratio
from nt2c.evaluation.pairs import BandScore, PairScore, band_scores, pair_score, pooled_fraction
from nt2c.evaluation.truth import truth_score
from nt2c.io.micrographs import open_micrograph, write_micrograph
from nt2c.io.records import append_record
from nt2c.simulation.bank import procedural_species
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

ROOT = Path(__file__).resolve().parents[1]
SIGMAS_PX = tuple(np.arange(2, 9.01, 0.5).tolist())
DIAMETER_A = {"t20s": 130.0, "groel": 140.0, "tubulin": 110.0}
OWN_FIELDS, OWN_SEED, OWN_DIAMETERS_A = 6, 1, (90.0, 140.0, 250.0)

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Field:
    """A micrograph of a benchmark with what judges it: truth or independent exposure."""

    name: str
    image: Array
    reference: Array
    pixel_size_a: float
    noise_sd: float | None = None
    noise_only: Array | None = None
    diameter_a: float = 0.0

    @property
    def specimen(self) -> str:
        return self.name.split("_")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", default="general", help="bundled model or file")
    parser.add_argument("--topaz", type=Path, help="the program topaz; left out without it")
    parser.add_argument(
        "--topaz-outputs",
        type=Path,
        default=ROOT / "benchmarks/outputs/topaz",
        help="its images, kept: a file already here is not made again",
    )
    parser.add_argument(
        "--methods", nargs="+", default=["raw", "gaussian", "wiener", "topaz", "nt2c"]
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/quality.jsonl")
    arguments = parser.parse_args()
    pairs, truths = list(read_pairs(arguments.data)), list(read_truths(arguments.data))
    own = list(simulate_own())
    about = {
        "version": __version__,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": arguments.model,
    }
    rows = []
    for name in arguments.methods:
        start = time.perf_counter()
        method = make_method(name, arguments)
        if method is None:
            continue
        results = (
            judge_pairs(pairs, method),
            *judge_truths("truth", truths, method),
            *judge_truths("own", own, method),
        )
        for result in results:
            seconds = time.perf_counter() - start
            append_record(
                arguments.results, {"method": name, **about, **result, "seconds": seconds}
            )
            rows.append((name, result))
    show(rows)


Images = dict[str, Array]
Method = Callable[[str, list[Field]], Images]
"""Denoise a set ("pairs", "truth", "truth noise" ...) of fields: name -> image."""


def make_method(name: str, arguments: argparse.Namespace) -> Method | None:
    if name == "raw":
        return lambda kind, fields: {f.name: source(kind, f) for f in fields}
    if name == "gaussian":
        return gaussian_set
    if name == "wiener":
        return wiener_set
    if name == "nt2c":
        return nt2c_method(arguments.model)
    if name == "topaz":
        if arguments.topaz is None and not arguments.topaz_outputs.is_dir():
            print("topaz left out: give --topaz")
            return None
        return topaz_method(arguments.topaz, arguments.topaz_outputs)
    raise SystemExit(f"--methods {name}: choose raw, gaussian, wiener, topaz, nt2c")


def source(kind: str, field: Field) -> Array:
    if not kind.endswith(" noise"):
        return field.image
    assert field.noise_only is not None
    return field.noise_only


def gaussian_set(kind: str, fields: list[Field]) -> Images:
    """One sigma for all pairs, the best; for simulated fields the best of each, by its truth."""
    if kind == "pairs":
        tried = [{f.name: gaussian(f.image, s) for f in fields} for s in SIGMAS_PX]
        return max(tried, key=lambda images: pooled_fraction(score_pairs(fields, images)))
    sigmas = {f.name: best_gaussian(f.image, f.reference, SIGMAS_PX)[0] for f in fields}
    return {f.name: gaussian(source(kind, f), sigmas[f.name]) for f in fields}


def wiener_set(kind: str, fields: list[Field]) -> Images:
    """One filter for all pairs; for simulated fields one each, from its truth."""
    if kind == "pairs":
        gain = wiener_gain([f.image for f in fields], [f.reference for f in fields])
        return {f.name: radial_wiener(f.image, gain) for f in fields}
    gains = {f.name: wiener_gain([f.image], [f.reference]) for f in fields}
    return {f.name: radial_wiener(source(kind, f), gains[f.name]) for f in fields}


def nt2c_method(model_name: str) -> Method:
    from nt2c.inference.denoiser import denoise, load_model

    model = load_model(model_name)

    def run(kind: str, fields: list[Field]) -> Images:
        return {f.name: denoise(np.float32(source(kind, f)), f.pixel_size_a, model) for f in fields}

    return run


def topaz_method(program: Path | None, outputs: Path) -> Method:
    """Run Topaz as a separate program on float32 copies (it fails on int16), on the CPU."""

    def run(kind: str, fields: list[Field]) -> Images:
        inputs, made = outputs / f"{kind}_inputs", outputs / kind
        missing = [f for f in fields if not (made / f"{f.name}.mrc").is_file()]
        if missing and program is None:
            raise SystemExit(f"{made} lacks {missing[0].name}.mrc: give --topaz")
        for field in missing:
            for folder in (inputs, made):
                folder.mkdir(parents=True, exist_ok=True)
            path = inputs / f"{field.name}.mrc"
            write_micrograph(path, np.float32(source(kind, field)), field.pixel_size_a)
            subprocess.run([str(program), "denoise", "-d", "-1", "-o", made, path], check=True)
        return {f.name: read(made / f"{f.name}.mrc")[0] for f in fields}

    return run


def judge_pairs(fields: list[Field], method: Method) -> dict[str, Any]:
    images = method("pairs", fields)
    scores = score_pairs(fields, images)
    bands = list(zip(*(band_score(f, images[f.name]) for f in fields), strict=True))
    return {
        "set": "pairs",
        "fraction": pooled_fraction(scores),
        "fields": {f.name: s.fraction for f, s in zip(fields, scores, strict=True)},
        "bands": {f"{b[0].coarse_a:g}-{b[0].fine_a:g}": pooled_fraction(b) for b in bands},
    }


def score_pairs(fields: list[Field], images: Images) -> list[PairScore]:
    return [
        pair_score(
            images[f.name], f.reference, f.image, pixel_size_a=f.pixel_size_a, noise_sd=f.noise_sd
        )
        for f in fields
    ]


def band_score(field: Field, image: Array) -> tuple[BandScore, ...]:
    return band_scores(
        image,
        field.reference,
        field.image,
        pixel_size_a=field.pixel_size_a,
        noise_sd=field.noise_sd,
    )


def judge_truths(kind: str, fields: list[Field], method: Method) -> Iterator[dict[str, Any]]:
    images, noise = method(kind, fields), method(f"{kind} noise", fields)
    scores = {f.name: truth_score(images[f.name], f.reference, f.pixel_size_a) for f in fields}
    yield {
        "set": kind,
        "correlation": fmean(s.correlation for s in scores.values()),
        "specimens": {
            specimen: fmean(scores[f.name].correlation for f in fields if f.specimen == specimen)
            for specimen in dict.fromkeys(f.specimen for f in fields)
        },
        "fields": {name: asdict(score) for name, score in scores.items()},
    }
    records = {f.name: judge_noise(f, images[f.name], noise[f.name]) for f in fields}
    yield {
        "set": f"{kind} noise",
        "variance_ratio": fmean(r["variance_ratio"] for r in records.values()),
        "blobs_in_noise": sum(r["blobs_in_noise"] for r in records.values()),
        "blobs_with_particles": sum(r["blobs_with_particles"] for r in records.values()),
        "fields": records,
    }


def judge_noise(field: Field, particles: Array, noise: Array) -> dict[str, Any]:
    diameter_px = field.diameter_a / field.pixel_size_a
    blobs = find_blobs(particles, diameter_px)
    threshold = pick_threshold([blobs])
    return {
        "variance_ratio": variance_ratio(noise, particles),
        "blobs_in_noise": find_blobs(noise, diameter_px).count(threshold),
        "blobs_with_particles": blobs.count(threshold),
    }


def read_pairs(data: Path) -> Iterator[Field]:
    folder = data / "empiar10146"
    with (folder / "scale.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            image, pixel_size_a = read(folder / "micrographs" / f"{row['name']}.mrc")
            reference, _ = read(folder / "independent" / f"{row['name']}.mrc")
            noise_sd = float(row["noise_sd_micrograph"])
            yield Field(row["name"], image, reference, pixel_size_a, noise_sd=noise_sd)


def read_truths(data: Path) -> Iterator[Field]:
    for path in sorted((data / "sim_thirdparty").glob("*_noisy.mrc")):
        name = path.name.removesuffix("_noisy.mrc")
        image, pixel_size_a = read(path)
        clean, _ = read(path.with_name(f"{name}_clean.mrc"))
        noise = image - clean + clean.mean()
        diameter_a = DIAMETER_A[name.split("_")[0]]
        yield Field(name, image, clean, pixel_size_a, noise_only=noise, diameter_a=diameter_a)


def simulate_own() -> Iterator[Field]:
    """Micrographs of our own simulator at 2 A/px, each beside an empty one like it."""
    # Illumination is no noise: a slope that is left would pass for it in the variance.
    plain = {"contamination": 0, "carbon": 0, "gradient": 0, "contrast_gain": (0.5, 1.5)}
    settings = [
        SimulationSettings(
            pixel_size_a=2.0,
            shape=(1024, 1024),
            specimen=SpecimenSettings(coverage=(0.1, 0.3), empty=empty, species_per_field=1),
            imaging=ImagingSettings.parse(plain),
        )
        for empty in (0.0, 1.0)
    ]
    for i in range(OWN_FIELDS):
        diameter_a = OWN_DIAMETERS_A[i % len(OWN_DIAMETERS_A)]
        species = procedural_species(diameter_a, 2.0, 32, stream(OWN_SEED, "benchmark species", i))
        full, empty = (
            simulate(
                [species],
                chosen,
                1,
                stream(OWN_SEED, "benchmark placement", i),
                stream(OWN_SEED, "benchmark noise", i),
            )
            for chosen in settings
        )
        yield Field(
            f"{diameter_a:.0f}A_{i}",
            full.noisy[0].numpy(),
            full.clean[0].numpy(),
            2.0,
            noise_only=empty.noisy[0].numpy(),
            diameter_a=diameter_a,
        )


def read(path: Path) -> tuple[Array, float]:
    with open_micrograph(path) as micrograph:
        return micrograph.read(), micrograph.pixel_size_a


def commit() -> str | None:
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return asked.stdout.strip() or None


def show(rows: list[tuple[str, dict[str, Any]]]) -> None:
    columns = {
        "fraction": ("pairs", "fraction"),
        "truth": ("truth", "correlation"),
        "noise ratio": ("truth noise", "variance_ratio"),
        "blobs in noise": ("truth noise", "blobs_in_noise"),
        "with particles": ("truth noise", "blobs_with_particles"),
        "own": ("own", "correlation"),
        "own noise ratio": ("own noise", "variance_ratio"),
        "own blobs in noise": ("own noise", "blobs_in_noise"),
    }
    table = Table("method", *columns, box=None, pad_edge=False)
    for method in dict.fromkeys(name for name, _ in rows):
        sets = {result["set"]: result for name, result in rows if name == method}
        table.add_row(method, *(f"{sets[kind][figure]:.4g}" for kind, figure in columns.values()))
    Console(soft_wrap=True).print(table)


if __name__ == "__main__":
    main()
