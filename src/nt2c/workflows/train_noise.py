"""A sampler of noise from windows, judged on windows that it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.io.records import write_json
from nt2c.noise.resampling import Measure
from nt2c.noise.samplers import ColouredNoise
from nt2c.noise.statistics import Fidelity
from nt2c.pipeline.learning import Split, fit_sampler, judge_sampler, split_windows
from nt2c.training.processes import join
from nt2c.training.sampler_files import write_sampler
from nt2c.training.synthesizer import SynthesizerSettings
from nt2c.workflows.options import NoiseOptions

_HELD_OUT = 0.2
_GOOD_AUC = 0.6
_UNSURE = 0.3  # length of an interval


@dataclass(frozen=True)
class LearntNoise:
    """A sampler file, and how like the noise its draws are.

    Attributes
    ----------
    file : Path
        The sampler.
    figures : Path
        The same figures as JSON.
    fidelity : dict of str to Fidelity
        Of the sampler by its kind, first; and of a coloured Gaussian field beside it.
    warnings : tuple of str
        What the user should know.
    """

    file: Path
    figures: Path
    fidelity: dict[str, Fidelity]
    warnings: tuple[str, ...]


def train_noise(
    windows: Path, output: Path, options: NoiseOptions, on_step: Callable[[int, float], None]
) -> LearntNoise | None:
    """Fit or train a sampler of noise, judge it on windows held out, and write it.

    Parameters
    ----------
    windows : Path
        Folder of an extraction, or a .npy file of windows (n, side, side).
    output : Path
        Sampler file to write. A training leaves its checkpoint beside it, and goes on from there.
    options : NoiseOptions
        Which sampler, how, and where.
    on_step : callable
        Called with the step of a training and its loss.

    Returns
    -------
    LearntNoise or None
        None in all but the first of several processes that train together.

    Raises
    ------
    InputError
        The windows cannot be read.
    SettingsError
        The output is a folder, or the pixel size is missing or told twice.
    """
    if output.is_dir():
        raise SettingsError(f"{output}: a folder; give the name of a sampler file with 'output'")
    device, seed = options.device, options.seed
    split = _read(windows, options.pixel_size_a, seed)
    folder = output.with_suffix(".training")
    sampler = fit_sampler(
        options.kind, split, synthesizer(options), folder, seed=seed, device=device, on_step=on_step
    )
    if not join(device).first:
        return None
    write_sampler(output, sampler, split.pixel_size_a)
    judged: dict[str, Fidelity] = {
        options.kind: judge_sampler(sampler, split, seed=seed, device=device)
    }
    if options.kind != "coloured":
        coloured = ColouredNoise.fit(split.learn, split.learn_groups)
        judged["coloured"] = judge_sampler(coloured, split, seed=seed, device=device)
    figures = folder / "fidelity.json"
    records = {kind: fidelity.to_record() for kind, fidelity in judged.items()}
    write_json(figures, {"learned_from": len(split.learn), **records})
    warnings = getattr(sampler, "metadata", {}).get("warnings", [])
    return LearntNoise(output, figures, judged, tuple(warnings))


def synthesizer(options: NoiseOptions) -> SynthesizerSettings:
    """Return the settings of a WGAN's training."""
    settings = SynthesizerSettings()
    if options.steps is not None:
        settings = settings.replace(optimizer=settings.optimizer.replace(steps=options.steps))
    return settings


def verdict(aucs: dict[str, Measure]) -> str:
    """Say in a sentence whether the first of the samplers judged is worth its place.

    Small differences are taken for chance (`Measure.below`).
    """
    (name, own), *others = aucs.items()
    if own.high - own.low > _UNSURE:
        text = f"unsure: too few windows are held out to judge {name} noise"
    elif own.value <= _GOOD_AUC:
        text = f"good: a classifier can hardly tell {name} noise from real noise"
    else:
        text = f"not perfect: a classifier tells {name} noise from real noise"
    text += f" (AUC {own.value:.2f}, {own.low:.2f} to {own.high:.2f})"
    for other, auc in others:
        if own.below(auc):
            text += f"; {other} noise is worse ({auc.value:.2f})"
        elif auc.below(own):
            text += f"; {other} noise is better ({auc.value:.2f}): use --kind {other}"
        else:
            text += f"; {other} noise, which is simpler, does as well ({auc.value:.2f})"
    return text


def _read(source: Path, pixel_size_a: float | None, seed: int) -> Split:
    """Windows to learn from and to judge by."""
    if source.is_dir():
        if pixel_size_a is not None:
            raise SettingsError(f"'pixel_size_a': {source} says it itself; leave it out")
        return split_windows(source)
    if pixel_size_a is None:
        raise SettingsError(f"{source}: give the pixel size of these windows with 'pixel_size_a'")
    try:
        array = np.load(source, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: not a folder of nt2c extract-noise or .npy: {error}") from None
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise InputError(f"{source}: shape {array.shape} is not (windows, side, side)")
    windows = torch.from_numpy(array.astype(np.float32))
    order = torch.randperm(len(windows), generator=stream(seed, "judged windows"))
    judged, learnt = order.tensor_split([round(_HELD_OUT * len(windows))])
    return Split(windows[learnt], windows[judged], learnt, judged, pixel_size_a)
