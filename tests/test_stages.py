"""Stages: done once, redone when something changed, safe against kills and against each other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nt2c.core import revision
from nt2c.core.errors import SettingsError
from nt2c.pipeline.stages import BEGUN, LOCK, STAMP, Outcome, Stage, locked, run_stage


class Work:
    """Writes what it was told to write, and counts how often."""

    def __init__(self, text: str = "result") -> None:
        self.text = text
        self.calls = 0
        self.found: list[str] = []

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        self.found = sorted(p.name for p in folder.iterdir() if p.name != BEGUN)
        (folder / "out.txt").write_text(self.text)
        return {"said": self.text, "count": self.calls}


def stage(parent: Path, **changes: Any) -> Stage:
    values: dict[str, Any] = {"folder": parent / "one", "settings": {"a": 1}}
    return Stage(**(values | {"outputs": ("out.txt",)} | changes))


def test_done_once_and_the_record_is_kept(tmp_path: Path) -> None:
    work = Work()
    first = run_stage(stage(tmp_path), work)
    again = run_stage(stage(tmp_path), work)
    assert work.calls == 1
    assert (first.reused, again.reused) == (False, True)
    assert first.record == again.record == {"said": "result", "count": 1}
    assert first.key == again.key
    stamp = json.loads((tmp_path / "one" / STAMP).read_text())
    assert stamp["settings"] == {"a": 1}
    assert stamp["outputs"] == {"out.txt": 6}


@pytest.mark.parametrize(
    "change", ["settings", "input", "touched input", "after", "version", "revision"]
)
def test_a_change_is_done_again_in_a_clean_folder(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.mrc"
    source.write_text("data")
    values: dict[str, Any] = {"inputs": [source], "after": ["abc"], "code": ["noise"]}
    run_stage(stage(tmp_path, **values), Work("old"))
    (tmp_path / "one" / "left over").touch()
    if change == "settings":
        values["settings"] = {"a": 2}
    elif change == "input":
        source.write_text("more data")
    elif change == "touched input":
        os.utime(source, ns=(0, 12345))
    elif change == "after":
        values["after"] = ["abd"]
    elif change == "version":
        monkeypatch.setattr(revision, "__version__", "99")
    else:
        monkeypatch.setitem(revision.REVISIONS, "noise", 99)
    work = Work("new")
    assert not run_stage(stage(tmp_path, **values), work).reused
    assert work.found == []
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [BEGUN, "out.txt", STAMP]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "source.mrc"]


@pytest.mark.parametrize("harm", ["missing", "other size"])
def test_a_lost_output_is_made_again(tmp_path: Path, harm: str) -> None:
    run_stage(stage(tmp_path), Work())
    if harm == "missing":
        (tmp_path / "one" / "out.txt").unlink()
    else:
        (tmp_path / "one" / "out.txt").write_text("cut")
    work = Work()
    assert not run_stage(stage(tmp_path), work).reused
    assert (tmp_path / "one" / "out.txt").read_text() == "result"


def test_an_interrupted_stage_goes_on_in_its_folder(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def half(folder: Path) -> dict[str, Any]:
        (folder / "checkpoint").write_text("3 of 6")
        raise KilledError

    with pytest.raises(KilledError):
        run_stage(stage(tmp_path), half)
    assert not (tmp_path / "one" / STAMP).exists()
    work = Work()
    assert not run_stage(stage(tmp_path), work).reused
    assert work.found == ["checkpoint"]
    with pytest.raises(KilledError):
        run_stage(stage(tmp_path, settings={"a": 3}), half)
    other = Work()
    run_stage(stage(tmp_path, settings={"a": 4}), other)
    assert other.found == []


def test_later_stages_follow_the_earlier(tmp_path: Path) -> None:
    def both(setting: int) -> tuple[Outcome, Outcome]:
        first = run_stage(stage(tmp_path, settings={"a": setting}), Work())
        second = stage(tmp_path, folder=tmp_path / "two", settings={}, after=[first.key])
        return first, run_stage(second, Work())

    both(1)
    assert [outcome.reused for outcome in both(1)] == [True, True]
    assert [outcome.reused for outcome in both(2)] == [False, False]


def test_files_of_others_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "thesis.doc").touch()
    with pytest.raises(SettingsError, match=r"thesis\.doc"):
        run_stage(stage(tmp_path), Work())
    assert (tmp_path / "one" / "thesis.doc").exists()


def test_a_torn_stamp_is_no_stamp(tmp_path: Path) -> None:
    run_stage(stage(tmp_path), Work())
    (tmp_path / "one" / STAMP).write_text('{"key": ')
    assert not run_stage(stage(tmp_path), Work()).reused


HOLD = """
import sys, time
from pathlib import Path
from nt2c.pipeline.stages import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_in_one_folder_are_refused_until_the_first_dies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SettingsError, match=f"process {holder.pid} on "), locked(folder):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with locked(folder):
        assert f"process {os.getpid()} on" in (folder / LOCK).read_text()
    with locked(folder):  # released at the end of the block too
        pass


def test_the_lock_clears_what_kills_left(tmp_path: Path) -> None:
    (tmp_path / ".discarded-training-1-2").mkdir()
    (tmp_path / ".discarded-training-1-2" / "checkpoint").touch()
    with locked(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [LOCK]


def test_the_lock_clears_what_kills_left_beside_stages_of_a_round(tmp_path: Path) -> None:
    left = tmp_path / "first" / ".discarded-training-1-2"
    left.mkdir(parents=True)
    (left / "checkpoint").touch()
    (tmp_path / "first" / "windows").mkdir()
    with locked(tmp_path):
        assert [p.name for p in (tmp_path / "first").iterdir()] == ["windows"]


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="a file; give a folder"), locked(tmp_path / "file"):
        pass


SLOW_STAGE = """
import sys, time
from pathlib import Path
from nt2c.pipeline.stages import Stage, run_stage
def work(folder):
    for n in range(5):
        if (folder / str(n)).exists():
            continue
        (folder / str(n)).touch()
        print(n, flush=True)
        time.sleep(0.05 if sys.argv[2] == "fast" else 60)
    (folder / "out").touch()
    return {}
run_stage(Stage(Path(sys.argv[1]) / "one", {}, outputs=("out",)), work)
"""


def test_kill_9_loses_only_what_was_under_way(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_STAGE, str(tmp_path)]
    victim = subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "0\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert not (tmp_path / "one" / STAMP).exists()
    started = time.monotonic()
    shown = subprocess.run([*command, "fast"], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["1", "2", "3", "4"]
    assert time.monotonic() - started < 50
    assert subprocess.run([*command, "slow"], capture_output=True, check=True).stdout == b""
