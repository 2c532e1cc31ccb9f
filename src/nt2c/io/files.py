"""Files that appear whole or not at all, and what is no file to read."""

import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nt2c.core.errors import InputError

_TEMPORARY = re.compile(r"\..*\.nt2c-(.*)-(\d+)-[0-9a-f]{6}\.partial", re.DOTALL)
_ABANDONED_S = 24 * 3600.0
_NAME_BYTES, _HOST_BYTES = 150, 40  # file systems take 255 in all

_cleared: set[str] = set()
"""Folders in which this process has looked for what killed ones left."""


def check_regular(path: Path | str) -> None:
    """Refuse what is no regular file; every reader asks before it opens a path that a user gave.

    A named pipe would be waited for without end, and a device has none.

    Raises
    ------
    InputError
        There is nothing at `path`, it cannot be looked at, or it is a folder, a named pipe, a
        device or a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it; check with ls -l") from None
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: a folder, not a file; check the path")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: a named pipe or device, not a file; give a regular file")


def read_bytes(path: Path | str) -> bytes:
    """Return what a small file holds.

    Raises
    ------
    InputError
        It is not there, no regular file, or cannot be read.
    """
    check_regular(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def atomic_path(final: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `final` when the block ends without an error.

    Parameters
    ----------
    final : Path or str
        Where the finished file belongs; its folder is made when missing.

    Yields
    ------
    Path
        A new name in the same folder, hidden and ending in ".partial", so that it is not taken for
        an output or an input. The block must create the file.

    Raises
    ------
    OSError
        As the system raises it, always with `final` as its file name: writes that fail on a full
        disk have none of their own.

    Notes
    -----
    The file is flushed to disk before it is renamed, and removed when the block raises. A process
    killed in between leaves the temporary behind; the next one that writes into the folder clears
    it away.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    _clear_once(final.parent)
    temporary = final.with_name(_temporary_name(final.name))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            name_file(error, final)
        raise


def name_file(error: OSError, path: Path | str) -> None:
    """Make an error of the system name a file, and a reason if it has none (numpy's: too short)."""
    error.strerror = error.strerror or f"not written whole, is the disk full? ({error})"
    error.filename, error.filename2 = str(path), None


def is_temporary(path: Path) -> bool:
    """Whether `atomic_path` made this name, in this process or another."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_stale_temporaries(folder: Path | str) -> list[Path]:
    """Remove what killed processes left in `folder`; return the removed paths.

    A temporary is stale when its writer ran on this host and is gone, or when nobody has written
    to it for a day. Subfolders are not visited, and files of other programs are left alone.
    """
    stale = [path for path in Path(folder).glob(".*.partial") if _is_stale(path)]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale


def cut_bytes(text: str, most: int) -> str:
    """Return the start of a name that takes at most so many bytes on disk, whole characters."""
    return os.fsencode(text)[:most].decode("utf-8", "ignore")


def _clear_once(folder: Path) -> None:
    place = os.path.abspath(folder)
    if place not in _cleared:
        _cleared.add(place)
        with suppress(OSError):  # no reason not to write
            remove_stale_temporaries(folder)


def _temporary_name(name: str) -> str:
    start, writer = cut_bytes(name, _NAME_BYTES), f"{_host()}-{os.getpid()}"
    return f".{start}.nt2c-{writer}-{secrets.token_hex(3)}.partial"


def _host() -> str:
    return cut_bytes(socket.gethostname().replace("/", "_"), _HOST_BYTES)


def _is_stale(path: Path) -> bool:
    found = _TEMPORARY.fullmatch(path.name)
    if found is None:
        return False
    if found[1] == _host() and not _is_running(int(found[2])):
        return True
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_S
    except FileNotFoundError:
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
