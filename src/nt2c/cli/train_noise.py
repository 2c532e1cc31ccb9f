"""`nt2c train-noise`: a sampler of noise from windows, judged on windows that it has not seen."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.devices import check_training_device
from nt2c.cli.terminal import say, warn
from nt2c.core.errors import InputError, SettingsError

if TYPE_CHECKING:
    from nt2c.noise.resampling import Measure
    from nt2c.noise.samplers import NoiseSampler
    from nt2c.noise.statistics import Fidelity
    from nt2c.pipeline.learning import Split

_HELD_OUT = 0.2
_GOOD_AUC = 0.6
_UNSURE = 0.3  # length of an interval
_ROWS = {
    "radial_error": "largest error of a ring's power",
    "spectrum_error": "error of the 2-D spectrum",
    "autocorrelation_error": "error of the autocorrelation",
    "ks_distance": "grey values, Kolmogorov-Smirnov",
    "excess_kurtosis": "excess kurtosis, difference",
    "local_variance_spread": "spread of local variance, ratio",
    "sliced_wasserstein": "patches, sliced Wasserstein",
    "diversity": "diversity, ratio",
    "classifier_auc": "classifier, AUC (0.5: cannot tell)",
}


class Kind(StrEnum):
    """Samplers of noise."""

    WGAN = "wgan"
    COLOURED = "coloured"
    BOOTSTRAP = "bootstrap"
    WHITE = "white"


def train_noise(
    windows: Annotated[
        Path, typer.Argument(help="Folder written by nt2c extract-noise, or windows in a .npy.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Sampler file to write.")],
    kind: Annotated[Kind, typer.Option(help="Sampler to fit or train.")] = Kind.WGAN,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the wgan's generator.", show_default="as the settings"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same sampler.")] = 0,
    pixel_size: Annotated[
        float | None, typer.Option(help="Angstrom; needed with a .npy file.")
    ] = None,
) -> None:
    """Learn the noise of micrographs from particle-free windows.

    A fifth of the windows is held out to judge it, beside a coloured Gaussian field. The wgan keeps
    its checkpoint and log in a folder beside the file; run the same command again to continue an
    interrupted training; started by torchrun, several processes train it together.
    """
    from nt2c.io.records import write_json
    from nt2c.noise.samplers import ColouredNoise
    from nt2c.pipeline.learning import judge_sampler
    from nt2c.training.processes import join
    from nt2c.training.sampler_files import write_sampler

    check_training_device(device)
    if steps is not None and kind is not Kind.WGAN:
        raise SettingsError(f"--steps: the {kind} sampler is fitted, not trained; leave it out")
    if output.is_dir():
        raise SettingsError(f"{output}: a folder; give the name of a sampler file with --output")
    split = _read(windows, pixel_size, seed)
    folder = output.with_suffix(".training")
    sampler = _fit(kind, split, steps, folder, device=device, seed=seed)
    if not join(device).first:
        return
    write_sampler(output, sampler, split.pixel_size_a)
    judged = {str(kind): judge_sampler(sampler, split, seed=seed, device=device)}
    if kind is not Kind.COLOURED:
        judged["coloured"] = judge_sampler(
            ColouredNoise.fit(split.learn, split.learn_groups), split, seed=seed, device=device
        )
    write_json(
        folder / "fidelity.json",
        {"learned_from": len(split.learn)} | {k: v.to_record() for k, v in judged.items()},
    )
    _print_table(judged)
    for warning in getattr(sampler, "metadata", {}).get("warnings", []):
        warn(f"warning: {warning}", "yellow")
    aucs = {name: fidelity.classifier_auc for name, fidelity in judged.items()}
    say(verdict({name: auc for name, auc in aucs.items() if auc}))
    say(f"sampler: {output}\nfigures: {folder / 'fidelity.json'}")


def verdict(aucs: dict[str, "Measure"]) -> str:
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


def _read(source: Path, pixel_size_a: float | None, seed: int) -> "Split":
    """Windows to learn from and to judge by."""
    import numpy as np
    import torch

    from nt2c.core.random import stream
    from nt2c.pipeline.learning import Split, split_windows

    if source.is_dir():
        if pixel_size_a is not None:
            raise SettingsError(f"--pixel-size: {source} says it itself; leave it out")
        return split_windows(source)
    if pixel_size_a is None:
        raise SettingsError(f"{source}: give the pixel size of these windows with --pixel-size")
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


def _fit(
    kind: Kind, split: "Split", steps: int | None, folder: Path, *, device: str, seed: int
) -> "NoiseSampler":
    from nt2c.cli.progress import progress_bar
    from nt2c.pipeline.learning import fit_sampler
    from nt2c.training.processes import join
    from nt2c.training.synthesizer import SynthesizerSettings

    settings = SynthesizerSettings()
    if steps is not None:
        settings = settings.replace(optimizer=settings.optimizer.replace(steps=steps))
    quiet = kind is not Kind.WGAN or not join(device).first
    with progress_bar(disable=quiet) as progress:
        bar = progress.add_task("training", total=settings.optimizer.steps)
        return fit_sampler(
            kind.value,
            split,
            settings,
            folder,
            seed=seed,
            device=device,
            on_step=lambda step, loss: progress.update(bar, completed=step),
        )


def _print_table(judged: dict[str, "Fidelity"]) -> None:
    from rich.console import Console
    from rich.table import Table

    def cell(measure: Any) -> str:
        return f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f})"

    table = Table("against held-out windows (95 % interval)", *judged, "same noise, by chance")
    for name, words in _ROWS.items():
        measures = [fidelity.measures()[name] for fidelity in judged.values()]
        chance = f"{measures[0].same_low:.3f} to {measures[0].same_high:.3f}"
        table.add_row(words, *map(cell, measures), chance)
    Console().print(table)
