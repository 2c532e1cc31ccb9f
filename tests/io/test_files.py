import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, check_regular, remove_stale_temporaries
from nt2c.io.inputs import find_inputs
from nt2c.io.records import write_json


def test_file_appears_only_at_the_end(tmp_path):
    final = tmp_path / "new" / "a.mrc"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"half")
        assert not final.exists()
        assert temporary.parent == final.parent
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".partial")
    assert final.read_bytes() == b"half"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    final = tmp_path / "a.mrc"
    final.write_bytes(b"old")
    with pytest.raises(error), atomic_path(final) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_killed_writer_leaves_only_a_temporary_that_is_cleared_later(tmp_path):
    final = tmp_path / "a.mrc"
    final.write_bytes(b"old")
    program = (
        "import sys, time\n"
        "from nt2c.io.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, final], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        assert remove_stale_temporaries(tmp_path) == [], "its writer is still at work"
        writer.send_signal(signal.SIGKILL)
    assert final.read_bytes() == b"old"
    assert [found.path for found in find_inputs([tmp_path])] == [final]
    assert len(remove_stale_temporaries(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [final]


def test_writing_into_a_folder_clears_what_was_left_there(tmp_path):
    """So every command that writes clears the way, whatever it writes."""
    with atomic_path(tmp_path / "a.mrc") as temporary:
        temporary.write_bytes(b"")
        left = temporary.name.replace(f"-{os.getpid()}-", "-999999999-")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / left).write_bytes(b"half")
    write_json(folder / "b.json", {})
    assert [path.name for path in folder.iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    "name",
    [".x.partial", ".part-1-abcdef.partial", ".a.b.elsewhere-1-abcdef.partial", ".nt2c.partial"],
)
def test_files_of_other_programs_stay(tmp_path, name):
    theirs = tmp_path / name
    theirs.write_bytes(b"half")
    os.utime(theirs, (1, 1))
    assert remove_stale_temporaries(tmp_path) == []
    write_json(tmp_path / "b.json", {})
    assert theirs.exists()


def test_a_temporary_of_another_host_is_stale_after_a_day(tmp_path):
    foreign = tmp_path / ".a.mrc.nt2c-else-where-1-abcdef.partial"
    foreign.write_bytes(b"half")
    assert remove_stale_temporaries(tmp_path) == []
    two_days_ago = time.time() - 2 * 86400
    os.utime(foreign, (two_days_ago, two_days_ago))
    assert remove_stale_temporaries(tmp_path) == [foreign]


@pytest.mark.parametrize("letter", ["x", "é", "密", "🧊", "\udcff"])
def test_a_very_long_name_fits(tmp_path, letter, monkeypatch):
    """File systems count bytes, and some want whole characters."""
    monkeypatch.setattr(socket, "gethostname", lambda: letter * 64)
    name = letter * ((255 - 4) // len(os.fsencode(letter))) + ".mrc"
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_bytes(b"")
        assert len(os.fsencode(temporary.name)) <= 255
        temporary.name.encode()
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError("5 of 9 written")])
def test_errors_of_writing_name_the_file(tmp_path, error):
    final = tmp_path / "a.mrc"
    with pytest.raises(OSError, match="full") as caught, atomic_path(final) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert caught.value.filename == str(final)
    whole = "not written whole, is the disk full? (5 of 9 written)"
    assert caught.value.strerror in ("full", whole)
    other = tmp_path / "absent"
    with pytest.raises(OSError, match="absent") as caught, atomic_path(final):
        other.read_bytes()
    assert caught.value.filename == str(other)
    with pytest.raises(OSError, match=r"a\.mrc") as caught, atomic_path(final):
        pass  # nothing is written
    assert caught.value.filename == str(final)
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    check_regular(tmp_path / "file")
    for path, words in [
        (tmp_path / "pipe", "named pipe"),
        (Path("/dev/zero"), "device"),
        (tmp_path, "a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "a\0b", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ]:
        with pytest.raises(InputError, match=words):
            check_regular(path)
