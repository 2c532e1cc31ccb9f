"""The stage that learns the noise: a sampler from windows, judged on windows held out."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, NoiseSampler, WhiteNoise
from nt2c.noise.statistics import LEAST_WINDOWS, compare
from nt2c.pipeline.extract import load_windows
from nt2c.pipeline.job import FitJob, Watch
from nt2c.training.denoiser import training_device
from nt2c.training.sampler_files import write_sampler
from nt2c.training.synthesizer import train_synthesizer

SAMPLER = "sampler.safetensors"
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Split:
    """Windows (n, s, s) to learn from and to judge by, the numbers of their micrographs, and
    their pixel size in angstrom.
    """

    learn: Tensor
    judge: Tensor
    learn_groups: Tensor
    judge_groups: Tensor
    pixel_size_a: float


def split_windows(folder: Path) -> Split:
    """Set apart the lowest fifth of each micrograph's windows.

    The same micrographs are thus on both sides, whose noise differs from one to the next, but
    hardly the same pixels, where windows overlap.
    """
    windows, pixel_size_a = load_windows(folder)
    with (folder / "windows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names, groups = np.unique([row["micrograph"] for row in rows], return_inverse=True)
    heights = np.array([float(row["y_px"]) for row in rows])
    judged = np.zeros(len(rows), bool)
    for number in range(len(names)):
        own = np.flatnonzero(groups == number)
        lowest = own[np.argsort(-heights[own], kind="stable")]
        judged[lowest[: round(_HELD_OUT * len(own))]] = True
    if judged.sum() < LEAST_WINDOWS:
        judged[-LEAST_WINDOWS:] = True
    chosen, number_of = torch.from_numpy(judged), torch.from_numpy(groups)
    return Split(
        windows[~chosen],
        windows[chosen],
        number_of[~chosen],
        number_of[chosen],
        pixel_size_a,
    )


def learn_noise(job: FitJob, windows: Path, folder: Path, watch: Watch) -> Mapping[str, Any]:
    """Fit the recipe's sampler, leave it in `folder` and return how like the noise it is.

    A coloured Gaussian field is judged beside it.
    """
    split = split_windows(windows)
    sampler = _fit(job, split, folder, watch)
    write_sampler(folder / SAMPLER, sampler)
    record: dict[str, Any] = {
        "noise": sampler.kind,
        "learned_from": len(split.learn),
        "judged_by": len(split.judge),
        "fidelity": _fidelity(job, split, sampler),
    }
    if sampler.kind != ColouredNoise.kind:
        record["coloured"] = _fidelity(job, split, ColouredNoise.fit(split.learn))
    if isinstance(sampler, NoiseSynthesizer):
        record["warnings"] = sampler.metadata["warnings"]
        record["chosen_step"] = sampler.metadata["step"]
    return record


def _fit(job: FitJob, split: Split, folder: Path, watch: Watch) -> NoiseSampler:
    kind = job.recipe.noise
    if kind == "white":
        return WhiteNoise()
    if kind == "coloured":
        return ColouredNoise.fit(split.learn)
    if kind == "bootstrap":
        return BootstrapNoise.fit(split.learn)
    return train_synthesizer(
        split.learn,
        job.recipe.synthesizer,
        folder,
        seed=job.recipe.seed,
        device=job.device,
        on_step=lambda step, loss: watch.advance(step),
    )


def _fidelity(job: FitJob, split: Split, sampler: NoiseSampler) -> dict[str, Any]:
    """Compare the held-out windows with as many draws."""
    count, size, _ = split.judge.shape
    device = training_device(job.device)
    drawn = sampler.sample((count, size, size), stream(job.recipe.seed, "judged draws", 0, device))
    groups = split.judge_groups if len(split.judge_groups.unique()) > 1 else None
    generator = stream(job.recipe.seed, "judgement")
    return compare(split.judge, drawn.cpu(), split.pixel_size_a, generator, groups).to_record()
