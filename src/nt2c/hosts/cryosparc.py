"""Exposures of CryoSPARC: denoised, and described to it as `micrograph_blob_denoised`.

CryoSPARC knows a micrograph by a number (uid), and its file by a path relative to the project
folder. Datasets are those of cryosparc-tools, or structured arrays read from a .cs file.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nt2c.batch.run import denoise_files
from nt2c.batch.summary import FileResult
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.cs import numbers, resolve, texts, unique_numbers
from nt2c.io.files import atomic_path
from nt2c.io.inputs import MicrographInput
from nt2c.models.denoiser import DenoiserModel

SLOT = "micrograph_blob_denoised"
INPUT, OUTPUT = "exposures", "denoised_exposures"
_RAW = "micrograph_blob"
_SLOT_TYPES = {
    SLOT: _RAW,
    "micrograph_blob_non_dw": _RAW,
    "background_blob": "stat_blob",
    "micrograph_thumbnail_blob_1x": "thumbnail_blob",
    "micrograph_thumbnail_blob_2x": "thumbnail_blob",
}
"""Slots of exposures whose type has another name."""
_GROUP_VERSION = "v4.4.1"  # of CryoSPARC, whose form of .csg files this is

Fields = dict[str, NDArray[Any]]


class Dataset(Protocol):
    """Rows with named fields."""

    def __len__(self) -> int:
        """Count the rows."""
        ...

    def __getitem__(self, field: str, /) -> Any:
        """Return the values of a field."""
        ...


@dataclass(frozen=True)
class Denoised:
    """What became of the exposures of a dataset.

    Attributes
    ----------
    rows : list of int
        Indices of the rows that are denoised.
    fields : dict of str to array
        Fields of the slot `micrograph_blob_denoised` for these rows.
    results : list of FileResult
        For each exposure, in order.
    """

    rows: list[int]
    fields: Fields
    results: list[FileResult]


def denoise_exposures(
    exposures: Dataset,
    project_dir: Path,
    folder: Path,
    model: DenoiserModel,
    settings: DenoiseSettings,
    options: BatchOptions | None = None,
    *,
    dataset: Path | None = None,
    on_result: Callable[[FileResult], None] | None = None,
) -> Denoised:
    """Denoise the micrographs of a dataset into a folder; what is done already is skipped.

    Parameters
    ----------
    exposures : Dataset
        With uid and micrograph_blob.
    project_dir : Path
        Folder that the paths in the dataset are relative to.
    folder : Path
        For the results; below the project folder if CryoSPARC is to find them.
    model, settings, options, on_result
        As for `denoise_files`.
    dataset : Path, optional
        File that the exposures were read from: those exported have paths that start at its folder.

    Raises
    ------
    InputError
        The dataset has no micrographs or something else in their place, or none could be denoised.
    SettingsError
        As for `denoise_files`.
    """
    inputs = exposure_inputs(exposures, project_dir, dataset)
    settings = settings.replace(tiff_top_first=True)  # as CryoSPARC reads TIFF
    summary = denoise_files(inputs, folder, model, settings, options, on_result=on_result)
    by_output = {result.output: result for result in summary.results}
    results = [by_output.get(folder / item.output_name, _left_out(item)) for item in inputs]
    rows = [row for row, result in enumerate(results) if result.status in ("done", "skipped")]
    if not rows:
        raise InputError(
            f"none of {plural(len(results), 'exposure')} could be denoised; "
            f"the first: {results[0].message}"
        )
    fields = _fields([results[row].output for row in rows], project_dir, settings)
    return Denoised(rows, fields, results)


def run_external_job(
    project: Any, workspace: str, source: tuple[str, str], work: Callable[[Any, Path], Denoised]
) -> str:
    """Denoise an output of a job as an external job of CryoSPARC; return the new job's number.

    Parameters
    ----------
    project : cryosparc.controllers.project.ProjectController
        From `CryoSPARC.find_project`. Its folder must be there on this machine.
    workspace : str
        Such as "W1".
    source : (str, str)
        Job and output with the raw exposures, such as ("J5", "exposures").
    work : callable
        Receives the dataset and the folder for the results, and denoises.

    Raises
    ------
    InputError
        The folder of the project is not there.
    """
    folder = Path(str(project.dir))
    if not folder.is_dir():
        raise InputError(f"{folder}: the project's folder is not on this machine; run nt2c there")
    job = project.create_external_job(workspace, title="nt2c: denoised micrographs")
    job.connect(INPUT, *source, slots=[_RAW])
    slot = {"name": SLOT, "dtype": _RAW, "required": True}
    job.add_output(type="exposure", name=OUTPUT, slots=[slot], passthrough=INPUT)
    with job.run():
        exposures = job.load_input(INPUT)
        done = work(exposures, folder / job.uid / "denoised")
        output = job.alloc_output(OUTPUT, np.asarray(exposures["uid"])[done.rows])
        for name, values in done.fields.items():
            if name in output.fields():
                output[name] = values.astype(str) if values.dtype.kind in "SU" else values
        job.save_output(OUTPUT, output)
        for result in done.results:
            if result.status == "failed":
                job.log(f"failed: {result.message}", level="warning")
    return str(job.uid)


def exposure_inputs(
    exposures: Dataset, project_dir: Path, dataset: Path | None = None
) -> list[MicrographInput]:
    """Return the micrographs of a dataset, with names for the outputs that differ.

    Raises
    ------
    InputError
        It has none, or what it has is not what such a dataset holds.
    """
    where = str(dataset or "the exposures")
    try:
        paths, sizes_a = (exposures[f"{_RAW}/{name}"] for name in ("path", "psize_A"))
        uids = exposures["uid"]
    except (KeyError, ValueError) as error:
        raise InputError(f"{where}: no uid and {_RAW} with path and psize_A ({error})") from None
    if not len(uids):
        raise InputError(f"{where}: no exposures in it; give or connect another output")
    columns = (
        unique_numbers(uids, f"{where}: uid"),
        texts(paths, f"{where}: {_RAW}/path"),
        numbers(sizes_a, f"{where}: {_RAW}/psize_A"),
    )
    return [
        MicrographInput(
            resolve(path, project_dir, dataset and dataset.parent),
            _name(uid, path),
            float(size_a) if 0 < size_a < np.inf else None,
        )
        for uid, path, size_a in zip(*columns, strict=True)
    ]


def _left_out(item: MicrographInput) -> FileResult:
    """Return what became of an exposure that is an earlier result itself."""
    why = f"{item.path}: is a denoised micrograph itself; leave it out of the exposures"
    return FileResult(item.path, item.path, "failed", why)


def _name(uid: int, path: str) -> str:
    """Return a name that no other exposure has; CryoSPARC puts the number first, too."""
    stem = PurePosixPath(path.removeprefix(">")).stem
    number = stem.partition("_")[0]
    own = number.isdecimal() and int(number) == uid
    return f"{stem}.mrc" if own else f"{uid:021d}_{stem}.mrc"


def _fields(outputs: list[Path], project_dir: Path, settings: DenoiseSettings) -> Fields:
    from nt2c.io.micrographs import open_micrograph

    shapes, sizes_a = [], []
    for path in outputs:
        with open_micrograph(path) as denoised:
            shapes.append(denoised.shape)
            sizes_a.append(denoised.pixel_size_a)
    paths = [os.path.relpath(path, project_dir) for path in outputs]
    count = len(outputs)
    mode = "MRC/12" if settings.float16 else "MRC/2"
    return {
        f"{SLOT}/path": np.array([os.fsencode(path) for path in paths]),
        f"{SLOT}/idx": np.zeros(count, np.uint32),
        f"{SLOT}/shape": np.array(shapes, np.uint32),
        f"{SLOT}/psize_A": np.array(sizes_a, np.float32),
        f"{SLOT}/format": np.array([mode.encode()] * count),
        f"{SLOT}/is_background_subtracted": np.full(count, not settings.keep_background, np.uint32),
    }


def write_group(dataset: Path, names: Sequence[str], count: int) -> Path:
    """Describe a dataset of exposures to CryoSPARC's job "Import Result Group"; return the file.

    Parameters
    ----------
    dataset : Path
        The .cs file, in the folder of which the .csg file is written.
    names : sequence of str
        Its fields; what stands before "/" are the slots.
    count : int
        Number of rows.
    """
    slots = dict.fromkeys(name.partition("/")[0] for name in names if "/" in name)
    lines = ["group:", "  description: Exposures with denoised micrographs, made by nt2c"]
    lines += [f"  name: {OUTPUT}", "  title: Denoised exposures", "  type: exposure", "results:"]
    for slot in slots:
        lines += [f"  {slot}:", f"    metafile: '>{dataset.name}'", f"    num_items: {count}"]
        lines += [f"    type: exposure.{_SLOT_TYPES.get(slot, slot)}"]
    created = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    lines = [f"created: '{created}'", *lines, f"version: {_GROUP_VERSION}"]
    path = dataset.with_suffix(".csg")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path
