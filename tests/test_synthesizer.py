"""Noise synthesizer: penalty, draws of any size, exact resume, diagnosis, commands."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nt2c.cli.app import main
from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.imaging.convolution import convolve, transfer_kernel
from nt2c.io.mrc import MrcReader
from nt2c.io.records import read_records
from nt2c.models.critic import Critic
from nt2c.models.synthesizer import Generator, GeneratorSettings, NoiseSynthesizer
from nt2c.noise.resampling import Measure
from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, WhiteNoise
from nt2c.noise.spectra import fit_covariance, power_spectra
from nt2c.training.loop import CHECKPOINT, LOG
from nt2c.training.sampler_files import load_sampler, read_sampler, write_sampler
from nt2c.training.synthesizer import SynthesizerSettings, diagnose, train_synthesizer
from nt2c.training.synthesizer_fidelity import (
    corrected_windows,
    correction_kernel,
    distances,
    make_fields,
)
from nt2c.training.synthesizer_task import SynthesisTask, gradient_penalty
from nt2c.workflows.train_noise import verdict

SIDE = 16


def trained(windows: torch.Tensor, *settings: Any, **options: Any) -> NoiseSynthesizer:
    """Synthesizer of windows of as many micrographs."""
    return train_synthesizer(windows, torch.arange(len(windows)), *settings, **options)


def patchy_windows(count: int = 80, side: int = SIDE) -> torch.Tensor:
    """Correlated noise whose level differs from window to window."""
    generator = stream(0, "windows")
    white = torch.randn(count, side + 2, side + 2, generator=generator)
    level = torch.exp(0.5 * torch.randn(count, 1, 1, generator=generator))
    kernel = torch.tensor([[0.1, 0.2, 0.0], [0.2, 1.0, 0.1], [0.0, 0.1, 0.0]])
    return level * convolve(white, kernel[None])[:, 0]


def standard(count: int = 80) -> torch.Tensor:
    windows = patchy_windows(count)
    return (windows - windows.mean()) / windows.std()


def tiny_settings(**changes: Any) -> SynthesizerSettings:
    optimizer = {
        "steps": 4, "warmup_steps": 1, "ema_decay": 0.5, "log_every": 1, "validate_every": 2,
        "checkpoint_minutes": 1e-9,
    }  # fmt: skip
    values: dict[str, Any] = {
        "generator": {"width": 4, "slow_px": [4.0]}, "critic": [4, 6], "batch": 4,
        "critic_steps": 2, "optimizer": optimizer,
    }  # fmt: skip
    return SynthesizerSettings.parse(values | changes)


@cache
def stirred_generator(lines: int = 1) -> Generator:
    """A generator whose network does something: its last layer is no longer 0."""
    network = Generator(
        GeneratorSettings(width=6, lines=lines),
        fit_covariance(standard(800), torch.arange(800)),
        SIDE,
    )
    random = stream(1, "weights")
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.15 * torch.randn(weight.shape, generator=random))
        network.head.bias[-1] = 0.5  # what is added has a mean
    return network.eval().requires_grad_(False)


@cache
def stirred_sampler(lines: int = 1) -> NoiseSynthesizer:
    network = stirred_generator(lines)
    fields = make_fields(network, SIDE, 200, stream(2, "fields"))
    mean = fields.mean()
    kernel = correction_kernel(fields - mean, power_spectra(standard(800)).mean(0))
    return NoiseSynthesizer(network, mean, kernel, {"seed": 1})


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of a training from few draws: faster, less exact."""
    monkeypatch.setattr("nt2c.training.synthesizer._FIELDS_MEASURED", 8)
    monkeypatch.setattr("nt2c.training.synthesizer_task._FIELDS_JUDGED", 8)
    monkeypatch.setattr("nt2c.noise.two_sample._STEPS", 4)


