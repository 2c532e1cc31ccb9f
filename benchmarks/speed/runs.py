"""Runs of a program, file to file: wall time and peak memory of the whole process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nt2c.io.micrographs import write_micrograph

TINY = (64, 64)


@dataclass(frozen=True)
class Size:
    """A micrograph to measure with: shape (y, x) in pixels; `files` of it in one run of ours."""

    name: str
    shape: tuple[int, int]
    pixel_size_a: float
    files: int


SIZES = {
    size.name: size
    for size in (
        Size("1024", (1024, 1024), 1.0, 10),
        Size("4096", (4096, 4096), 1.0, 4),
        Size("K3", (4092, 5760), 1.0, 3),
        Size("K3-super", (8184, 11520), 0.5, 2),
    )
}


@dataclass(frozen=True)
class Program:
    """A command that denoises: the files come last, after `-o FOLDER`."""

    name: str
    command: tuple[str, ...]
    files: int
    """Files of a run; the mean over them is the time for one."""


@dataclass(frozen=True)
class Timing:
    """Seconds and gigabytes of one round.

    Attributes
    ----------
    startup_s : float
        A process for a file of 64 x 64 pixels.
    whole_s : float
        A process for one file.
    each_s : float
        A file more, after start-up: a process for all files less that for the tiny one, by file.
    peak_gb : float
        Largest resident set of these processes.
    """

    startup_s: float
    whole_s: float
    each_s: float
    peak_gb: float


def write_noise(path: Path, shape: tuple[int, int], pixel_size_a: float, seed: int) -> None:
    """Write a micrograph of Poisson counts, 20 per pixel."""
    counts = np.random.default_rng(seed).poisson(20, shape).astype(np.float32)
    write_micrograph(path, counts, pixel_size_a)


# Linux counts the memory of the process that starts another as that one's peak: a small one does.
_LAUNCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
process = subprocess.Popen(sys.argv[1:], **quiet)  # kept: one that is forgotten may be reaped
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - started
print(json.dumps([seconds, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""


def run(command: Sequence[str], threads: int) -> tuple[float, float]:
    """Run a program; return its wall time in s and its peak memory in GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    launcher = [sys.executable, "-c", _LAUNCHER, *command]
    said = subprocess.run(
        launcher, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    seconds, peak_kb, code = json.loads(said.stdout)
    if code:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, peak_kb / 1e6


def measure(program: Program, files: Sequence[Path], tiny: Path, threads: int) -> Timing:
    """Time a program for a tiny file, for one file, and for its number of files.

    A run before that is not timed, so that the program is in the memory of the system.
    """
    out = tiny.parent / program.name

    def timed(given: Sequence[Path]) -> tuple[float, float]:
        shutil.rmtree(out, ignore_errors=True)
        return run([*program.command, "-o", str(out), *map(str, given)], threads)

    timed([tiny])
    startup_s, _ = timed([tiny])
    whole_s, peak_gb = timed(files[:1])
    all_s = whole_s
    if program.files > 1:
        all_s, more_gb = timed(files[: program.files])
        peak_gb = max(peak_gb, more_gb)
    shutil.rmtree(out, ignore_errors=True)
    return Timing(startup_s, whole_s, (all_s - startup_s) / program.files, peak_gb)
