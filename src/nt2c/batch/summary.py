"""What became of a batch, and the file that tells it: OUTPUT/summary.json.

A sharded run writes summary.shard-I-of-N.json instead. The file is there from the start of a run,
with every micrograph as "left" that no earlier run has done; one that says `finished: false`
belongs to a run that still goes on or was killed.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from nt2c.batch.plan import Job
from nt2c.core.errors import InputError, SettingsError
from nt2c.denoising.settings import Shard
from nt2c.io.records import Record, read_json, write_json

FORMAT = 1
REMOVED = "was written, and is not there any more; who removed it? Run again to make it anew"
Status = Literal["done", "skipped", "failed", "left"]


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one micrograph.

    Attributes
    ----------
    input, output : Path
        The file read, and the file that is or would be written.
    status : str
        "done"; "skipped", since it was done before; "failed", for the reason in `message`; "left",
        not tried, since the run was stopped.
    message : str
        Why it failed, with the name of the file and what to do.
    warnings : tuple of str
        What the user should know about the input, without its name.
    seconds : float
        Time from opening the input until the output was in place.
    shape : tuple of int or None
        Rows and columns (y, x) of the output, px.
    sections : int
        Images in the file.
    pixel_size_a : float or None
        Of the output, angstrom.
    precision : str or None
        "fp32" or "bf16".
    model : str or None
        Name of the model that denoised it.
    noise_share : float or None
        Share (0 to 1) of the denoised image, the first of the file, that may be noise.
    """

    input: Path
    output: Path
    status: Status
    message: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    shape: tuple[int, int] | None = None
    sections: int = 0
    pixel_size_a: float | None = None
    precision: str | None = None
    model: str | None = None
    noise_share: float | None = None


@dataclass(frozen=True)
class Summary:
    """What became of a batch.

    Attributes
    ----------
    results : tuple of FileResult
        One for each input, in order.
    seconds : float
        Of the whole.
    note : str
        Why the summary file could not be written; empty when it was.
    """

    results: tuple[FileResult, ...]
    seconds: float
    note: str = ""

    def with_status(self, status: Status) -> list[FileResult]:
        """Return the results that are "done", "skipped", "failed" or "left"."""
        return [result for result in self.results if result.status == status]

    @property
    def counts(self) -> dict[str, int]:
        """Number of results of each status."""
        return dict(Counter(result.status for result in self.results))


class RunRecord(Record):
    """What a summary says of a run besides its results; what later versions add is kept.

    Attributes
    ----------
    version : str
        Of nt2c.
    finished : bool
        Whether the run came to its end, be it that it was stopped.
    made_by : dict
        From `core.revision`.
    shard : tuple of int or None
        Part i of n, if it was one.
    stars : tuple of str
        STAR files that the inputs came from.
    model, model_hash : str
        Name of the model, and what tells its weights from others.
    device : str
        In words.
    settings : dict
        How it was denoised, of whatever version.
    micrographs : int
        In all shards.
    seconds : float
        Of the whole.
    stopped : str or None
        Signal that stopped it.
    counts : dict
        Number of results of each status.
    """

    model_config = ConfigDict(extra="allow")

    version: str
    finished: bool
    made_by: Mapping[str, str | int] = {}
    shard: tuple[int, int] | None = None
    stars: tuple[str, ...] = ()
    model: str | None = None
    model_hash: str = ""
    device: str = ""
    settings: Mapping[str, JsonValue] = {}
    micrographs: int = 0
    seconds: float = Field(0.0, allow_inf_nan=False)
    stopped: str | None = None
    counts: Mapping[str, int] = {}

    def same_results(self, other: "RunRecord") -> bool:
        """Whether another run makes the same of the same micrograph."""
        return (self.made_by, self.model_hash, self.settings) == (
            other.made_by,
            other.model_hash,
            other.settings,
        )


class _Results(Record):
    results: list[FileResult]


def summary_path(folder: Path, shard: Shard | None = None) -> Path:
    """Return where the summary of a run into `folder` is written."""
    part = f"shard-{shard.index}-of-{shard.count}." if shard else ""
    return folder / f"summary.{part}json"


