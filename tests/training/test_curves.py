"""Stored curves: twenty steps of each training, so that a change of numbers is seen.

If one of these fails, and should: raise the revision of its part in `core.revision`, and write the
new figures here. They differ between processors by less than the tolerance.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.core.revision import REVISIONS
from nt2c.noise.samplers import ColouredNoise
from nt2c.training import synthesizer, synthesizer_task
from nt2c.training.denoiser import Material, train_denoiser
from nt2c.training.recorrupted import NoisyMicrograph, RealCrops
from nt2c.training.settings import RecorruptedSettings
from nt2c.training.synthesizer import SynthesizerSettings, train_synthesizer

from .test_training import CPU, tiny_recipe

STEPS = {"steps": 20, "warmup_steps": 3, "validate_every": 20, "checkpoint_minutes": 10.0}
KEPT = slice(None, None, 4)


def noise_windows() -> tuple[Tensor, Tensor]:
    """Forty windows of ten micrographs, with a level that varies."""
    random = stream(7, "curve windows")
    white = torch.randn(40, 17, 17, generator=random)
    level = 0.5 + torch.rand(40, 1, 1, generator=random)
    return level * (white[:, 1:, 1:] + white[:, :-1, :-1]), torch.arange(10).repeat_interleave(4)


class Losses:
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def __call__(self, step: int, loss: float) -> None:
        self.values.append(loss)


def test_curve_of_the_denoiser(tmp_path: Path) -> None:
    losses = Losses()
    train_denoiser(tiny_recipe(**STEPS), tmp_path, device="cpu", on_step=losses)
    assert REVISIONS["training"] == 4
    assert losses.values[KEPT] == pytest.approx(
        [0.98596, 0.89578, 0.55674, 0.52007, 0.67903], rel=2e-3
    )


def test_curve_of_the_denoiser_on_micrographs_too(tmp_path: Path) -> None:
    recorrupted = RecorruptedSettings(weight=0.5, batch=2)
    recipe = tiny_recipe(**STEPS).replace(recorrupted=recorrupted)
    windows, groups = noise_windows()
    images = [torch.randn(n, 48, generator=stream(3, "real", n)) for n in (40, 64)]
    noise = ColouredNoise.fit(windows, groups)
    own = [NoisyMicrograph(image, noise, sd) for image, sd in zip(images, (1.0, 0.8), strict=True)]
    real = RealCrops(own, 32, recorrupted, 5, CPU)
    losses = Losses()
    train_denoiser(recipe, tmp_path, Material(real=real), device="cpu", on_step=losses)
    assert REVISIONS["training"] == 4
    assert losses.values[KEPT] == pytest.approx(
        [1.53177, 2.30845, 1.68486, -0.26853, -0.35572], rel=2e-3, abs=1e-3
    )


def test_curve_of_the_noise_synthesizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesizer, "_FIELDS_MEASURED", 8)
    monkeypatch.setattr(synthesizer_task, "_FIELDS_JUDGED", 8)
    settings = SynthesizerSettings.parse(
        {"generator": {"width": 4, "slow_px": [4.0]}, "critic": [4, 6], "batch": 4,
         "critic_steps": 2, "crop_px": 12, "optimizer": {**STEPS, "ema_decay": 0.5}}
    )  # fmt: skip
    losses = Losses()
    made = train_synthesizer(
        *noise_windows(), settings, tmp_path, seed=3, device="cpu", on_step=losses
    )
    assert REVISIONS["noise"] == 3
    assert losses.values[KEPT] == pytest.approx(
        [-0.26261, -0.18842, -0.24686, -1.26287, -0.99913], rel=1e-2, abs=1e-3
    )
    drawn = made.sample((4, 32, 32), stream(8, "curve draws"))
    assert [float(drawn.std()), float(drawn[0, 0, 0])] == pytest.approx(
        [1.17059, 0.11715], rel=1e-2
    )