class Linear(nn.Module):
    """Critic with gradient `weight` everywhere."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weight).sum((1, 2, 3))


def test_penalty_of_a_linear_critic_is_that_of_the_norm_of_its_weights() -> None:
    random = stream(3, "penalty")
    real, made, share = torch.randn(5, 1, 8, 8), torch.randn(5, 1, 8, 8), torch.rand(5)
    weight = torch.randn(1, 1, 8, 8, generator=random)
    penalty = gradient_penalty(Linear(weight), real, made, share)
    assert penalty.item() == pytest.approx((weight.norm().item() - 1) ** 2, rel=1e-5)
    penalty.backward()  # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|: it trains the critic


def test_penalty_is_taken_sample_by_sample_between_real_and_made() -> None:
    class Square(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.5 * x.square().sum((1, 2, 3))  # its gradient is x itself

    random = stream(4, "penalty")
    real, made = torch.randn(2, 6, 1, 8, 8, generator=random)
    share = torch.rand(6, generator=random)
    expected = sum(
        ((a * (1 - t) + b * t).norm() - 1).square()
        for a, b, t in zip(real, made, share, strict=True)
    )
    penalty = gradient_penalty(Square(), real, made, share)
    assert penalty.item() == pytest.approx(float(expected) / 6, rel=1e-5)


def test_penalty_agrees_with_differences_of_a_real_critic() -> None:
    torch.manual_seed(0)
    critic = Critic((3, 4)).double()
    critic.calibrate(torch.randn(50, 1, 8, 8, dtype=torch.float64))
    real, made = torch.randn(2, 2, 1, 8, 8)
    share = torch.tensor([0.3, 0.8])
    point = torch.lerp(real, made, share[:, None, None, None]).double()
    slope = torch.zeros(2, 64, dtype=torch.float64)
    for pixel in range(64):
        step = torch.zeros(64, dtype=torch.float64)
        step[pixel] = 1e-5
        step = step.reshape(1, 1, 8, 8)
        with torch.no_grad():
            slope[:, pixel] = (critic(point + step) - critic(point - step)) / 2e-5
    expected = (slope.norm(dim=1) - 1).square().mean()
    penalty = gradient_penalty(critic.float(), real, made, share)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-3)


def test_no_window_influences_anothers_score() -> None:
    critic = Critic((4, 6))
    critic.calibrate(torch.randn(20, 1, 16, 16))
    windows = torch.randn(6, 1, 16, 16)
    assert torch.allclose(critic(windows)[:2], critic(windows[:2]), atol=1e-5)


def test_convolution_is_that_of_the_definition() -> None:
    image, kernel = torch.randn(2, 12, 11), torch.randn(3, 5, 5)
    expected = nn.functional.conv2d(image[:, None], kernel.flip(1, 2)[:, None])
    assert torch.allclose(convolve(image, kernel), expected, atol=1e-4)
    real = transfer_kernel(torch.fft.rfft2(kernel[0] + kernel[0].flip(0, 1), s=(16, 16)).abs(), 15)
    assert real.shape == (15, 15)
    assert torch.allclose(real, real.flip(0, 1), atol=1e-6)


def test_untrained_it_is_the_gaussian_field_with_the_covariance_of_the_windows() -> None:
    windows = standard(400)
    network = Generator(
        GeneratorSettings(), fit_covariance(windows, torch.arange(len(windows))), SIDE
    ).requires_grad_(False)
    made = network(network.draw(60, (3 * SIDE, 3 * SIDE), stream(5, "start")))[:, 0]
    found = power_spectra(made.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).reshape(-1, SIDE, SIDE))
    wanted = power_spectra(windows)
    assert float(made.var()) == pytest.approx(1, abs=0.05)
    ratio = found.mean(0) / wanted.mean(0)
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert ratio.std() < 0.3


def test_correction_gives_the_network_the_spectrum_and_unit_variance() -> None:
    network, wanted = stirred_generator(), power_spectra(standard(800)).mean(0)
    fields = make_fields(network, SIDE, 400, stream(6, "fit"))
    kernel = correction_kernel(fields, wanted)
    before = corrected_windows(fields, torch.ones(1, 1), SIDE)
    made = corrected_windows(make_fields(network, SIDE, 400, stream(6, "new")), kernel, SIDE)
    error = [
        float(torch.log(power_spectra(x).mean(0) / wanted).square().mean()) for x in (before, made)
    ]
    assert error[1] < 0.2 * error[0]
    # Whole draws differ in level: the variance of 400 of them is known to 5 % only.
    assert float(made.var()) == pytest.approx(1, abs=0.2)


def test_mean_0_and_variance_1() -> None:
    noise = stirred_sampler().sample((150, 24, 20), stream(7, "moments"))
    for moment in (noise.mean((1, 2)), noise.square().mean((1, 2)) - 1):
        assert abs(moment.mean()) < 4 * moment.std() / math.sqrt(150)
    assert float(noise.var()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 40), (1, 65, 33)])
def test_any_size(shape: tuple[int, int, int]) -> None:
    noise = stirred_sampler().sample(shape, stream(8, "size"))
    assert noise.shape == shape
    assert noise.dtype == torch.float32
    assert torch.isfinite(noise).all()


def test_a_part_of_the_maps_gives_that_part_of_the_noise() -> None:
    """Nothing is padded and no pixel is special."""
    network = stirred_generator()
    maps = network.draw(1, (24, 24), stream(9, "maps"))
    whole = network(maps)
    assert torch.allclose(network(maps[:, :, 5:, 3:-4]), whole[:, :, 5:, 3:-4], atol=1e-5)


def test_no_checkerboard() -> None:
    """Variance is the same at every place of a 2 x 2 and of a 4 x 4 grid, and the power at the
    frequencies of these grids is that of their surroundings.
    """
    noise = stirred_sampler(lines=0).sample((60, 64, 64), stream(10, "checkerboard"))
    noise = noise / noise.std((1, 2), keepdim=True)  # whole draws differ in level
    for period in (2, 4):
        cells = noise.square().reshape(60, 64 // period, period, 64 // period, period)
        means = cells.mean((1, 3))
        spread = means.std(0).mean() / math.sqrt(60)
        assert (means.mean(0) - means.mean()).abs().max() < 6 * spread
    power = power_spectra(noise).mean(0)
    for y, x in ((32, 32), (32, 0), (0, 32), (16, 16), (32, 16)):
        around = power[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
        assert power[y, x] < 2 * around.median()


def test_same_seed_same_noise() -> None:
    sampler = stirred_sampler()
    first, again = (sampler.sample((1, 20, 20), stream(11, "same")) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, sampler.sample((1, 20, 20), stream(12, "same")))


def test_windows_cut_from_one_field_are_like_draws_of_their_own() -> None:
    network = stirred_generator()
    maps = network.draw_windows(330, SIDE, stream(13, "cut"))
    assert maps.shape == (330, network.inputs, SIDE + 4, SIDE + 4)
    whole = maps[:, -network.settings.whole :]
    assert torch.equal(whole, whole[:, :, :1, :1].expand_as(whole))
    assert whole[:, 0, 0, 0].unique().numel() == 330
    own = torch.cat([network.draw(1, (SIDE, SIDE), stream(14, "own", i)) for i in range(200)])
    assert torch.allclose(maps.std((0, 2, 3)), own.std((0, 2, 3)), rtol=0.35)


def killed_at(last: int) -> Any:
    class KilledError(Exception):
        pass

    def die(step: int, loss: float) -> None:
        if step == last:
            raise KilledError

    return KilledError, die


@pytest.mark.usefixtures("few_draws")
def test_resumed_training_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    windows, settings = patchy_windows(), tiny_settings()
    whole = trained(windows, settings, tmp_path / "whole", seed=3, device="cpu")
    error, die = killed_at(4)  # after the checkpoint of step 3, past a validation
    with pytest.raises(error):
        trained(windows, settings, tmp_path / "broken", seed=3, device="cpu", on_step=die)
    assert (tmp_path / "broken" / CHECKPOINT).exists()
    resumed = trained(windows, settings, tmp_path / "broken", seed=3, device="cpu")
    for name, value in whole.to_tensors()[0].items():
        assert torch.equal(value, resumed.to_tensors()[0][name]), name
    assert whole.metadata == resumed.metadata
    logs = [read_records(tmp_path / name / LOG) for name in ("whole", "broken")]
    for a, b in zip(*logs, strict=True):
        assert {**a, "steps_per_s": 0} == {**b, "steps_per_s": 0}


@pytest.mark.usefixtures("few_draws")
def test_the_best_generator_so_far_outlives_a_kill() -> None:
    def task() -> SynthesisTask:
        return SynthesisTask(stirred_generator(), standard(), standard(20), tiny_settings(), 0)

    before, after = task(), task()
    before.validate(stirred_generator(), 7)
    after.restore(before.state())
    assert before.best is not None
    assert after.best is not None
    assert after.best.step == 7
    assert after.best.figures == before.best.figures
    for name, weight in before.best.weights.items():
        assert torch.equal(after.best.weights[name], weight)


@pytest.mark.usefixtures("few_draws")
def test_critic_and_generator_learn(tmp_path: Path) -> None:
    network = trained(patchy_windows(), tiny_settings(), tmp_path, device="cpu")
    records = read_records(tmp_path / LOG)
    assert {"score", "diversity", "critic_distance", "gradient_penalty"} <= records[-1].keys()
    assert network.metadata["figures_gaussian"]["score"] >= network.metadata["figures"]["score"]


def test_settings_given_in_part_keep_the_other_defaults() -> None:
    settings = SynthesizerSettings.parse({"optimizer": {"steps": 7}})
    expected = SynthesizerSettings().optimizer.replace(steps=7)
    assert settings.optimizer == expected
    assert settings.optimizer.betas == (0.5, 0.999)


@pytest.mark.usefixtures("few_draws")
def test_few_windows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"20 windows are too few .* 32 .* extract more"):
        trained(patchy_windows(20), tiny_settings(), tmp_path, device="cpu")


@pytest.mark.usefixtures("few_draws")
def test_divergence_is_said(tmp_path: Path) -> None:
    settings = tiny_settings()
    optimizer = settings.optimizer.replace(learning_rate=1e8, steps=20)
    wild = settings.replace(optimizer=optimizer)
    with pytest.raises(InputError, match="critic diverged at step"):
        trained(patchy_windows(), wild, tmp_path, device="cpu")


def test_collapse_is_said() -> None:
    windows = patchy_windows(200)
    same = windows[:1].expand(200, -1, -1) + 0.05 * windows
    figures = distances(windows, same, stream(15, "distances"))
    assert figures["diversity"] < 0.5
    assert "vary less" in diagnose(100, figures)[0]
    honest = distances(windows[:100], windows[100:], stream(15, "distances"))
    assert honest["score"] < 0.3 * figures["score"]
    assert diagnose(100, honest) == []
    assert "no network did better" in diagnose(0, honest)[0]


def test_every_kind_has_a_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    for sampler in (
        WhiteNoise(),
        ColouredNoise.fit(patchy_windows(), torch.arange(80)),
        stirred_sampler(),
    ):
        write_sampler(path, sampler, 4.0)
        again = load_sampler(path, 4.0)
        assert again.kind == sampler.kind
        drawn = again.sample((2, 30, 20), stream(16, "file"))
        assert torch.equal(drawn, sampler.sample((2, 30, 20), stream(16, "file")))


def test_other_files_are_no_samplers(tmp_path: Path) -> None:
    from nt2c.io.weights import write_weights

    path = tmp_path / "model.safetensors"
    write_weights(path, {"x": torch.zeros(1)}, {"kind": "denoiser"})
    with pytest.raises(InputError, match=r"model.safetensors: holds 'denoiser', not a noise"):
        load_sampler(path, 4.0)
    write_weights(path, {"x": torch.zeros(1)}, {"kind": "coloured", "pixel_size_a": 4.0})
    with pytest.raises(InputError, match=r"model.safetensors: the coloured sampler lacks"):
        load_sampler(path, 4.0)
    tensors, metadata = stirred_sampler().to_tensors()
    write_weights(path, tensors, {**metadata, "format": 99, "pixel_size_a": 4.0})
    with pytest.raises(InputError, match="format 99"):
        load_sampler(path, 4.0)


def test_a_sampler_file_knows_its_pixel_size(tmp_path: Path) -> None:
    from nt2c.io.weights import write_weights

    path = tmp_path / "noise.safetensors"
    write_sampler(path, WhiteNoise(), 3.0)
    assert read_sampler(path)[1] == 3.0
    with pytest.raises(InputError, match="draws noise of 3 A per pixel, and 4 A are needed"):
        load_sampler(path, 4.0)
    for wrong in ({}, {"pixel_size_a": 0.0}, {"pixel_size_a": "4"}):
        write_weights(path, *({}, {"kind": "white", **wrong}))
        with pytest.raises(InputError, match="pixel_size_a is"):
            read_sampler(path)


@pytest.mark.parametrize("kind", ["coloured", "bootstrap", "wgan"])
def test_a_sampler_file_with_a_tensor_of_another_shape_or_type_is_refused(
    tmp_path: Path, kind: str
) -> None:
    from nt2c.io.weights import write_weights

    path = tmp_path / "noise.safetensors"
    fits = {"coloured": ColouredNoise.fit, "bootstrap": BootstrapNoise.fit}
    sampler = fits[kind](patchy_windows(), torch.arange(80)) if kind in fits else stirred_sampler()
    tensors, metadata = sampler.to_tensors()
    for name, tensor in tensors.items():
        for wrong in (torch.zeros(0), torch.zeros(3, 5, 7), tensor.flatten()[:2], tensor.long()):
            write_weights(path, {**tensors, name: wrong}, metadata | {"pixel_size_a": 4.0})
            with pytest.raises(InputError, match=r"noise\.safetensors"):
                load_sampler(path, 4.0)
    for odd in (["wgan"], None, 3):
        write_weights(path, tensors, {**metadata, "kind": odd})
        with pytest.raises(InputError, match=r"noise\.safetensors: holds"):
            load_sampler(path, 4.0)


def test_verdict() -> None:
    def auc(value: float, half: float = 0.04) -> Measure:
        return Measure(value, value - half, value + half, 0.45, 0.55)

    assert verdict({"wgan": auc(0.55), "coloured": auc(0.9)}).startswith("good: ")
    assert "coloured noise is worse (0.90)" in verdict({"wgan": auc(0.55), "coloured": auc(0.9)})
    assert verdict({"wgan": auc(0.8)}).startswith("not perfect: ")
    assert "use --kind coloured" in verdict({"wgan": auc(0.8), "coloured": auc(0.7)})
    assert "does as well (0.78)" in verdict({"wgan": auc(0.8), "coloured": auc(0.78)})
    assert verdict({"wgan": auc(0.8, 0.2)}).startswith("unsure: too few")


@pytest.mark.usefixtures("few_draws")
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows, model = tmp_path / "windows.npy", tmp_path / "noise.safetensors"
    np.save(windows, patchy_windows(60).numpy())
    train = ["train-noise", str(windows), "-o", str(model), "--steps", "1", "--device", "cpu"]
    assert main([*train, "--pixel-size", "4"]) == 0
    said = capsys.readouterr().out
    assert "diversity" in said
    assert "AUC" in said
    assert (tmp_path / "noise.training" / "fidelity.json").exists()
    assert load_sampler(model, 4.0).kind == "wgan"
    for name in ("one.mrc", "two.npy", "three.mrcs"):
        count = "1" if name.endswith(".mrc") else "2"
        draw = ["sample-noise", str(model), "-o", str(tmp_path / name), "--shape", "24", "20"]
        assert main([*draw, "--count", count]) == 0
    stack = np.load(tmp_path / "two.npy")
    assert stack.shape == (2, 24, 20)
    reader = MrcReader(tmp_path / "one.mrc")
    assert np.array_equal(reader.read(0), stack[0])
    reader.close()
    capsys.readouterr()
    for wrong, remedy in (
        (train, "--pixel-size"),
        ([*train, "--pixel-size", "4", "--kind", "white"], "--steps"),
        (["sample-noise", str(model), "-o", "x.mrc", "--shape", "8", "8", "--count", "2"], ".mrcs"),
    ):
        assert main(wrong) == 2
        assert remedy in capsys.readouterr().err
