"""The command `nt2c evaluate`: how good denoised micrographs are, as tables and JSON."""

import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.terminal import warn
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import printable
from nt2c.io.matching import (
    Halves,
    field,
    halves_beside,
    halves_in_folders,
    image_files,
    labels,
    partner,
)

if TYPE_CHECKING:
    from nt2c.evaluation.spectral import Image

Record = dict[str, Any]


def evaluate(
    denoised: Annotated[
        list[Path],
        typer.Argument(help="Denoised micrographs: files or folders.", metavar="DENOISED"),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(help="Noiseless truth: NAME_clean.mrc or NAME.mrc in a folder, or a file."),
    ] = None,
    independent: Annotated[
        Path | None,
        typer.Option(
            help="Independent exposures of the same fields (no truth needed); with --raw."
        ),
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="The raw micrographs that were denoised, for --independent.")
    ] = None,
    scale: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns name, noise_sd_micrograph; the noise is estimated without it."
        ),
    ] = None,
    halves: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Folders of raw even and odd halves; DENOISED are then the denoised even and "
            "the denoised odd folder.",
            metavar="EVEN ODD",
        ),
    ] = None,
    halves_in: Annotated[
        Path | None,
        typer.Option(
            help="Folder of raw halves: NAME_EVN and NAME_ODD, or even/NAME and odd/NAME; DENOISED "
            "is then one folder that holds the denoised halves in the same way.",
            metavar="RAW",
        ),
    ] = None,
    noise_only: Annotated[
        Path | None, typer.Option(help="Denoised particle-free fields with the names of DENOISED.")
    ] = None,
    diameter: Annotated[
        float | None,
        typer.Option(help="Particle diameter in angstrom: also count blobs with --noise-only."),
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in angstrom, before that of the files.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all results to this file.")] = None,
) -> int:
    """Measure how good denoised micrographs are.

    Give at least one of --truth, --independent with --raw, --halves, --halves-in, --noise-only.
    Files belong together by name. docs/metrics.md defines each figure and says how it can mislead.
    """
    if independent and not raw:
        raise SettingsError("--independent also needs --raw, the micrographs that were denoised")
    if (raw or scale) and not independent:
        raise SettingsError("--raw and --scale belong to --independent; give it, or leave them out")
    if diameter is not None and not noise_only:
        raise SettingsError("--diameter belongs to --noise-only; give it, or leave --diameter out")
    if halves and halves_in:
        raise SettingsError("--halves and --halves-in: give one of them")
    if not (truth or independent or halves or halves_in or noise_only):
        raise SettingsError(
            "nothing to compare with: give --truth, --independent with --raw, --halves, "
            "--halves-in or --noise-only"
        )
    run = _Run(pixel_size)
    results: Record = {}
    if halves:
        if len(denoised) != 2:
            raise SettingsError(
                "--halves EVEN ODD needs two DENOISED: the denoised even halves and the denoised "
                f"odd ones; got {len(denoised)}"
            )
        results["halves"] = _halves(run, *halves_in_folders(denoised[0], denoised[1], *halves))
    if halves_in:
        if len(denoised) != 1:
            raise SettingsError(
                f"--halves-in needs one DENOISED, the folder of both halves; got {len(denoised)}"
            )
        results["halves"] = _halves(run, *halves_beside(denoised[0], halves_in))
    files = image_files(denoised) if truth or independent or noise_only else []
    if truth:
        results["truth"] = _truth(run, files, truth)
    if independent and raw:
        results["independent"] = _independent(run, files, independent, raw, _noise_sds(scale))
    if noise_only:
        results["noise_only"] = _noise_only(run, files, noise_only, diameter)
    _show(results)
    if json:
        from nt2c.io.records import write_json

        write_json(json, results | {"failed": run.failed})
    return 1 if run.failed else 0


class _Run:
    """Reads images, and lets the other fields go on where one fails."""

    def __init__(self, pixel_size_a: float | None) -> None:
        self.pixel_size_a = pixel_size_a
        self.failed: list[str] = []

    def read(self, path: Path) -> "tuple[Image, float]":
        from nt2c.io.micrographs import open_micrograph

        with open_micrograph(path, self.pixel_size_a) as micrograph:
            if micrograph.sections > 1:
                raise InputError(
                    f"{path}: a stack of {micrograph.sections} images; give single micrographs"
                )
            return micrograph.read(), micrograph.pixel_size_a

    def image(self, path: Path) -> "Image":
        return self.read(path)[0]

    def each(self, files: list[Path], score: Callable[[Path], Record]) -> dict[str, Record]:
        fields = {}
        for name, path in zip(labels(files), files, strict=True):
            try:
                fields[name] = score(path)
            except InputError as error:
                warn(f"nt2c: {error}")
                self.failed.append(str(error))
        return fields


def _truth(run: _Run, files: list[Path], place: Path) -> Record:
    from nt2c.evaluation.truth import truth_score

    def score(path: Path) -> Record:
        image, pixel_size_a = run.read(path)
        clean = run.image(partner(path, place, ("_clean", "_truth")))
        return asdict(truth_score(image, clean, pixel_size_a))

    fields = run.each(files, score)
    return {"fields": fields, "mean": _means(fields)}


