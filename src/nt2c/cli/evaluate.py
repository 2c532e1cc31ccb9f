"""The command `nt2c evaluate`: how good denoised micrographs are, as tables and JSON."""

from rich.table import Table

from nt2c.cli.commands import Evaluate
from nt2c.cli.progress import PlainConsole
from nt2c.cli.terminal import warn
from nt2c.core.words import printable
from nt2c.io.records import write_json
from nt2c.workflows import evaluate as workflow
from nt2c.workflows.evaluate import Scores


def evaluate(given: Evaluate) -> int:
    """Measure, and show a table for each thing that was compared with."""
    measured = workflow.evaluate(
        given.denoised, given.options, on_failed=lambda text: warn(f"nt2c: {text}")
    )
    console = PlainConsole()
    for kind, scores in measured.scores.items():
        if scores.fields:
            _show(console, kind, scores)
    if given.json_file:
        write_json(given.json_file, measured.to_record())
    return 1 if measured.failed else 0


def _show(console: PlainConsole, kind: str, scores: Scores) -> None:
    columns = _COLUMNS[kind]
    used = [c for c in columns if any(c in row for row in scores.fields.values())]
    table = Table(_TITLES[kind], *(columns[c] for c in used), box=None, pad_edge=False)
    for name, row in scores.fields.items():
        table.add_row(printable(name), *(_number(row[c]) for c in used))
    last = (_number(scores.mean[c]) if c in scores.mean else "" for c in used)
    table.add_row("all, pooled" if kind == "independent" else "mean", *last, style="bold")
    console.print(table, "")
    if scores.bands:
        bands = Table("band", "share of signal", "fraction", box=None, pad_edge=False)
        for band in scores.bands:
            cells = (_number(band.share), _number(band.fraction))
            bands.add_row(f"{band.coarse_a:g}-{band.fine_a:g} A", *cells)
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
