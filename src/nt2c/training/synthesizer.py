"""Training of the noise synthesizer: WGAN-GP on windows of noise, judged on windows held out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nt2c.core.device import choose_device
from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.models.synthesizer import Generator, NoiseSynthesizer
from nt2c.noise.samplers import standardised
from nt2c.noise.spectra import fit_covariance
from nt2c.training.loop import train
from nt2c.training.processes import join
from nt2c.training.synthesizer_fidelity import correction_kernel, make_fields
from nt2c.training.synthesizer_task import SynthesisTask, SynthesizerSettings, initial_seed

__all__ = ["SynthesizerSettings", "train_synthesizer"]

_FIELDS_MEASURED = 512
_DIVERSITY = (0.67, 1.5)


def train_synthesizer(
    windows: Float[Tensor, "n s s"],
    groups: Shaped[Tensor, " n"],
    settings: SynthesizerSettings,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    on_step: Callable[[int, float], None] | None = None,
) -> NoiseSynthesizer:
    """Train a noise synthesizer; state is kept in `folder`, from where it resumes.

    Processes started together by a launcher such as torchrun share the batches.

    Parameters
    ----------
    windows : Tensor
        Squares of noise (n, s, s), any mean and gain, which are taken off.
    groups : Tensor
        Number of each window's micrograph (n,).
    settings : SynthesizerSettings
        What it is and how it is trained.
    folder : Path
        Receives the checkpoint and the log.
    seed : int
        Of the split, the weights and all draws.
    device : str
        "auto", "cpu" or "cuda".
    on_step : callable, optional
        Receives (steps done, loss).

    Returns
    -------
    NoiseSynthesizer
        Its metadata tell which step was chosen, the distances to the windows held out beside
        those of the Gaussian field it started as, and warnings.

    Raises
    ------
    InputError
        The windows are too few or not noise, or the critic diverged.
    SettingsError
        The folder holds another run, the device is not there, or the batch cannot be shared by
        the processes.
    """
    if len(windows) < settings.least_windows:
        raise InputError(
            f"noise synthesizer: {len(windows)} windows are too few to learn from, at least "
            f"{settings.least_windows} are needed; extract more or smaller ones, or use the "
            "coloured or bootstrap sampler"
        )
    team = join(device)
    team.check_batch("synthesizer.batch", settings.batch)
    where = choose_device(device)
    windows = standardised(windows).to(where)
    order = torch.randperm(len(windows), generator=stream(seed, "held out"))
    judge, learn = order.tensor_split([round(settings.held_out * len(windows))])
    covariance = fit_covariance(windows[learn], groups[learn])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(initial_seed(seed, "generator weights"))
        network = Generator(settings.generator, covariance, windows.shape[-1]).to(where)
    task = SynthesisTask(network, windows[learn], windows[judge], settings, seed, team)
    gaussian = task.validate(network, 0)
    network.stir(settings.stir)
    fingerprint: dict[str, Any] = {"seed": seed, **settings.model_dump(mode="json")}
    train(
        network, task, settings.optimizer, folder, fingerprint,
        code="noise", device=device, on_step=on_step,
    )  # fmt: skip
    return _finish(task, network, seed, gaussian)


def _finish(
    task: SynthesisTask, network: Generator, seed: int, gaussian: Mapping[str, float]
) -> NoiseSynthesizer:
    """Take the best generator, fit the last correction and write down how it went."""
    best = task.best
    assert best is not None
    network.load_state_dict(best.weights)
    network.eval().requires_grad_(False)
    size = task.power.shape[-2]
    random = stream(seed, "synthesizer correction", 0, task.power.device)
    fields = make_fields(network, size, _FIELDS_MEASURED, random)
    mean = fields.mean()
    kernel = correction_kernel(fields - mean, task.power)
    metadata = {
        "seed": seed,
        "window_px": size,
        "step": best.step,
        "figures": best.figures,
        "figures_gaussian": {k: v for k, v in gaussian.items() if k in best.figures},
        "warnings": diagnose(best.step, best.figures),
    }
    return NoiseSynthesizer(network.cpu(), mean.cpu(), kernel.cpu(), metadata)


def diagnose(step: int, figures: Mapping[str, float]) -> list[str]:
    """What is wrong with a trained synthesizer, in words; nothing if all is well."""
    warnings = []
    if step == 0:
        warnings.append(
            "no network did better on the windows held out than the coloured Gaussian field that "
            "it starts as, which is what this sampler draws; the noise may be just that, or the "
            "windows too few"
        )
    low, high = _DIVERSITY
    if not low <= figures["diversity"] <= high:
        kind = "less" if figures["diversity"] < low else "more"
        warnings.append(
            f"the draws vary {kind} from one to the next than real windows do (variance ratio "
            f"{figures['diversity']:.2f}); extract more windows or use the bootstrap sampler"
        )
    return warnings
