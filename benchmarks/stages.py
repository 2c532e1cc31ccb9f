"""Where the time of a micrograph goes, stage by stage, beside the least that it could take here.

    python benchmarks/stages.py --threads 2

A 4096 x 4096 micrograph (float32, 1 A/px, blobs in noise) is read, prepared, denoised, restored and
written several times; the fastest time of each stage counts. The floor of a stage is measured in
the same process: reading, the bytes into a buffer that is there; preparing and restoring, the bare
Fourier transforms; the network, its operations at the rate of a matrix product in the same
precision; writing, the bytes with fsync. Then the same micrograph goes through `denoise_files`
under several names: seconds for each, and how near that is to the slower of computing alone and
reading and writing alone. With `--cpu` processor time is counted, for a machine that others use
too; the batch is left out then, since waiting does not show. One JSON line goes to
`results/stages.jsonl`.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from nt2c.batch.run import denoise_files
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import open_micrograph, write_micrograph
from nt2c.io.records import append_record

RESULTS = Path(__file__).parent / "results" / "stages.jsonl"
GEMM = 2048


def write_blobs(path: Path, side: int) -> None:
    """Write a micrograph of 1 A/px: dark blobs of 100 A, a few percent deep, in counting noise."""
    rng = np.random.default_rng(0)
    spots = torch.zeros(side, side)
    spots[tuple(rng.integers(0, side, (2, side * side // 40000)))] = 1.0
    blobs = gaussian_lowpass(spots, 30.0)
    mean = 20 * (1 - 0.2 * blobs / blobs.max()).numpy()
    write_micrograph(path, rng.poisson(mean).astype(np.float32), 1.0)


clock = time.perf_counter


def processor_clock() -> float:
    """Return the processor time of this process, shared out over the threads."""
    return time.process_time() / torch.get_num_threads()


def fastest(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the least of several times in s, and the last result."""
    least = float("inf")
    for _ in range(repeats):
        started = clock()
        result = work()
        least = min(least, clock() - started)
    return least, result


def read(path: Path) -> np.ndarray:
    with open_micrograph(path) as micrograph:
        return micrograph.read()


def read_bytes(path: Path, buffer: bytearray) -> None:
    with path.open("rb", buffering=0) as file:
        file.readinto(buffer)


def write_bytes(path: Path, data: bytearray) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())


def crop_transforms(side: int, small: int) -> None:
    """Do the transforms of cropping, of the background and of the noise level, and nothing else."""
    lines = torch.zeros(64, side)
    for _ in range(side // 64):
        torch.fft.irfft(torch.fft.rfft(lines)[:, : small // 2], n=small)
    torch.fft.irfft(torch.fft.rfft(torch.zeros(small, side))[:, : small // 2], n=small)
    padded = torch.zeros(small + 416, small + 416)
    torch.fft.irfft2(torch.fft.rfft2(padded))
    torch.fft.rfft2(torch.zeros(small, small))


def pad_transforms(side: int, small: int) -> None:
    """Do the transforms of enlarging a mirrored image, and nothing else."""
    for lines in (small, side):
        block = torch.zeros(32, 2 * small)
        for _ in range(lines // 32):
            torch.fft.irfft(torch.fft.rfft(block), n=2 * side)


def gemm_rate(dtype: torch.dtype, repeats: int) -> float:
    """Operations per second of a matrix product."""
    a, b = torch.randn(2, GEMM, GEMM).to(dtype)
    return 2 * GEMM**3 / fastest(lambda: a @ b, repeats)[0]


def flops(denoiser: Denoiser, scaled: Tensor) -> float:
    """Operations of the network on a prepared micrograph."""
    with FlopCounterMode(display=False) as counter:
        denoiser.estimate(scaled)
    return float(counter.get_total_flops())


def stages(path: Path, precision: str, repeats: int) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the precision in use, and measured and least seconds of each stage."""
    denoiser = Denoiser(load_model(), device="cpu", precision=precision)
    times: dict[str, tuple[float, float]] = {}
    copy = path.with_name("copy.mrc")
    with torch.inference_mode():
        buffer = bytearray(path.stat().st_size)
        least, _ = fastest(lambda: read_bytes(path, buffer), repeats)
        took, image = fastest(lambda: read(path), repeats)
        times["read"] = took, least
        side = image.shape[0]
        took, prepared = fastest(lambda: denoiser.prepare(image, 1.0), repeats)
        small = prepared.scaled.shape[0]
        times["prepare"] = took, fastest(lambda: crop_transforms(side, small), repeats)[0]
        estimate = denoiser.estimate(prepared.scaled)
        took, _ = fastest(lambda: denoiser.estimate(prepared.scaled), repeats)
        dtype = torch.bfloat16 if denoiser.precision == "bf16" else torch.float32
        times["network"] = took, flops(denoiser, prepared.scaled) / gemm_rate(dtype, repeats)
        took, output = fastest(lambda: denoiser.restore(prepared, estimate, image.shape), repeats)
        times["restore"] = took, fastest(lambda: pad_transforms(side, small), repeats)[0]
        took, _ = fastest(lambda: write_micrograph(copy, output, 1.0), repeats)
        times["write"] = took, fastest(lambda: write_bytes(copy, buffer), repeats)[0]
    return denoiser.precision or "", times


def per_file(path: Path, files: int, precision: str) -> float:
    """Seconds for each of several micrographs in a batch, less the first."""
    inputs, outputs = path.parent / "inputs", path.parent / "outputs"
    inputs.mkdir()
    for index in range(files + 1):
        shutil.copyfile(path, inputs / f"{index:02d}.mrc")
    ends: list[float] = []
    settings = DenoiseSettings(precision=precision)
    denoise_files(
        find_inputs([inputs]), outputs, load_model(), settings,
        BatchOptions(device="cpu"), on_result=lambda result: ends.append(time.perf_counter()),
    )  # fmt: skip
    return (ends[-1] - ends[0]) / files


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--cpu", action="store_true", help="processor time, not wall time")
    options = parser.parse_args()
    global clock
    clock = processor_clock if options.cpu else time.perf_counter
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "micrograph.mrc"
        write_blobs(path, options.side)
        precision, times = stages(path, options.precision, options.repeats)
        each = None if options.cpu else per_file(path, options.files, options.precision)
    compute = sum(times[name][0] for name in ("prepare", "network", "restore"))
    files = times["read"][0] + times["write"][0]
    floor = sum(least for _, least in times.values())
    print(f"precision {precision}, {options.threads} threads\n\nstage      s       floor   times")
    for name, (took, least) in times.items():
        print(f"{name:9s}  {took:.3f}   {least:.3f}   {took / least:.1f}")
    total = sum(took for took, _ in times.values())
    print(f"{'sum':9s}  {total:.3f}   {floor:.3f}   {total / floor:.1f}")
    record = {
        "version": __version__, "machine": platform.processor() or platform.machine(),
        "side": options.side, "threads": options.threads, "precision": precision,
        "clock": "cpu" if options.cpu else "wall",
        **{f"{name}_s": took for name, (took, _) in times.items()},
        **{f"{name}_floor_s": least for name, (_, least) in times.items()},
        "sum_s": total, "floor_s": floor,
    }  # fmt: skip
    if each:
        overlap = max(compute, files) / each
        print(f"in a batch {each:.3f} s each: {each / floor:.2f} x the floor;")
        print(f"the slower of computing and files takes {overlap:.0%} of that")
        record |= {"batch_s": each, "overlap": overlap, "ratio": each / floor}
    append_record(RESULTS, record)


if __name__ == "__main__":
    main()
