"""Where our time goes for one micrograph: read, crop, network, pad, write.

The stages are those of `nt2c denoise`, one after the other in this process; the command reads and
writes beside the network. The median of several rounds counts, after one that is thrown away.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from benchmarks.speed.runs import Size, write_noise

from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.io.micrographs import open_micrograph, write_micrograph

Result = TypeVar("Result")
STAGES = ("read", "crop", "network", "pad", "write")


def stages(size: Size, model: str, rounds: int) -> dict[str, float]:
    """Seconds of each stage, with the threads that torch has been given."""
    denoiser = Denoiser(load_model(model), device="cpu")
    with tempfile.TemporaryDirectory() as work, torch.inference_mode():
        path = Path(work) / "in.mrc"
        write_noise(path, size.shape, size.pixel_size_a, 1)
        taken = [one_round(path, denoiser) for _ in range(rounds + 1)][1:]
    return {stage: median(seconds[stage] for seconds in taken) for stage in STAGES}


def one_round(path: Path, denoiser: Denoiser) -> dict[str, float]:
    seconds = {}

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - start
        return result

    with open_micrograph(path) as micrograph:
        pixel_size_a = micrograph.pixel_size_a
        raw = timed("read", micrograph.read)
    prepared = timed("crop", lambda: denoiser.prepare(raw, pixel_size_a))
    estimate = timed("network", lambda: denoiser.estimate(prepared.scaled))
    shape = (raw.shape[0], raw.shape[1])
    image = timed("pad", lambda: denoiser.restore(prepared, estimate, shape))
    timed("write", lambda: write_micrograph(path.with_name("out.mrc"), image, pixel_size_a))
    return seconds
