"""Stages that are done once: each leaves a folder with its outputs and a stamp of what made them.

A stage is settings and inputs turned into a folder. Its key is the hash of the settings, of the
input files (path, size, modification time), of the keys of the stages before it, of the version
of nt2c and of the revision of the code (see `core.revision`). The stamp, written last and whole,
holds the key: a folder whose stamp has the wanted key is done. A stage that was interrupted left
its key in `begun.json` and goes on in its folder; one with another key starts in a clean folder,
so that old and new are never mixed.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.revision import Part, made_by
from nt2c.io.files import is_temporary, remove_stale_temporaries
from nt2c.io.records import Record, read_json, write_json

STAMP = "stage.json"
BEGUN = "begun.json"
LOCK = ".lock"
_DISCARDED = ".discarded-"


@dataclass(frozen=True)
class Stage:
    """What a stage depends on, and the files without which it is not done.

    Attributes
    ----------
    folder : Path
        Receives the outputs; its name is the stage's. Nothing else may be kept there.
    settings : mapping
        All that decides the result besides files, as JSON can hold it.
    inputs : sequence of Path
        Files that it reads; they may be missing.
    after : sequence of str
        Keys of the stages whose outputs it reads.
    outputs : sequence of str
        Names in the folder.
    code : sequence of str
        Parts of the code, by their names in `core.revision`, whose changes change the result.
    """

    folder: Path
    settings: Mapping[str, object]
    inputs: Sequence[Path] = ()
    after: Sequence[str] = ()
    outputs: Sequence[str] = ()
    code: Sequence[Part] = ()

    @cached_property
    def key(self) -> str:
        """Hash of everything that decides the result, as it was when first asked for."""
        files = [_file_key(path) for path in self.inputs]
        made = made_by(*self.code)
        what = [made, self.folder.name, dict(self.settings), files, list(self.after)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """A stage that is done.

    Attributes
    ----------
    key : str
        Of the stage, for those after it.
    record : mapping
        What the work returned, as read back from the stamp.
    seconds : float
        Time of the work since its last start.
    reused : bool
        It had been done before.
    """

    key: str
    record: Mapping[str, JsonValue]
    seconds: float
    reused: bool


def run_stage(
    stage: Stage, work: Callable[[Path], Record | Mapping[str, object] | None]
) -> Outcome:
    """Do a stage unless it is done; resume it where a run with the same key was interrupted.

    Parameters
    ----------
    stage : Stage
        What to do.
    work : callable
        Receives the folder, leaves the outputs there and returns a record for the stamp, if there
        is something to say. What it finds in the folder, an interrupted run of the same stage has
        left.

    Raises
    ------
    SettingsError
        The folder holds files that no stage has written.
    """
    stage.folder.parent.mkdir(parents=True, exist_ok=True)
    done = finished(stage)
    if done is not None:
        return done
    _prepare(stage)
    started = time.perf_counter()
    record = work(stage.folder)
    missing = [name for name in stage.outputs if not (stage.folder / name).exists()]
    assert not missing, f"{stage.folder}: the stage left no {', '.join(missing)}"
    stamp = {
        "key": stage.key,
        "made_by": made_by(*stage.code),
        "seconds": time.perf_counter() - started,
        "outputs": {name: _size(stage.folder / name) for name in stage.outputs},
        "settings": dict(stage.settings),
        "inputs": [_file_key(path) for path in stage.inputs],
        "after": list(stage.after),
        "record": record or {},
    }
    write_json(stage.folder / STAMP, stamp)
    read_back = finished(stage)
    assert read_back is not None
    return replace(read_back, reused=False)


def finished(stage: Stage) -> Outcome | None:
    """Return what is known of a stage that is done and whose outputs are still there."""
    stamp = _read(stage.folder / STAMP)
    if stamp is None or stamp.get("key") != stage.key:
        return None
    if any(_size(stage.folder / name) != size for name, size in stamp["outputs"].items()):
        return None
    return Outcome(stage.key, stamp["record"], float(stamp["seconds"]), reused=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder, which is made when missing, while the block runs.

    The lock belongs to the process: the system releases it when the process ends, however that
    happens.

    Raises
    ------
    SettingsError
        Another run holds the folder, or it cannot be made or locked.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"'output' {folder}: a file; give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise SettingsError(f"'output' {folder}: cannot be used ({error.strerror})") from None
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        _clear(folder)
        yield
    finally:
        os.close(descriptor)  # releases it; the file stays, or a third run could lock another one


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise SettingsError(
                f"'output' {folder}: this file system does not lock files ({error.strerror}); "
                "give a folder on another"
            ) from None
        holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "another process"
        raise SettingsError(
            f"'output' {folder}: another run is at work there ({holder}); wait for it, stop it, or "
            "give another folder"
        ) from None


def _clear(folder: Path) -> None:
    """Remove what killed runs left behind."""
    remove_stale_temporaries(folder)
    for place in ("", "*/"):  # beside the stages, which may lie in a folder of their own
        for left in folder.glob(f"{place}{_DISCARDED}*"):
            shutil.rmtree(left, ignore_errors=True)


def _prepare(stage: Stage) -> None:
    """Leave a folder that is new, or of an interrupted run of the same stage."""
    folder = stage.folder
    if folder.exists():
        remove_stale_temporaries(folder)
        begun = _read(folder / BEGUN)
        if begun is not None and begun.get("key") == stage.key:
            (folder / STAMP).unlink(missing_ok=True)
            return
        _discard(folder, ours=begun is not None)
    folder.mkdir()
    write_json(folder / BEGUN, {"key": stage.key, "made_by": made_by(*stage.code)})


def _discard(folder: Path, ours: bool) -> None:
    """Remove a folder in one step: a kill leaves it whole or under another name."""
    if not folder.is_dir():
        raise SettingsError(f"{folder}: a file where a stage keeps its results; move it away")
    foreign = [path for path in folder.iterdir() if not is_temporary(path)]
    if foreign and not ours:
        raise SettingsError(
            f"{folder}: holds files that no run of nt2c made (such as {foreign[0].name}); move "
            "them away, or give another folder with -o"
        )
    away = folder.with_name(f"{_DISCARDED}{folder.name}-{os.getpid()}-{time.time_ns()}")
    os.rename(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except InputError:
        return None


def _file_key(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [os.path.abspath(path)]
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def _size(path: Path) -> int | None:
    """Size of a file, -1 of a folder, None when there is nothing."""
    try:
        return -1 if path.is_dir() else path.stat().st_size
    except OSError:
        return None
