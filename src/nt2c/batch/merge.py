"""Joining what the shards of a run say, and looking whether their outputs are there."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from nt2c.batch.summary import FileResult, RunRecord, read_summary, summary_path, write_summary
from nt2c.core.errors import InputError
from nt2c.core.version import __version__
from nt2c.denoising.settings import Shard
from nt2c.io.mrc import MrcReader
from nt2c.io.star_outputs import write_outputs_star

_SHARD = re.compile(r"summary\.shard-(\d+)-of-(\d+)\.json$")


@dataclass(frozen=True)
class Merged:
    """What became of the shards of a run.

    Attributes
    ----------
    results : tuple of FileResult
        Of all shards, sorted by input. One whose output is not there, or not whole, has failed.
    problems : tuple of str
        Shards that have not run, or not to their end.
    unseen : int
        Micrographs of the shards that have not run.
    star : Path or None
        The list of results, if there is one.
    """

    results: tuple[FileResult, ...]
    problems: tuple[str, ...]
    unseen: int
    star: Path | None

    def with_status(self, status: str) -> list[FileResult]:
        """Return the results that are "done", "skipped", "failed" or "left"."""
        return [result for result in self.results if result.status == status]


def merge_summaries(folder: Path | str) -> Merged:
    """Join the summaries of the latest sharded run in a folder, or check that of a whole run.

    Writes summary.json, and micrographs.star if the inputs came from one STAR file.

    Parameters
    ----------
    folder : Path or str
        Output folder of `nt2c denoise`.

    Raises
    ------
    InputError
        There is no summary, or one cannot be read, or nor can the STAR file.
    """
    folder = Path(folder)
    paths, missing = _summaries(folder)
    problems = list(missing)
    read = {path: read_summary(path) for path in paths}
    problems += [
        f"{path}: this run was killed, or has not come to its end yet"
        for path, (_, about) in read.items()
        if not about.finished
    ]
    sizes: dict[Path, tuple[Path, float]] = {}
    results = [_checked(result, sizes) for results, _ in read.values() for result in results]
    results.sort(key=lambda result: result.input)
    abouts = [about for _, about in read.values()]
    stars = sorted({star for about in abouts for star in about.stars})
    star = folder / "micrographs.star" if len(stars) == 1 and sizes else None
    if star and os.path.realpath(star) == os.path.realpath(stars[0]):
        problems.append(f"{star}: is the list of the raw micrographs, and is not written over")
        star = None
    if star:
        write_outputs_star(star, stars[0], sizes)
    about = abouts[0] if abouts else RunRecord(version=__version__, finished=False)
    about = about.replace(
        stars=tuple(stars), shard=None, seconds=sum(each.seconds for each in abouts)
    )
    write_summary(summary_path(folder), results, about, finished=not problems)
    known = max((each.micrographs for each in abouts), default=0)
    unseen = max(0, known - len(results)) if missing else 0
    return Merged(tuple(results), tuple(problems), unseen, star)


def _summaries(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the summaries that make up the latest run, and which are not there."""
    whole = summary_path(folder)
    parts = {path: found for path in folder.glob("summary.shard-*") if (found := _shard(path))}
    if not parts:
        if not whole.is_file():
            raise InputError(f"{folder}: no summary of nt2c denoise in this folder; check the path")
        return [whole], []
    count = parts[max(parts, key=lambda path: path.stat().st_mtime_ns)].count
    expected = [summary_path(folder, Shard(index, count)) for index in range(1, count + 1)]
    missing = [f"{path}: is not there; this part has not run" for path in expected]
    return (
        [path for path in expected if path in parts],
        [text for path, text in zip(expected, missing, strict=True) if path not in parts],
    )


def _shard(path: Path) -> Shard | None:
    found = _SHARD.match(path.name)
    return Shard(int(found[1]), int(found[2])) if found else None


def _checked(result: FileResult, sizes: dict[Path, tuple[Path, float]]) -> FileResult:
    """Note the pixel size of an output that is there; a result without its output has failed."""
    if result.status not in ("done", "skipped"):
        return result
    try:
        reader = MrcReader(result.output)
    except (InputError, OSError) as error:
        why = f"{result.output}: the output is missing or not whole; run again"
        return replace(result, status="failed", message=f"{why} ({error})")
    reader.close()
    sizes[result.input] = (result.output, reader.pixel_size_a or 0.0)
    return result