def _independent(
    run: _Run, files: list[Path], place: Path, raw: Path, noise_sds: dict[str, float]
) -> Record:
    from nt2c.evaluation.pairs import BandScore, PairScore, band_scores, pair_score, pooled_fraction

    scores: list[PairScore] = []
    bands: list[tuple[BandScore, ...]] = []

    def score(path: Path) -> Record:
        image, pixel_size_a = run.read(path)
        images = (image, run.image(partner(path, place)), run.image(partner(path, raw)))
        if noise_sds and field(path) not in noise_sds:
            raise InputError(f"{path}: --scale has no row named {field(path)}")
        noise_sd = noise_sds.get(field(path))
        whole = pair_score(*images, pixel_size_a=pixel_size_a, noise_sd=noise_sd)
        split = band_scores(*images, pixel_size_a=pixel_size_a, noise_sd=noise_sd)
        scores.append(whole)
        bands.append(split)
        return asdict(whole) | {
            "fraction": whole.fraction,
            "bands": [asdict(band) | {"fraction": band.fraction} for band in split],
        }

    fields = run.each(files, score)
    if not scores:
        return {"fields": {}, "fraction": None, "bands": []}
    return {
        "fields": fields,
        "fraction": pooled_fraction(scores),
        "bands": [
            {
                "coarse_a": band[0].coarse_a,
                "fine_a": band[0].fine_a,
                "share": sum(b.signal for b in band) / sum(s.signal for s in scores),
                "fraction": pooled_fraction(band),
            }
            for band in zip(*bands, strict=False)
        ],
    }


def _noise_sds(scale: Path | None) -> dict[str, float]:
    if scale is None:
        return {}
    try:
        with scale.open(newline="") as file:
            return {row["name"]: float(row["noise_sd_micrograph"]) for row in csv.DictReader(file)}
    except OSError as error:
        raise SettingsError(f"--scale {scale}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError):
        raise SettingsError(
            f"{scale}: expected a CSV file with the columns name and noise_sd_micrograph (a number)"
        ) from None


def _halves(run: _Run, even: list[Path], others: Callable[[Path], Halves]) -> Record:
    from nt2c.evaluation.halves import crossed_score, halves_score

    def score(path: Path) -> Record:
        (first, pixel_size_a), rest = run.read(path), [run.image(p) for p in others(path)]
        raw_even, raw_odd, second = rest
        images = (raw_even, raw_odd, first, second)
        result = halves_score(*images)
        crossed = crossed_score(*images, pixel_size_a=pixel_size_a)
        return asdict(result) | {"error": result.error} | asdict(crossed)

    fields = run.each(even, score)
    return {"fields": fields, "mean": _means(fields)}


def _noise_only(run: _Run, files: list[Path], place: Path, diameter_a: float | None) -> Record:
    from nt2c.evaluation.noise_only import find_blobs, pick_threshold, variance_ratio

    def score(path: Path) -> Record:
        particles, pixel_size_a = run.read(path)
        noise = run.image(partner(path, place))
        record: Record = {"variance_ratio": variance_ratio(noise, particles)}
        if diameter_a is not None:
            taken = find_blobs(particles, diameter_a / pixel_size_a)
            threshold = pick_threshold([taken])
            record["blobs_with_particles"] = taken.count(threshold)
            record["blobs_in_noise"] = find_blobs(noise, diameter_a / pixel_size_a).count(threshold)
        return record

    fields = run.each(files, score)
    return {"fields": fields, "mean": _means(fields)}


def _means(fields: dict[str, Record]) -> Record:
    """Means over fields; None of a figure that a field lacks: without it they would flatter."""
    rows = list(fields.values())
    return {key: _mean([row[key] for row in rows]) for key in (rows[0] if rows else ())}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _show(results: Record) -> None:
    from rich.table import Table

    from nt2c.cli.progress import PlainConsole

    console = PlainConsole()
    for mode, result in results.items():
        if not result["fields"]:
            continue
        columns = _COLUMNS[mode]
        used = [c for c in columns if any(c in row for row in result["fields"].values())]
        table = Table(_TITLES[mode], *(columns[c] for c in used), box=None, pad_edge=False)
        for name, row in result["fields"].items():
            table.add_row(printable(name), *(_number(row[c]) for c in used))
        last = result.get("mean") or {"fraction": result.get("fraction")}
        label = "all, pooled" if mode == "independent" else "mean"
        cells = (_number(last[c]) if c in last else "" for c in used)
        table.add_row(label, *cells, style="bold")
        console.print(table, "")
        if result.get("bands"):
            bands = Table("band", "share of signal", "fraction", box=None, pad_edge=False)
            for band in result["bands"]:
                bands.add_row(
                    f"{band['coarse_a']:g}-{band['fine_a']:g} A",
                    _number(band["share"]),
                    _number(band["fraction"]),
                )
            console.print(bands, "")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


_TITLES = {
    "truth": "against the truth",
    "independent": "against an independent exposure",
    "halves": "halves",
    "noise_only": "noise only",
}
_COLUMNS = {
    "truth": {
        "correlation": "correlation",
        "psnr_db": "PSNR dB",
        "ssim": "SSIM",
        "frc05_a": "FRC 0.5, A",
        "frc0143_a": "FRC 0.143, A",
    },
    "independent": {
        "fraction": "fraction",
        "recovered": "recovered",
        "recovered_sd": "+-",
        "signal": "signal",
    },
    "halves": {
        "signal": "signal",
        "noise_left": "noise left",
        "bias": "bias",
        "error": "error",
        "fraction": "fraction",
        "frc_crossed_a": "FRC 0.143, A",
        "frc_raw_a": "raw halves, A",
    },
    "noise_only": {
        "variance_ratio": "variance ratio",
        "blobs_in_noise": "blobs in noise",
        "blobs_with_particles": "with particles",
    },
}