def write_summary(
    path: Path, results: Iterable[FileResult], about: RunRecord, *, finished: bool
) -> None:
    """Write a summary, whole or not at all; paths become absolute.

    Parameters
    ----------
    path : Path
        From `summary_path`, or any other.
    results : iterable of FileResult
        One for each micrograph.
    about : RunRecord
        What else is known of the run.
    finished : bool
        What it says of that, and the counts, are those of now.
    """
    rows = [
        {
            **asdict(result),
            "input": _absolute(result.input),
            "output": _absolute(result.output),
        }
        for result in results
    ]
    counts = Counter(row["status"] for row in rows)
    own = about.model_dump(exclude_unset=True, exclude={"format", "version", "finished", "counts"})
    record = {"format": FORMAT, "version": about.version, **own, "finished": finished}
    write_json(path, {**record, "counts": counts, "results": rows})


def try_to_write_summary(
    path: Path, results: Iterable[FileResult], about: RunRecord, *, finished: bool
) -> str:
    """Write a summary as `write_summary` does; return why it cannot be written, "" when it was."""
    try:
        write_summary(path, results, about, finished=finished)
    except OSError as error:
        return f"{path}: cannot be written ({error.strerror})"
    return ""


def read_summary(path: Path) -> tuple[list[FileResult], RunRecord]:
    """Return the results in a summary, and what else it says.

    Raises
    ------
    InputError
        The file is missing or not a summary.
    """
    record = read_json(path)
    if record.get("format") != FORMAT:
        raise InputError(f"{path}: not a summary of nt2c denoise, or of another version of nt2c")
    results = _Results.of(record, path).results
    del record["results"]
    return results, RunRecord.of(record, path)


def retried(jobs: Sequence[Job], path: Path) -> tuple[list[Job], list[FileResult]]:
    """Return the jobs that failed according to a summary, and all results in it.

    Raises
    ------
    SettingsError
        There is no such summary, or it is that of a run that was killed.
    """
    try:
        results, about = read_summary(path)
    except InputError as error:
        raise SettingsError(f"'retry_failed': {error}; run without it") from None
    if not about.finished:
        raise SettingsError(
            f"'retry_failed': {path}: the last run did not come to its end, so what failed is not "
            "known; run without it"
        )
    failed = {result.input for result in results if result.status == "failed"}
    return [job for job in jobs if _absolute(job.item.path) in failed], results


def standing(jobs: Sequence[Job], path: Path, about: RunRecord) -> list[FileResult]:
    """Return what is known before a run: of its own jobs, and of others whose results are there.

    What an earlier run of the same model and settings made stands until it is made again; the other
    jobs are "left". Of results of other runs in the folder their summary tells.

    Parameters
    ----------
    jobs : sequence of Job
        Of the run.
    path : Path
        Summary of the earlier run, if there is one.
    about : RunRecord
        What the summary says of this run.
    """
    try:
        results, before = read_summary(path)
        same = before.same_results(about)
    except InputError:
        results, same = [], False
    there = {result.input: result for result in results if result.output.is_file()}
    known = []
    for job in jobs:
        result = there.pop(_absolute(job.item.path), None)
        if not same or result is None or result.output != _absolute(job.output):
            result = FileResult(job.item.path, job.output, "left")
        known.append(result)
    taken = {_absolute(job.output) for job in jobs}
    return [*known, *(result for result in there.values() if result.output not in taken)]


def updated(earlier: Sequence[FileResult], newer: Iterable[FileResult]) -> list[FileResult]:
    """Return the results of a summary with newer ones in the place of those of the same input.

    One that is "left" takes no place: what was known of that input stays true. So does what was
    said of one that is "skipped" when it was made.
    """
    latest = {_absolute(result.input): result for result in earlier}
    for result in newer:
        known = latest.get(_absolute(result.input))
        if known and result.status == "skipped" and known.status in ("done", "skipped"):
            latest[_absolute(result.input)] = replace(known, status="skipped")
        elif known is None or result.status != "left":
            latest[_absolute(result.input)] = result
    return list(latest.values())


def confirmed(results: Iterable[FileResult]) -> list[FileResult]:
    """Return results, those as failed whose output somebody removed during the run."""
    return [
        replace(result, status="failed", message=f"{result.output}: {REMOVED}")
        if result.status in ("done", "skipped") and not result.output.is_file()
        else result
        for result in results
    ]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
