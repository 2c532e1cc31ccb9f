"""What a folder holds to report on: of `nt2c denoise`, or of `nt2c run` or `nt2c fit`."""

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from nt2c.batch.summary import FileResult, RunRecord, read_summary, summary_path
from nt2c.core.errors import InputError
from nt2c.io.picks_written import PICKS
from nt2c.io.records import Record
from nt2c.pipeline.fit import RECORD
from nt2c.pipeline.records import EvaluationRecord, ExtractionRecord, FitRecord
from nt2c.pipeline.window_files import PREPARED, read_places
from nt2c.workflows.fit import DENOISED, EVALUATION
from nt2c.workflows.fit import PICKS as DEFAULT_PICKS
from nt2c.workflows.pick import SUMMARY, PickingRecord

_Kept = TypeVar("_Kept", bound=Record)

Frame = tuple[float, float, float, float]
"""Left, top, width and height, as shares of the micrograph."""


@dataclass(frozen=True)
class Source:
    """What is there to report on.

    Attributes
    ----------
    folder : Path
        That was named.
    results : tuple of FileResult
        One for each micrograph; "left" where it was not denoised.
    about : RunRecord or None
        What the summary says of the whole, if there is one.
    fit : FitRecord or None
        How the model was made, if it was here.
    evaluation : EvaluationRecord or None
        What was measured after a fit.
    frames : dict
        Windows of noise of each micrograph, by its absolute path.
    picking : PickingRecord or None
        What `summary.json` of picks says, if there are some.
    picks : dict
        (x and y in pixels, diameter in angstrom, q) of the picks of each micrograph, by its
        absolute path.
    """

    folder: Path
    results: tuple[FileResult, ...]
    about: RunRecord | None
    fit: FitRecord | None
    evaluation: EvaluationRecord | None
    frames: dict[Path, list[Frame]]
    picking: PickingRecord | None = None
    picks: dict[Path, list[Frame]] = field(default_factory=dict)

    @property
    def tiff_top_first(self) -> bool:
        """Which way up TIFF files were read; see `open_micrograph`."""
        return bool(self.about and self.about.settings.get("tiff_top_first"))

    def frames_of(self, result: FileResult) -> list[Frame]:
        """Windows of a micrograph."""
        return self.frames.get(result.input.absolute(), [])


def find_source(folder: Path | str) -> Source:
    """Return what a folder holds.

    Raises
    ------
    InputError
        It holds neither a summary nor a fit, or one that cannot be read.
    """
    folder = Path(folder)
    fit = _read(FitRecord, folder / RECORD)
    denoised = folder / DENOISED if fit else folder
    path = summary_path(denoised)
    if not fit and not path.is_file():
        parts = any(folder.glob("summary.shard-*.json"))
        raise InputError(
            f"{folder}: the summaries of its parts are not joined; run nt2c merge {folder} first"
            if parts
            else f"{folder}: neither summary.json of nt2c denoise nor fit.json of nt2c run or fit; "
            "name the folder given with -o there"
        )
    undone = [FileResult(Path(name), Path(), "left") for name in fit.inputs] if fit else []
    results, about = read_summary(path) if path.is_file() else (undone, None)
    frames = _frames(folder / "windows") if fit else {}
    evaluation = _read(EvaluationRecord, folder / EVALUATION) if fit else None
    picking = folder / DEFAULT_PICKS / SUMMARY
    picked = _read(PickingRecord, picking)
    picks = _picks(picking.with_name(PICKS), picked) if picked else {}
    return Source(folder, tuple(results), about, fit, evaluation, frames, picked, picks)


def _picks(path: Path, picking: PickingRecord) -> dict[Path, list[Frame]]:
    """Picks of each micrograph that was picked on; of one without any, an empty list."""
    picks: dict[Path, list[Frame]] = {one.path.absolute(): [] for one in picking.micrographs}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, diameter_a, q = (float(row[key]) for key in ("x_px", "y_px", "diameter_a", "q"))
            picks.setdefault(Path(row["micrograph"]).absolute(), []).append((x, y, diameter_a, q))
    return picks


def _read(kind: type[_Kept], path: Path) -> _Kept | None:
    return kind.read(path) if path.is_file() else None


def _frames(windows: Path) -> dict[Path, list[Frame]]:
    """Windows of each micrograph, as shares of it."""
    extraction = ExtractionRecord.read(windows / "summary.json")
    paths = {one.name: one.path for one in extraction.per_micrograph}
    frames: dict[Path, list[Frame]] = defaultdict(list)
    shapes: dict[str, tuple[int, ...]] = {}
    for row in read_places(windows):
        name = row.micrograph
        if name not in shapes:
            shapes[name] = np.load(windows / PREPARED / f"{name}.npy", mmap_mode="r").shape
        rows, columns = shapes[name]
        y, x, size = row.y_px, row.x_px, row.size_px
        frames[paths[name]].append((x / columns, y / rows, size / columns, size / rows))
    return dict(frames)
