"""Which micrographs a run does, and where their results go."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.batch.stamps import made_by_us
from nt2c.core.errors import SettingsError
from nt2c.io.files import remove_stale_temporaries
from nt2c.io.inputs import MicrographInput

_OVER_INPUT = "is an input and would be written over; give another folder with 'output'"


@dataclass(frozen=True, slots=True)
class Job:
    """A micrograph and the file that its result goes to."""

    item: MicrographInput
    output: Path


def plan_jobs(items: Sequence[MicrographInput], folder: Path, suffix: str) -> list[Job]:
    """Pair inputs and outputs; earlier outputs found beside their inputs are not denoised again.

    Parameters
    ----------
    items : sequence of MicrographInput
        From `find_inputs`.
    folder : Path
        Folder for the results.
    suffix : str
        Put behind the names of the outputs, before ".mrc".

    Raises
    ------
    SettingsError
        An output would be written over an input or another output, or the suffix holds a slash.
    """
    if "/" in suffix:
        raise SettingsError(f"'suffix' {suffix}: holds '/'; choose the folder with 'output'")
    jobs = [Job(item, _output(folder, item, suffix)) for item in items]
    sources = {_identity(job.item.path): job for job in jobs}
    products = set()
    for job in jobs:
        other = sources.get(_identity(job.output))
        if other is None:
            continue
        if other is job or made_by_us(other.item.path) is None:
            raise SettingsError(f"{job.output}: {_OVER_INPUT}, or a 'suffix'")
        products.add(other.item.path)
    jobs = [job for job in jobs if job.item.path not in products]
    check_outputs((job.output, job.item.path) for job in jobs)
    return jobs


def check_outputs(outputs: Iterable[tuple[Path, Path]], inputs: Iterable[Path] = ()) -> None:
    """Refuse, before anything is written, outputs that would be lost or would cost an input.

    Parameters
    ----------
    outputs : iterable of (Path, Path)
        Each output, and the input that it is made from.
    inputs : iterable of Path
        What must not be written over.

    Raises
    ------
    SettingsError
        Two outputs are one file, by whatever names, or an output is an input.
    """
    sources: dict[str, Path] = {}
    precious = {_identity(path) for path in inputs}
    for output, source in outputs:
        if _identity(output) in precious:
            raise SettingsError(f"{output}: {_OVER_INPUT}")
        place = os.path.join(os.path.realpath(output.parent), output.name)
        other = sources.setdefault(place, source)
        if other is not source:
            raise SettingsError(
                f"{output}: would hold the result of {other} and of {source}; rename one of them, "
                "or give them two folders with 'output'"
            )


def prepare_folders(output_dir: Path, jobs: Sequence[Job]) -> None:
    """Make the folders of the outputs, and clear what killed runs left in them.

    Raises
    ------
    SettingsError
        A folder cannot be made or used.
    """
    for folder in dict.fromkeys([output_dir, *(job.output.parent for job in jobs)]):
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"'output' {folder}: a file; give a folder for the results")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale_temporaries(folder)
        except OSError as error:
            raise SettingsError(
                f"'output' {folder}: cannot be used as folder for the results ({error.strerror})"
            ) from None


def _output(folder: Path, item: MicrographInput, suffix: str) -> Path:
    name = Path(item.output_name)
    return folder / name.with_name(f"{name.stem}{suffix}{name.suffix}")


def _identity(path: Path) -> object:
    """Equal for two names of one file."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
