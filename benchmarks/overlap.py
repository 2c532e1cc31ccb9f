"""How well reading and writing hide behind computing, on real files.

    python -m benchmarks.overlap [--files 100] [--side 2048] [--threads 1] [--kinds cold deflate]

Micrographs of counts go through `denoise_files`. Beside the time of the batch stand those of its
halves, one after the other in the same process: all files read and as many results written, and
all of them computed from memory. If the halves did not overlap the batch would take their sum; if
they hid each other wholly, the slower one.

Kinds of files: "cold", float32 MRC that the system was told to forget, so that reading waits for
the disk; "warm", the same from its memory; "deflate" and "lzw", compressed TIFF of 16 bits, which
reading has to decode. Reading in "warm" and compressed files is work of a processor: leave one for
it (by default one of two computes). Writing waits for the disk in all of them (fsync). One JSON
line for each kind goes to `results/overlap.jsonl`. Some GB of disk (TMPDIR) are needed for a while.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import torch
from benchmarks.about import RESULTS, about

from nt2c.batch.run import denoise_files
from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import open_micrograph, write_micrograph
from nt2c.io.records import append_record

KINDS = ("cold", "warm", "deflate", "lzw")
PIXEL_SIZE_A = 1.0
DISTINCT = 4


def write_inputs(folder: Path, kind: str, files: int, side: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = [rng.poisson(20, (side, side)).astype(np.uint16) for _ in range(DISTINCT)]
    for index in range(files):
        image, name = images[index % DISTINCT], folder / f"{index:04d}"
        if kind in ("cold", "warm"):
            write_micrograph(name.with_suffix(".mrc"), image.astype(np.float32), PIXEL_SIZE_A)
        else:
            tifffile.imwrite(name.with_suffix(".tif"), image, compression=kind)


def forget(folder: Path) -> None:
    """Tell the system to drop what it holds of the files, so that the next reader waits."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(kind: str, files: int, side: int) -> dict[str, float]:
    """Seconds of a batch and of its halves."""
    denoiser = Denoiser(load_model(), device="cpu")
    with tempfile.TemporaryDirectory() as place:
        raw, out = Path(place) / "raw", Path(place) / "out"
        write_inputs(raw, kind, files, side)
        inputs = find_inputs([raw])

        def read(path: Path) -> np.ndarray:
            with open_micrograph(path, PIXEL_SIZE_A) as micrograph:
                return micrograph.read()

        image = read(inputs[0].path)
        result = denoiser(image, PIXEL_SIZE_A)  # decides the precision, and warms up
        settings = DenoiseSettings(pixel_size_a=PIXEL_SIZE_A, precision=denoiser.precision)

        def compute() -> None:
            for _ in range(files):
                denoiser(image, PIXEL_SIZE_A)

        def move() -> None:
            for item in inputs:
                read(item.path)
                write_micrograph(out / item.output_name, result, PIXEL_SIZE_A)
                (out / item.output_name).unlink()

        def batch() -> None:
            denoise_files(
                inputs, out, load_model(), settings, BatchOptions(device="cpu"),
                on_result=lambda done: done.output.unlink(),
            )  # fmt: skip

        taken = {}
        for name, work in (("files_s", move), ("computing_s", compute), ("batch_s", batch)):
            if kind == "cold":
                forget(raw)
            taken[name] = seconds(work)
    slower, faster = sorted((taken["files_s"], taken["computing_s"]), reverse=True)
    hidden = (slower + faster - taken["batch_s"]) / faster
    return {**taken, "hidden": hidden, "slower_of_batch": slower / taken["batch_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--side", type=int, default=2048, help="pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["cold", "deflate"])
    parser.add_argument("--results", type=Path, default=RESULTS / "overlap.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for kind in options.kinds:
        found = measure(kind, options.files, options.side)
        record = {"kind": kind, "files": options.files, "side": options.side}
        append_record(options.results, record | found | about(options.threads))
        print(
            f"{kind}: files {found['files_s']:.1f} s, computing {found['computing_s']:.1f} s, "
            f"batch {found['batch_s']:.1f} s: the slower is {found['slower_of_batch']:.0%} of it, "
            f"{found['hidden']:.0%} of the faster is hidden",
            flush=True,
        )


if __name__ == "__main__":
    main()
