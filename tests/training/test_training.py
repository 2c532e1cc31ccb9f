"""Training: it learns, it resumes as if it had not stopped, and it depends on the seed alone."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nt2c.core import revision
from nt2c.core.errors import SettingsError
from nt2c.imaging.noise_spectrum import CONDITION
from nt2c.io.records import read_records
from nt2c.models.unet import UNet, UNetSettings
from nt2c.training.denoiser import DenoisingTask, train_denoiser
from nt2c.training.loop import CHECKPOINT, LOG, learning_rate, train
from nt2c.training.pairs import PairSource
from nt2c.training.settings import OptimizerSettings, Recipe, RecorruptedSettings

CPU = torch.device("cpu")


class Passes(torch.nn.Module):
    """A network that returns its first image, or nothing."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        return self.gain * image[:, :1]


def tiny_recipe(**optimizer: Any) -> Recipe:
    values = {
        "steps": 6, "warmup_steps": 2, "learning_rate": 2e-3, "ema_decay": 0.5, "bf16": False,
        "log_every": 1, "validate_every": 3, "checkpoint_minutes": 1e-9,
    }  # fmt: skip
    return Recipe.parse(
        {
            "name": "tiny",
            "seed": 5,
            "simulation": {
                "shape": [64, 64],
                "pixel_size_a": 8.0,
                "specimen": {"species": 2, "views": 3, "diameter_a": [100, 150], "empty": 0.0,
                             "coverage": [0.4, 0.5]},
                "imaging": {"contrast_gain": [2.0, 3.0], "carbon": 0.0, "contamination": 0.0},
            },
            "network": {"widths": [4, 6], "blocks": [1, 1]},
            "pairs": {"crop_px": 32, "batch": 2, "pool": 3, "steps_per_fields": 2,
                      "species_life": 1, "validation_fields": 2},
            "optimizer": values | optimizer,
        }
    )  # fmt: skip


def test_same_seed_same_batches_and_a_late_start_sees_the_same() -> None:
    recipe = tiny_recipe()

    def source(seed: int = 5) -> PairSource:
        return PairSource(recipe.simulation, recipe.pairs, seed, CPU)

    walked, jumped, other = source(), source(), source(6)
    for step in range(5):
        last = walked.batch(step)
    again = jumped.batch(4)
    assert torch.equal(last.noisy, again.noisy)
    assert torch.equal(last.clean, again.clean)
    assert not torch.equal(last.noisy, other.batch(4).noisy)


def test_pairs_are_in_units_of_the_noise() -> None:
    recipe = tiny_recipe()
    pairs = PairSource(recipe.simulation, recipe.pairs, 5, CPU).fields(0, 4)
    residual = (pairs.noisy[:, :1] - pairs.clean).std((-3, -2, -1))
    # The level is measured near Nyquist: what ice adds there is missing elsewhere, where what the
    # detector blurs less is added.
    assert ((residual > 0.7) & (residual < 1.6)).all()


def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    whole = train_denoiser(recipe, tmp_path / "whole", device="cpu")

    class KilledError(Exception):
        pass

    def die_at_four(step: int, loss: float) -> None:
        if step == 4:
            raise KilledError

    with pytest.raises(KilledError):
        train_denoiser(recipe, tmp_path / "broken", device="cpu", on_step=die_at_four)
    resumed = train_denoiser(recipe, tmp_path / "broken", device="cpu")
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    logs = [read_records(tmp_path / name / LOG) for name in ("whole", "broken")]
    for a, b in zip(*logs, strict=True):
        assert {k: v for k, v in a.items() if k != "steps_per_s"} == {
            k: v for k, v in b.items() if k != "steps_per_s"
        }


def test_other_settings_do_not_continue_a_run(tmp_path: Path) -> None:
    train_denoiser(tiny_recipe(steps=1), tmp_path, device="cpu")
    assert (tmp_path / CHECKPOINT).exists()
    with pytest.raises(SettingsError, match="other settings"):
        train_denoiser(tiny_recipe(steps=2), tmp_path, device="cpu")


def test_another_state_of_the_code_does_not_continue_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_denoiser(tiny_recipe(steps=1), tmp_path, device="cpu")
    monkeypatch.setitem(revision.REVISIONS, "training", revision.REVISIONS["training"] + 1)
    with pytest.raises(SettingsError, match="begun by another state of nt2c"):
        train_denoiser(tiny_recipe(steps=1), tmp_path, device="cpu")


def test_a_weight_of_real_micrographs_that_are_not_there_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe().replace(recorrupted=RecorruptedSettings(weight=0.1))
    with pytest.raises(SettingsError, match=r"recorrupted\.weight: there are no real micrographs"):
        train_denoiser(recipe, tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=40, validate_every=40)
    model = train_denoiser(recipe, tmp_path, device="cpu")
    task = DenoisingTask(recipe, CPU)

    def loss(network: torch.nn.Module) -> float:
        with torch.no_grad():
            return sum(float(task.loss(network, step)) for step in range(100, 106))

    assert loss(model.network) < 0.85 * loss(Passes(0.0))
    record = read_records(tmp_path / LOG)[-1]
    assert 0.1 < record["validation_correlation2"] <= 1


def test_validation_tells_noise_from_signal() -> None:
    task = DenoisingTask(tiny_recipe(), CPU)
    passed, removed = task.validate(Passes(), 0), task.validate(Passes(0.0), 0)
    assert 0.5 < passed["validation_empty_variance"] < 2  # in units of the noise
    assert removed["validation_empty_variance"] == 0
    assert 0 < passed["validation_correlation2"] < 1


