"""`nt2c slurm --submit` on a real Slurm of two nodes on this machine, whose tasks are killed."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nt2c.batch.summary import read_summary
from nt2c.io.weights import write_weights
from tests.batch.make import micrograph, pixels, random_model

ROOT = Path(__file__).parents[1]
TWO_NODES = ROOT / "scripts" / "slurm_two_nodes.sh"
COUNT, SHARDS = 24, 3
PATIENCE_S = 300.0
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Slurm cluster"),
]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SLURM_TEST_PORT", str(min(one.getsockname()[1], 65000)))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm" / "slurm.conf"))
    try:
        subprocess.run([TWO_NODES, "start", tmp_path / "slurm"], check=True)
        yield
    finally:
        subprocess.run([TWO_NODES, "stop", tmp_path / "slurm"], check=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with micrographs in `raw`, one of them no micrograph, and a model."""
    place = tmp_path / "a project"
    (place / "raw").mkdir(parents=True)
    for number in range(COUNT):
        micrograph(place / "raw" / f"mic {number:02d}.mrc", seed=number, shape=(1536, 1536))
    (place / "raw" / "bad.mrc").write_bytes(b"nonsense")
    write_weights(place / "m.safetensors", *random_model(widths=(16, 32)).to_tensors())
    monkeypatch.chdir(place)
    return place


def nt2c(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "nt2c", *words], check=False).returncode


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def worker(shard: int) -> int:
    """Process that denoises a shard."""
    wanted = f"\0--shard\0{shard}/{SHARDS}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "cmdline").read_bytes():
                return int(process.name)
        except OSError:  # ended meanwhile
            continue
    raise AssertionError(f"no process denoises shard {shard}")


def say(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def finished(text: str) -> list[str]:
    return re.findall(r"raw/(mic \d+\.mrc): done", text)


@pytest.mark.usefixtures("slurm")
def test_kills_and_requeues_lose_nothing_and_do_nothing_twice(folder: Path) -> None:
    options = ["--model", "m.safetensors", "--device", "cpu", "--precision", "fp32"]
    assert nt2c("slurm", "raw", "-o", "out", *options, "--shards", str(SHARDS), "--submit") == 0
    logs = [folder / "out" / "slurm" / f"shard-{n}.log" for n in range(1, SHARDS + 1)]

    until(lambda: len(finished(say(logs[0]))) >= 2)
    os.kill(worker(1), signal.SIGKILL)
    before = {path: path.stat() for path in (folder / "out").glob("*.mrc")}
    until(lambda: len(finished(say(logs[2]))) >= 2)
    array = re.search(r"JobId=(\d+) ArrayJobId=(\d+) ArrayTaskId=3\b", controlled("show", "job"))
    assert array
    subprocess.run(["scancel", "--batch", "--signal=USR1", f"{array[2]}_3"], check=True)

    merged = folder / "out" / "slurm" / "merge.log"
    until(lambda: " failed, " in say(merged))
    texts = [say(log) for log in logs]
    assert "killed (exit code 137); back to the queue" in texts[0]
    assert "the time is nearly up; back to the queue" in texts[2]
    assert "back to the queue" not in texts[1]
    assert f"{COUNT} done, 1 failed, 0 left" in say(merged)
    assert "failed: raw/bad.mrc: not an MRC file" in say(merged)

    times = Counter(name for text in texts for name in finished(text))
    assert max(times.values()) == 1
    for path, status in before.items():
        assert path.stat().st_mtime_ns == status.st_mtime_ns, f"{path} was made twice"
    results, about = read_summary(folder / "out" / "summary.json")
    assert about.finished
    assert Counter(r.status == "failed" for r in results) == {False: COUNT, True: 1}

    assert nt2c("denoise", "raw", "-o", "alone", *options) == 1
    for path in sorted((folder / "alone").glob("*.mrc")):
        assert np.array_equal(pixels(path), pixels(folder / "out" / path.name))
    assert len(list((folder / "out").glob("*.mrc"))) == COUNT


def controlled(*words: str) -> str:
    """What scontrol says, a line for each job."""
    return subprocess.run(
        ["scontrol", "--oneliner", *words], check=True, capture_output=True, text=True
    ).stdout
