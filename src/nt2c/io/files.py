"""Files that appear whole or not at all, and what is no file to read."""

import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nt2c.core.errors import InputError

TEMPORARY_SUFFIX = ".partial"
_ABANDONED_S = 24 * 3600.0


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

    Notes
    -----
    The file is flushed to disk before it is renamed, and removed when the block raises. A process
    killed in between leaves the temporary behind; `remove_stale_temporaries` clears it away.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(_temporary_name(final.name))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_stale_temporaries(folder: Path | str) -> list[Path]:
    """Remove what killed processes left in `folder`; return the removed paths.

    A temporary is stale when its writer ran on this host and is gone, or when nobody has written
    to it for a day. Subfolders are not visited.
    """
    stale = [path for path in Path(folder).glob(f".*{TEMPORARY_SUFFIX}") if _is_stale(path)]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale


def _temporary_name(name: str) -> str:
    return f".{name[:150]}.{_host()}-{os.getpid()}-{secrets.token_hex(3)}{TEMPORARY_SUFFIX}"


def _host() -> str:
    return socket.gethostname().replace(".", "_").replace("-", "_")[:40]


def _is_stale(path: Path) -> bool:
    host, _, writer = path.name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2].partition("-")
    process = writer.partition("-")[0]
    if host == _host() and process.isdigit() and not _is_running(int(process)):
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