@pytest.mark.parametrize("fast", [True, False])
def test_only_the_network_runs_in_mixed_precision_and_only_where_that_is_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr("nt2c.training.loop.has_fast_bf16", lambda device: fast)
    seen = []

    class Task:
        def loss(self, network: torch.nn.Module, step: int) -> torch.Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            image, condition = torch.ones(1, 2, 32, 32), torch.zeros(1, CONDITION)
            return network(image, condition).square().mean()

        def validate(self, network: torch.nn.Module, step: int) -> dict[str, float]:
            return {}

    network = UNet(UNetSettings(widths=(4, 4), blocks=(1, 1)))
    network.stem.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    train(network, Task(), OptimizerSettings(steps=1, bf16=True), tmp_path, {}, device="cpu")
    assert seen == [False, torch.bfloat16 if fast else torch.float32]


def test_a_training_tells_its_precision_and_goes_on_in_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fast, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr("nt2c.training.loop.has_fast_bf16", lambda device, fast=fast: fast)
        recipe = tiny_recipe(steps=1, bf16=True)
        model = train_denoiser(recipe, tmp_path / precision, device="cpu")
        assert model.metadata["precision"] == precision
    with pytest.raises(SettingsError, match="begun in fp32, and this device computes in bf16"):
        train_denoiser(recipe, tmp_path / "fp32", device="cpu")
    recipe = tiny_recipe(steps=1, bf16=False)
    assert train_denoiser(recipe, tmp_path / "off", device="cpu").metadata["precision"] == "fp32"


class Overflows:
    """A loss that the weights decide, many times as large (by default infinite) at some steps."""

    def __init__(self, at: range, factor: float = torch.inf) -> None:
        self._at = at
        self._factor = factor

    def loss(self, network: Any, step: int) -> torch.Tensor:
        error = network(torch.ones(1, 2, 16, 16), torch.zeros(1, CONDITION)) - 1
        value = error.square().mean()
        return value * self._factor if step in self._at else value

    def validate(self, network: torch.nn.Module, step: int) -> dict[str, float]:
        return {}


def test_a_batch_that_overflows_is_left_out_and_counted(tmp_path: Path) -> None:
    settings = OptimizerSettings(steps=6, warmup_steps=1, bf16=False, log_every=2)
    network = UNet(UNetSettings(widths=(4, 6), blocks=(1, 1)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train(network, Overflows(range(2, 4)), settings, tmp_path, {}, device="cpu")
    after = network.state_dict()
    assert all(bool(tensor.isfinite().all()) for tensor in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
    records = read_records(tmp_path / LOG)
    assert [record.get("skipped", 0) for record in records] == [0, 2, 0]
    assert [record["loss"] is None for record in records] == [False, True, False]


def test_one_step_of_a_great_loss_does_not_hide_the_others_in_the_log(tmp_path: Path) -> None:
    settings = OptimizerSettings(steps=5, warmup_steps=1, bf16=False, log_every=5)
    network = UNet(UNetSettings(widths=(4, 6), blocks=(1, 1)))
    train(network, Overflows(range(2, 3), 1e6), settings, tmp_path, {}, device="cpu")
    (record,) = read_records(tmp_path / LOG)
    assert record["loss"] < 10
    assert record["loss_max"] > 1e4


def test_a_training_that_diverged_is_stopped(tmp_path: Path) -> None:
    settings = OptimizerSettings(steps=100, warmup_steps=1, bf16=False)
    network = UNet(UNetSettings(widths=(4, 6), blocks=(1, 1)))
    with pytest.raises(SettingsError, match=r"learning_rate"):
        train(network, Overflows(range(1, 100)), settings, tmp_path, {}, device="cpu")


def test_learning_rate_rises_then_falls_to_one_percent() -> None:
    settings = OptimizerSettings(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[9] == 1.0
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert math.isclose(rates[-1], 0.01, abs_tol=1e-3)


def test_missing_accelerator_is_said(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator here")
    with pytest.raises(SettingsError, match="'device' cpu"):
        train_denoiser(tiny_recipe(), tmp_path, device="cuda")


def test_crop_must_fit_network_and_field() -> None:
    recipe = tiny_recipe().model_dump()
    for crop, message in ((34, "stride 4"), (128, "larger than simulation.shape")):
        recipe["pairs"]["crop_px"] = crop
        with pytest.raises(SettingsError, match=message):
            Recipe.parse(recipe)


@pytest.mark.parametrize("found_again", [True, False])
def test_a_great_loss_is_computed_again_and_left_out_if_it_is_not_the_batchs(
    tmp_path: Path, found_again: bool
) -> None:
    class Task:
        calls = 0

        def loss(self, network: torch.nn.Module, step: int) -> torch.Tensor:
            wild = step == 15 and (found_again or self.calls == 0)
            self.calls += step == 15
            return network(torch.ones(1, 4)).square().mean() + (1000.0 if wild else 1.0)

        def validate(self, network: torch.nn.Module, step: int) -> dict[str, float]:
            return {}

    settings = OptimizerSettings(steps=20, warmup_steps=1, bf16=False, log_every=10)
    train(torch.nn.Linear(4, 1), Task(), settings, tmp_path, {}, device="cpu")
    first, last = read_records(tmp_path / LOG)
    assert "great_losses" not in first
    step, loss, again = last["great_losses"][0]
    assert (step, len(last["great_losses"])) == (16, 1)
    assert loss >= 1000  # to which the square of a small output adds nothing in float32
    assert (again >= 1000) == found_again
    assert last.get("skipped", 0) == (0 if found_again else 1)
