"""The section on quality of docs/results.md, and the table of the README."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.ablation.sets import RESULTS as ABLATION
from benchmarks.ablation.table import chosen
from benchmarks.pages import NONE
from benchmarks.report.records import (
    BOUNDS,
    OURS,
    SETS,
    Latest,
    circumstances,
    label,
    markdown,
    shown,
    specimen,
)

from nt2c.io.records import read_records

REAL = ("empiar10146", "lowdose_tem_pairs", "leginon_ccd")
ABLATED = {"wgan": "*fit with WGAN noise (ablation)*", "oracle": "*true noise (ablation)*"}
SLACK = 0.0005  # figures that are shown alike are level


def measure(data: str) -> str:
    return "fraction" if data in REAL else "correlation"


def section(quality: Latest, strips: Sequence[str]) -> str:
    sets = quality.sets()
    truths = [s for s in sets if s not in REAL]
    parts = [
        circumstances(quality.records.values()),
        "### Fraction (real sets) and correlation with the truth (simulated sets)",
        headlines(quality, sets),
        "Rows in italics are no user's: they needed the true noise or other exposures. Gaussian, "
        "Wiener, wavelet (db4, soft) and total variation (Chambolle, 50 steps) have their strength "
        "chosen with the truth or the second exposure in hand, the last two on three fields of "
        "each set: no user could set them better. The low-dose TEM and CCD images are no single "
        "particles in ice: outside the purpose, and their pixel size is a guess.",
        "### Where nt2c `general` is not first",
        defeats(quality, sets),
        *pictures(strips),
        "### By specimen: correlation with the truth",
        specimens(quality),
        "### Fraction by band of resolution, EMPIAR-10146",
        "![Fraction recovered in each band](assets/bands.png)",
        bands(quality),
        "### PSNR in dB, SSIM and resolution in angstrom (FRC 0.5) with the truth",
        against_truth(quality, truths),
        "### Noise alone: variance left, and blobs picked of those picked with particles",
        noise_alone(quality, sets),
        "### Region SNR in dB",
        "Particle against background, as Topaz-Denoise and DRACO define it. Smoothing alone "
        "raises it: read each row beside that of the Gaussian.",
        table(quality, [s for s in sets if has(quality, s, "region_snr_db")], "region_snr_db", 1),
        "### Halves: bias and left-over noise, as shares of the signal",
        halves(quality),
    ]
    return "\n\n".join(parts)


def has(quality: Latest, data: str, *path: str) -> bool:
    return any(quality.score(data, m, *path) is not None for m in quality.methods)


def headlines(quality: Latest, sets: Sequence[str]) -> str:
    rows = [
        [label(m), *(shown(quality.score(s, m, measure(s))) for s in sets)] for m in quality.methods
    ]
    head = ["method", *(SETS[s] for s in sets)]
    return markdown(head, rows + ablated(sets))


def ablated(sets: Sequence[str], path: Path = ABLATION) -> list[list[str]]:
    """Rows from the records of the ablation: what learned and what true noise are worth."""
    results = chosen(read_records(path), None)
    rows = []
    for variant, name in ABLATED.items():
        values = [results.values(s, variant, measure(s)) for s in sets]
        rows.append([name, *(shown(fmean(v)) if v else NONE for v in values)])
    return rows


def table(quality: Latest, sets: Sequence[str], score: str, digits: int, scale: float = 1) -> str:
    return markdown(
        ["method", *(SETS[s] for s in sets)],
        (
            [label(m), *(shown(quality.score(s, m, score), digits, scale) for s in sets)]
            for m in quality.methods
        ),
    )


def defeats(quality: Latest, sets: Sequence[str]) -> str:
    """A line for every set and measure in which another method is better, by how much."""
    lines = []
    for data in sets:
        for path, name, sign in compared(quality, data):
            ours = quality.score(data, "nt2c", *path)
            others = {m: quality.score(data, m, *path) for m in quality.methods if m not in OURS}
            better = {
                m: v for m, v in others.items()
                if v is not None and ours is not None and sign * (v - ours) > SLACK
            }  # fmt: skip
            if better:
                ranked = sorted(better.items(), key=lambda item: -sign * item[1])
                names = ", ".join(f"{label(m)} {v:.3f}" for m, v in ranked)
                lines.append(f"- {SETS[data]}, {name}: nt2c {ours:.3f}; better: {names}.")
    return "\n".join(lines) or "Nowhere, of what is recorded."


def compared(quality: Latest, data: str) -> list[tuple[tuple[str, ...], str, int]]:
    """Measures of a set that rank methods: path, name, and 1 if more is better."""
    found: list[tuple[tuple[str, ...], str, int]] = [((measure(data),), measure(data), 1)]
    if data in REAL:
        bands_here = quality.score(data, "nt2c", "bands") or {}
        if data == "empiar10146":
            found += [(("bands", b), f"fraction in {b} A", 1) for b in bands_here]
    else:
        groups = quality.score(data, "nt2c", "specimens") or {}
        if 1 < len(groups) < 4:
            found += [(("specimens", g), f"correlation, {specimen(data, g)}", 1) for g in groups]
        found += [(("ssim",), "SSIM", 1), (("frc05_a",), "resolution in A at FRC 0.5", -1)]
    found.append((("region_snr_db",), "region SNR in dB", 1))
    return [*found, (("noise_left",), "variance left of noise alone", -1)]


def specimens(quality: Latest) -> str:
    columns = [
        (s, g)
        for s in ("sim_thirdparty", "own")
        for g in (quality.score(s, "nt2c", "specimens") or {})
    ]
    return markdown(
        ["method", *(specimen(s, g) for s, g in columns)],
        (
            [label(m), *(shown(quality.score(s, m, "specimens", g)) for s, g in columns)]
            for m in quality.methods
        ),
    )


def bands(quality: Latest, data: str = "empiar10146") -> str:
    names = list(quality.score(data, "raw", "bands") or {})
    return markdown(
        ["method", *(f"{n} A" for n in names)],
        ([label(m), *(shown(quality.score(data, m, "bands", n)) for n in names)]
         for m in quality.methods),
    )  # fmt: skip


def against_truth(quality: Latest, sets: Sequence[str]) -> str:
    def cell(data: str, method: str) -> str:
        if quality.score(data, method, "psnr_db") is None:
            return NONE
        psnr, ssim, frc = (quality.score(data, method, k) for k in ("psnr_db", "ssim", "frc05_a"))
        return f"{shown(psnr, 1)} / {shown(ssim, 2)} / {shown(frc, 0)}"

    return markdown(
        ["method", *(SETS[s] for s in sets)],
        ([label(m), *(cell(s, m) for s in sets)] for m in quality.methods),
    )


def noise_alone(quality: Latest, sets: Sequence[str]) -> str:
    noisy = [s for s in sets if has(quality, s, "noise_left")]

    def cell(data: str, method: str) -> str:
        if quality.score(data, method, "noise_left") is None:
            return NONE
        keys = ("noise_left", "blobs_in_noise", "blobs_with_particles")
        left, false, picked = (quality.score(data, method, k) for k in keys)
        return f"{100 * left:.1f} %, {false} of {picked}"

    return markdown(
        ["method", *(SETS[s] for s in noisy)],
        ([label(m), *(cell(s, m) for s in noisy)] for m in quality.methods),
    )


def halves(quality: Latest) -> str:
    names = {"own_halves": "own", "lowdose_tem_pairs": "low-dose TEM", "leginon_ccd": "CCD"}
    sets = quality.sets(names)

    def cells(method: str) -> list[str]:
        keys = ("bias", "halves_noise")
        return [shown(quality.score(s, method, k)) for s in sets for k in keys]

    head = [f"{names[s]}, {k}" for s in sets for k in ("bias", "noise left")]
    return markdown(["method", *head], ([label(m), *cells(m)] for m in quality.methods))


def pictures(strips: Sequence[str]) -> list[str]:
    """Strips of a field of each set, all panels of a strip at one grey scale."""
    lines = [f"![{SETS[name]}: one field of every method](assets/strip-{name}.png)"
             for name in strips]  # fmt: skip
    return ["### Pictures", "Each strip at one grey scale, at 4 A per pixel.", *lines]


def readme(quality: Latest, picking: Latest) -> str:
    """The table of the README: real data, the third-party simulator, noise, picking."""
    real, made = "empiar10146", "sim_thirdparty"
    groups = ("t20s", "groel", "tubulin")
    rows = []
    for m in (m for m in quality.methods if m in (*OURS, *BOUNDS[:2], "raw", "topaz-unet")):
        left, false, picked = (
            quality.score(made, m, k)
            for k in ("noise_left", "blobs_in_noise", "blobs_with_particles")
        )
        rows.append([
            label(m),
            shown(quality.score(real, m, "fraction")),
            *(shown(quality.score(made, m, "specimens", g)) for g in groups),
            NONE if left is None else f"{100 * left:.1f} %",
            NONE if false is None else f"{false} of {picked}",
            shown(picking.score(real, m, "average_precision")),
            shown(picking.score(made, m, "specimens", "tubulin", "average_precision")),
        ])  # fmt: skip
    head = ["method", "EMPIAR-10146, fraction", "T20S", "GroEL", "tubulin", "noise left",
            "false blobs", "picking, EMPIAR-10146", "picking, tubulin"]  # fmt: skip
    return markdown(head, rows)
