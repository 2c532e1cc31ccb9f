"""Memory of long batches and of the largest micrographs.

    python benchmarks/memory.py

First, many micrographs of 2048 x 2048 in one process: resident memory after the 10th and after the
last. Then one of 11520 x 8184 (float32, 0.42 A/px) in processes of their own, without a bound and
with `--max-memory 1`: greatest resident memory of each, and whether the results are equal bit by
bit. One JSON line goes to `results/memory.jsonl`. Outputs are deleted as they come; some GB of disk
are needed for a while.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from nt2c.batch.run import denoise_files
from nt2c.batch.summary import FileResult
from nt2c.core.device import resident_bytes
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import load_model
from nt2c.denoising.settings import BatchOptions
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import append_record

RESULTS = Path(__file__).parent / "results" / "memory.jsonl"
COMMAND = """
import sys
from nt2c.cli.app import main
code = main()
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
sys.exit(code)
"""
DISTINCT = 10


def noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return counting noise, 20 per pixel."""
    return np.random.default_rng(seed).poisson(20, shape).astype(np.float32)


def many(folder: Path, count: int) -> list[int]:
    """Denoise `count` micrographs; return the resident memory after each, in bytes."""
    inputs = folder / "inputs"
    inputs.mkdir()
    for seed in range(DISTINCT):
        write_micrograph(folder / f"{seed}.mrc", noise((2048, 2048), seed), 1.06)
    for index in range(count):
        (inputs / f"{index:04d}.mrc").symlink_to(folder / f"{index % DISTINCT}.mrc")
    memory: list[int] = []

    def measure(result: FileResult) -> None:
        memory.append(resident_bytes())
        result.output.unlink()

    denoise_files(
        find_inputs([inputs]),
        folder / "out",
        load_model(),
        options=BatchOptions(device="cpu"),
        on_result=measure,
    )
    return memory


def large(source: Path, out: Path, *options: str) -> float:
    """Denoise a micrograph in a process of its own; return its greatest resident memory in GB."""
    shown = subprocess.run(
        [sys.executable, "-c", COMMAND, "denoise", str(source), "-o", str(out), *options],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(shown.split()[-1]) / 1e6  # KB on Linux


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        memory = many(folder, options.count)
        source = folder / "large.mrc"
        write_micrograph(source, noise((8184, 11520), 0), 0.42)
        free = large(source, folder / "free", "--device", "cpu")
        bound = large(source, folder / "bound", "--device", "cpu", "--max-memory", "1")
        outputs = [(folder / name / "large.mrc").read_bytes() for name in ("free", "bound")]
    record = {
        "version": __version__, "count": options.count, "threads": options.threads,
        "after_10_gb": memory[9] / 1e9, "after_last_gb": memory[-1] / 1e9,
        "growth": memory[-1] / memory[9] - 1,
        "large_gb": free, "large_bound_gb": bound, "large_equal": outputs[0] == outputs[1],
    }  # fmt: skip
    print("\n".join(f"{name}  {value}" for name, value in record.items()))
    append_record(RESULTS, record)


if __name__ == "__main__":
    main()
