"""The stage that learns the noise: a sampler from windows, judged on windows held out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nt2c.core.device import choose_device
from nt2c.core.random import stream
from nt2c.core.words import plural
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.kinds import NoiseKind
from nt2c.noise.samplers import FITTED, ColouredNoise, NoiseSampler
from nt2c.noise.statistics import LEAST_WINDOWS, Fidelity, compare
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.records import NoiseRecord
from nt2c.pipeline.window_files import load_windows, read_places
from nt2c.training.processes import join
from nt2c.training.recorrupted import excess_kurtosis, is_gaussian
from nt2c.training.sampler_files import write_sampler
from nt2c.training.synthesizer import SynthesizerSettings, train_synthesizer

SAMPLER = "sampler.safetensors"
FEW = 30
"""Windows that judge: fewer say little."""
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Split:
    """Windows (n, s, s) to learn from and to judge by, the numbers of their micrographs, and
    their pixel size in angstrom; `names` of the micrographs by their numbers, where they have any.
    """

    learn: Tensor
    judge: Tensor
    learn_groups: Tensor
    judge_groups: Tensor
    pixel_size_a: float
    names: tuple[str, ...] = ()


def split_windows(folder: Path) -> Split:
    """Set apart the lowest fifth of each micrograph's windows.

    The same micrographs are thus on both sides, whose noise differs from one to the next, but
    hardly the same pixels, where windows overlap.
    """
    windows, pixel_size_a = load_windows(folder)
    rows = read_places(folder)
    names, groups = np.unique([row.micrograph for row in rows], return_inverse=True)
    heights = np.array([float(row.y_px) for row in rows])
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
        tuple(names.tolist()),
    )


def learn_noise(job: FitJob, windows: Path, folder: Path, watch: Watch) -> NoiseRecord | None:
    """Fit the recipe's sampler, leave it in `folder` and return how like the noise it is.

    A coloured Gaussian field is judged beside it, and takes the place of a WGAN that is not better
    on the windows held out. Where too few would judge a WGAN, what `auto` stands for is taken.
    Processes that train together all fit; only the first one leaves and returns something.
    """
    split, recipe = split_windows(windows), job.recipe
    few = recipe.noise == NoiseSynthesizer.kind and len(split.judge) < FEW
    sampler = fit_sampler(
        untrained_kind(split) if few or recipe.noise == "auto" else recipe.noise,
        split,
        recipe.synthesizer,
        folder,
        seed=recipe.seed,
        device=job.device,
        on_step=lambda step, loss: watch.advance(step),
    )
    if not join(job.device).first:
        return None

    def judged(one: NoiseSampler) -> Fidelity:
        return judge_sampler(one, split, seed=recipe.seed, device=job.device)

    record: dict[str, Any] = {"learned_from": len(split.learn), "judged_by": len(split.judge)}
    fidelity, instead = judged(sampler), ""
    if few:
        instead = f"{plural(len(split.judge), 'held-out window')} are too few to judge a WGAN by"
    if sampler.kind != ColouredNoise.kind:
        coloured = ColouredNoise.fit(split.learn, split.learn_groups)
        beside = judged(coloured)
        record["coloured"] = beside.to_record()
        if isinstance(sampler, NoiseSynthesizer):
            record["chosen_step"] = sampler.metadata["step"]
            record["warnings"] = sampler.metadata["warnings"]
            if not _better(fidelity, beside):
                instead = "the WGAN is no better on held-out windows"
                record["wgan"] = fidelity.to_record()
                record["warnings"] = []
                sampler, fidelity = coloured, beside
                del record["coloured"]
    write_sampler(folder / SAMPLER, sampler, split.pixel_size_a)
    record |= {
        "noise": sampler.kind,
        "asked": recipe.noise,
        "instead": instead,
        "fidelity": fidelity.to_record(),
    }
    return NoiseRecord.of(record, folder)


def _better(fidelity: Fidelity, other: Fidelity) -> bool:
    """Whether a classifier tells noise from real noise less well, by more than chance."""
    own, beside = fidelity.classifier_auc, other.classifier_auc
    return own is not None and beside is not None and own.below(beside)


def untrained_kind(split: Split) -> NoiseKind:
    """Sampler that "auto" stands for: what needs no training, and no Gaussian for other noise."""
    gaussian = is_gaussian(excess_kurtosis(split.learn, split.learn_groups))
    return "coloured" if gaussian else "bootstrap"


def fit_sampler(
    kind: NoiseKind,
    split: Split,
    settings: SynthesizerSettings,
    folder: Path,
    *,
    seed: int,
    device: str,
    on_step: Callable[[int, float], None],
) -> NoiseSampler:
    """Fit a sampler of a kind, other than "auto", to the windows to learn from.

    `settings`, `folder`, `seed`, `device` and `on_step` are those of `train_synthesizer`, for
    the kind that is trained.
    """
    windows, groups = split.learn, split.learn_groups
    if kind in FITTED:
        return FITTED[kind].fit(windows, groups)
    return train_synthesizer(
        windows, groups, settings, folder, seed=seed, device=device, on_step=on_step
    )


def judge_sampler(sampler: NoiseSampler, split: Split, *, seed: int, device: str) -> Fidelity:
    """Compare the held-out windows with as many draws, made on `device`."""
    count, size, _ = split.judge.shape
    drawn = sampler.sample(
        (count, size, size), stream(seed, "judged draws", 0, choose_device(device))
    )
    groups = split.judge_groups if len(split.judge_groups.unique()) > 1 else None
    generator = stream(seed, "judgement")
    return compare(split.judge, drawn.cpu(), split.pixel_size_a, generator, groups)
