"""A fit within a wall time: steps follow from the measured pace, and are decided once."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from nt2c.cli import app
from nt2c.core.options import Seconds
from nt2c.denoising.denoiser import load_model
from nt2c.models.unet import UNet
from nt2c.pipeline.budget import LEAST_STEPS, decided_steps, lasting, steps_within
from nt2c.training.denoiser import Material, Pace, measure_pace
from nt2c.training.pairs import PairSource
from nt2c.training.settings import OptimizerSettings

from .training.test_training import CPU, tiny_recipe

_RECIPE = """
name = "tiny"
[simulation]
shape = [64, 64]
pixel_size_a = 8.0
specimen = {species = 2, views = 3, diameter_a = [100, 150], coverage = [0.4, 0.5]}
imaging = {carbon = 0.0, contamination = 0.0}
[network]
widths = [4, 6]
blocks = [1, 1]
[pairs]
crop_px = 32
batch = 2
pool = 3
validation_fields = 2
[optimizer]
steps = 2
"""


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("0.5m", 30)]
)
def test_times_are_read(text, seconds):
    assert TypeAdapter(Seconds).validate_python(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "", "-1m", "0s", "nanm", "infh", "10 min"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValidationError, match="give a time such as"):
        TypeAdapter(Seconds).validate_python(text)


def test_steps_and_what_follows_fill_the_time():
    pace = Pace(step_s=0.5, field_s=2.0, pixel_s=1e-6)
    work = {"fields": 10, "judged_px": 9_000_000, "validated_px": 4_000_000}
    steps = steps_within(600, pace, **work, validate_every=100)
    validations = steps // 100 + 1  # one at the end
    spent = steps * 0.5 + validations * 4 + 10 * 2 + 9
    assert spent == pytest.approx(600, abs=0.5 + 4)  # a step, and a part of a validation
    assert steps_within(1, pace, **work, validate_every=100) == LEAST_STEPS


def test_a_shorter_schedule_has_the_same_shape():
    usual = OptimizerSettings(steps=1000, warmup_steps=100, ema_decay=0.99)
    short = usual.scaled_to(200)
    assert (short.steps, short.warmup_steps) == (200, 20)
    # The average reaches back over a tenth of the steps, as before.
    assert 1 / (1 - short.ema_decay) == pytest.approx(20)
    assert usual.scaled_to(5).ema_decay == 0
    assert usual.scaled_to(1000) == usual


def test_steps_are_decided_once(tmp_path):
    assert decided_steps(tmp_path, lambda: 70) == 70
    assert decided_steps(tmp_path, lambda: 71) == 70


def test_the_pace_leaves_no_trace():
    recipe = tiny_recipe()

    def source():
        return PairSource(recipe.simulation, recipe.pairs, 5, CPU)

    timed, fresh = source(), source()
    pace = measure_pace(recipe, Material(timed), device="cpu")
    assert pace.step_s > 0
    assert pace.field_s >= 0
    assert pace.pixel_s > 0
    for step in (0, 1):
        assert torch.equal(timed.batch(step).noisy, fresh.batch(step).noisy)


class _Clock:
    """Stands still but when told that something took time."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def slowed(self, work, seconds):
        """The same function, which now takes time."""

        def slow(*given, **named):
            self.now_s += seconds
            return work(*given, **named)

        return slow


def test_the_pace_counts_all_that_a_step_does(monkeypatch):
    """Pairs, network and loss, gradients, optimizer and average: each takes its own time here."""
    recipe, clock = tiny_recipe(), _Clock()
    source = PairSource(recipe.simulation, recipe.pairs, 5, CPU)
    optimizer, average = torch.optim.AdamW, torch.optim.swa_utils.AveragedModel
    for owner, name, seconds in (
        (source, "batch", 1.0),
        (UNet, "forward", 2.0),
        (torch.Tensor, "backward", 4.0),
        (torch.nn.utils, "clip_grad_norm_", 8.0),
        (optimizer, "step", 16.0),
        (average, "update_parameters", 32.0),
    ):
        monkeypatch.setattr(owner, name, clock.slowed(getattr(owner, name), seconds))
    pace = measure_pace(recipe, Material(source), device="cpu", clock=clock)
    assert pace.step_s == 63
    assert pace.field_s == 0  # the fields take no time here
    assert pace.pixel_s == 2 / (recipe.pairs.batch * recipe.pairs.crop_px**2)


def test_a_training_has_the_steps_that_its_time_holds_and_keeps_them(tmp_path):
    """More time, more steps; a training that goes on has those that it began with."""
    recipe = tiny_recipe()

    def steps(seconds: float, folder: str) -> int:
        made = lasting(recipe, seconds, tmp_path / folder, device="cpu", start=None)
        return made.optimizer.steps

    few, many = steps(20.0, "few"), steps(400.0, "many")
    assert LEAST_STEPS <= few < many
    assert steps(400.0, "few") == few


def test_train_starts_from_a_model_within_a_time(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(_RECIPE)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert app.main(["train", str(recipe), "-o", str(first), "--device", "cpu"]) == 0
    words = ["train", str(recipe), "-o", str(second), "--device", "cpu"]
    assert app.main([*words, "--start", str(first), "--time", "0.1s"]) == 0
    assert load_model(second).metadata["recipe"]["optimizer"]["steps"] == LEAST_STEPS
    assert "start" in load_model(second).metadata["given"]
