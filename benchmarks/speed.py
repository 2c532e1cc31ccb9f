"""Speed and memory, file to file, against Topaz-Denoise, in alternating runs on one machine.

    python benchmarks/speed.py --topaz DIR/bin/topaz

Each program denoises a noise micrograph of the given size (float32, 1 A/px) with the given number
of threads. The time for a file after start-up is that of a process for it less that of a process
for a file of 64 x 64 pixels; our own processes take several files, and the mean counts. Peak
memory is the resident set of the process. One JSON line per pair of runs goes to
`results/speed.jsonl`; the table shows medians.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nt2c import __version__
from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import append_record

RESULTS = Path(__file__).parent / "results" / "speed.jsonl"
NT2C = Path(sys.executable).parent / "nt2c"
TINY = 64


def write_noise(path: Path, side: int, seed: int) -> None:
    """Write a micrograph of Poisson counts, 20 per pixel."""
    counts = np.random.default_rng(seed).poisson(20, (side, side)).astype(np.float32)
    write_micrograph(path, counts, 1.0)


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Run a program; return its wall time in s and its peak memory in GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6  # KB on Linux


def measure(
    command: list[str], flag: list[str], files: list[Path], tiny: Path, out: Path, threads: int
) -> tuple[float, float]:
    """Seconds per file after start-up and peak memory in GB of one program."""
    shutil.rmtree(out, ignore_errors=True)
    startup, _ = run([*command, str(tiny), *flag, str(out / "tiny")], threads)
    took, peak = run([*command, *map(str, files), *flag, str(out / "big")], threads)
    return (took - startup) / len(files), peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topaz", required=True, help="the program topaz of its own environment")
    parser.add_argument("--side", type=int, default=4096, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--files", type=int, default=5, help="files per run of ours")
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tiny, files = work / "tiny.mrc", [work / f"{i}.mrc" for i in range(options.files)]
        write_noise(tiny, TINY, 0)
        for seed, file in enumerate(files, start=1):
            write_noise(file, options.side, seed)
        for _ in range(options.repeats):
            ours_s, ours_gb = measure(
                [str(NT2C), "denoise"], ["-o"], files, tiny, work / "ours", options.threads
            )
            peer_s, peer_gb = measure(
                [options.topaz, "denoise", "-d", "-1"], ["-o"], files[:1], tiny, work / "peer",
                options.threads,
            )  # fmt: skip
            ratios.append(peer_s / ours_s)
            record = {
                "version": __version__, "machine": platform.processor() or platform.machine(),
                "side": options.side, "threads": options.threads,
                "nt2c_s": ours_s, "topaz_s": peer_s, "ratio": ratios[-1],
                "nt2c_peak_gb": ours_gb, "topaz_peak_gb": peer_gb,
            }  # fmt: skip
            append_record(RESULTS, record)
            print("  ".join(f"{k} {v:.4g}" for k, v in record.items() if isinstance(v, float)))
    print(f"median ratio {statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})")


if __name__ == "__main__":
    main()
