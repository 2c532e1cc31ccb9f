"""Thousands of small micrographs in one run: is memory flat, and the time per file constant?

    python benchmarks/many.py

Makes int16 micrographs of 512 x 512 with shot noise, each a file of its own; denoises them in one
process; denoises again, when all is done before; and writes their report. Resident memory and time
per file, on the clock and of the processor, are means over each tenth of the run. One JSON line
goes to `results/many.jsonl`. Takes 1.5 MB of disk for each micrograph while it runs.
"""

import argparse
import tempfile
import time
from pathlib import Path

import mrcfile
import numpy as np
import torch

from nt2c.batch.run import denoise_files
from nt2c.batch.summary import FileResult
from nt2c.core.device import resident_bytes
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import load_model
from nt2c.denoising.settings import BatchOptions
from nt2c.io.inputs import find_inputs
from nt2c.io.records import append_record
from nt2c.report.batch import write_report
from nt2c.report.sources import find_source

RESULTS = Path(__file__).parent / "results" / "many.jsonl"
TENTHS = 10


def make(folder: Path, count: int) -> None:
    """Write `count` micrographs, y and x 512 px of 1.1 A."""
    folder.mkdir()
    noise = np.random.default_rng(0).poisson(20, (1024, 1024)).astype(np.int16)
    starts = np.random.default_rng(1).integers(0, 512, (count, 2))
    for index, (y, x) in enumerate(starts):
        with mrcfile.new(folder / f"{index:05d}.mrc") as mrc:
            mrc.set_data(noise[y : y + 512, x : x + 512])
            mrc.voxel_size = 1.1


def tenths(values: np.ndarray) -> list[float]:
    """Return the mean over each tenth of what was measured after each file."""
    return [float(part.mean()) for part in np.array_split(values, TENTHS)]


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-report", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ends: list[tuple[float, float]] = []
    memory: list[float] = []

    def measure(result: FileResult) -> None:
        ends.append((time.perf_counter(), time.process_time()))
        memory.append(resident_bytes() / 1e6)

    record: dict[str, object] = {
        "version": __version__, "count": options.count, "threads": options.threads,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place), load_model()
        make(folder / "raw", options.count)
        inputs = find_inputs([folder / "raw"])
        for run in ("done", "skipped"):
            ends.clear()
            memory.clear()
            started = time.perf_counter(), time.process_time()
            batch = BatchOptions(device="cpu")
            summary = denoise_files(inputs, folder / "out", model, options=batch, on_result=measure)
            assert summary.counts == {run: options.count}
            taken = np.diff([started, *ends], axis=0)
            record[run] = {
                "seconds": summary.seconds,
                "ms_per_file": tenths(1e3 * taken[:, 0]),
                "cpu_ms_per_file": tenths(1e3 * taken[:, 1]),
                "memory_mb": tenths(np.array(memory)),
            }
        if not options.no_report:
            started = time.perf_counter()
            page = write_report(find_source(folder / "out")).path
            record["report"] = {
                "seconds": time.perf_counter() - started, "mb": page.stat().st_size / 1e6,
                "memory_mb": resident_bytes() / 1e6,
            }  # fmt: skip
    print("\n".join(f"{name}  {value}" for name, value in record.items()))
    append_record(options.results, record)


if __name__ == "__main__":
    main()
