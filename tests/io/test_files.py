import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, check_regular, remove_stale_temporaries
from nt2c.io.inputs import find_inputs


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


def test_a_temporary_of_another_host_is_stale_after_a_day(tmp_path):
    foreign = tmp_path / ".a.mrc.elsewhere-1-abcdef.partial"
    foreign.write_bytes(b"half")
    assert remove_stale_temporaries(tmp_path) == []
    two_days_ago = time.time() - 2 * 86400
    os.utime(foreign, (two_days_ago, two_days_ago))
    assert remove_stale_temporaries(tmp_path) == [foreign]


def test_a_very_long_name_fits(tmp_path):
    with atomic_path(tmp_path / ("x" * 250 + ".mrc")) as temporary:
        temporary.write_bytes(b"")


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
