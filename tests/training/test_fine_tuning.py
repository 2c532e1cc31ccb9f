"""Training on real micrographs and from given weights: unbiased, honoured, repeatable."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.io.records import read_records
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings
from nt2c.noise.samplers import WhiteNoise
from nt2c.training.denoiser import (
    DenoisingTask,
    Material,
    correlation_weight,
    left_in_windows,
    squared_error,
    train_denoiser,
)
from nt2c.training.digest import digest
from nt2c.training.loop import LOG
from nt2c.training.recorrupted import (
    NoisyMicrograph,
    RealCrops,
    excess_kurtosis,
    is_gaussian,
    recorrupt,
)
from nt2c.training.settings import Recipe, RecorruptedSettings

from .test_training import CPU, Passes, tiny_recipe


def with_real(weight: float = 0.5, **optimizer: Any) -> Recipe:
    recipe = tiny_recipe(**optimizer)
    return recipe.replace(recorrupted=RecorruptedSettings(weight=weight, batch=2))


def micrographs() -> list[Tensor]:
    return [torch.randn(n, 48, generator=stream(3, "real", n)) for n in (40, 64)]


def start(settings: UNetSettings | None = None, seed: int = 1) -> DenoiserModel:
    network = UNet(settings or tiny_recipe().network)
    generator = stream(seed, "start")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return DenoiserModel(network, 8.0, {"name": "start"})


def real_crops(
    recorrupted: RecorruptedSettings, images: list[Tensor] | None = None, gain: float = 1.0
) -> RealCrops:
    own = [NoisyMicrograph(image, WhiteNoise(), gain) for image in images or micrographs()]
    return RealCrops(own, 32, recorrupted, 5, CPU)


def coloured(shape: tuple[int, ...], name: str) -> Tensor:
    """Gaussian noise of variance 1 that is smooth along x and rough along y."""
    white = torch.randn(*shape[:-1], shape[-1] + 2, generator=stream(4, name))
    return (white[..., :-2] + white[..., 1:-1] + white[..., 2:]) / 3**0.5


def test_recorrupted_loss_has_the_minimum_of_the_wiener_filter() -> None:
    """Best 5 x 5 linear filter against y - z / a equals the best one against the clean image."""
    a, side = 0.5, 192
    white = torch.randn(6, 1, side, side, generator=stream(4, "signal"))
    blur = torch.ones(1, 1, 3, 3) / 3
    clean = 1.2 * torch.nn.functional.conv2d(white, blur, padding=1)
    noisy = clean + coloured(clean.shape, "noise")
    z = torch.randn(clean.shape, generator=stream(4, "white z"))
    matched = recorrupt(noisy, coloured(clean.shape, "z"), a)
    wrong = recorrupt(noisy, z, a)

    def best(noisy: Tensor, target: Tensor) -> Tensor:
        patches = torch.nn.functional.unfold(noisy, 5, padding=2).transpose(1, 2).reshape(-1, 25)
        return torch.linalg.lstsq(patches.T @ patches, patches.T @ target.flatten()).solution

    # z / a has variance 4: deviation of each weight sqrt(4 / (pixels * 1.25)) = 0.004, and more
    # where neighbours are alike.
    truth = best(matched[0], clean)
    torch.testing.assert_close(best(*matched), truth, atol=0.025, rtol=0)
    for first, second in (wrong, (noisy, noisy)):  # noise of another spectrum, plain copies
        found = best(first, second)
        assert float((found - best(first, clean)).abs().max()) > 0.1


def test_loss_adds_the_recorrupted_error_with_its_weight() -> None:
    recipe = with_real(0.5)
    crops = real_crops(recipe.recorrupted)
    network = start().network
    both = DenoisingTask(recipe, CPU, Material(real=crops)).loss(network, 3)
    plain = DenoisingTask(recipe, CPU).loss(network, 3)
    real = crops.batch(3)
    error = (network(real.noisy, real.condition) - real.clean).square().mean() - 5
    assert crops.target_noise(3) == 5
    extra = error / (crops.signal_power + recipe.pairs.loss_floor)
    torch.testing.assert_close(both, plain + 0.5 * extra)


def test_recorrupted_error_is_that_against_the_truth() -> None:
    """Mean over many crops of the error of a denoiser that halves micrographs of unlike noise."""
    clean_power, gains = 0.8, [1.5, 1.5, 0.5, 1.0]
    own = [
        NoisyMicrograph(
            clean_power**0.5 * coloured((400, 400), f"clean {n}")
            + gain * torch.randn(400, 400, generator=stream(4, f"grain {n}")),
            WhiteNoise(),
            gain,
        )
        for n, gain in enumerate(gains)
    ]
    crops = RealCrops(own, 128, RecorruptedSettings(batch=16, strength=0.7), 5, CPU)
    steps = 12
    found = drawn = 0.0  # the crops of a step are of one micrograph
    for step in range(steps):
        pairs = crops.batch(step)
        error = float((0.5 * pairs.noisy[:, :1] - pairs.clean).square().mean())
        found += (error - crops.target_noise(step)) / steps
        drawn += crops.target_noise(step) / (1 + 1 / 0.7**2) / steps
    assert 0.9 < drawn < 1.9
    noise_left = 0.25 * drawn * (1 + 0.7**2)
    assert found == pytest.approx(0.25 * clean_power + noise_left, abs=0.05)
    assert crops.signal_power == pytest.approx(clean_power, abs=0.05)
    assert real_crops(RecorruptedSettings(), gain=2.0).signal_power == 0  # noise alone, and less


def test_real_crops_repeat_and_differ_between_steps() -> None:
    def crops() -> RealCrops:
        return real_crops(RecorruptedSettings(batch=3))

    first, again, next_ = crops().batch(7), crops().batch(7), crops().batch(8)
    assert torch.equal(first.noisy, again.noisy)
    assert torch.equal(first.clean, again.clean)
    assert not torch.equal(first.noisy, next_.noisy)
    z = (first.noisy[:, :1] - first.clean) / 2.5  # a z + z / a = 2.5 z
    assert float(z.std()) == pytest.approx(1, rel=0.05)
    middle = first.noisy[:, :1] - 0.5 * z  # what the crops were cut from
    assert any(_holds(image, middle[0, 0]) for image in micrographs())


def test_noise_is_turned_with_the_crop_it_is_added_to() -> None:
    """Stripes of the noise run as those of the micrograph do, whichever way a crop is turned."""

    class Stripes:
        kind = "stripes"

        def sample(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
            count, height, width = shape
            return torch.randn(count, 1, width, generator=generator).expand(count, height, width)

        def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
            return {}, {"kind": self.kind}

    striped = torch.randn(1, 90, generator=stream(4, "striped")).expand(80, 90)
    own = [NoisyMicrograph(striped, Stripes(), 1.0)]
    crops = RealCrops(own, 32, RecorruptedSettings(batch=32), 5, CPU)
    pairs = crops.batch(0)
    along_y = [bool((one == one[:1]).all()) for one in pairs.noisy[:, 0]]
    along_x = [bool((one == one[:, :1]).all()) for one in pairs.noisy[:, 0]]
    assert all(y != x for y, x in zip(along_y, along_x, strict=True))
    assert 4 < sum(along_x) < 28  # both ways come up


def test_noise_with_tails_is_told_from_gaussian_noise() -> None:
    groups = torch.arange(50) // 10
    gaussian = torch.randn(50, 24, 24, generator=stream(4, "windows"))
    strength = torch.exp(0.4 * torch.randn(50, 24, 24, generator=stream(4, "strength")))
    assert is_gaussian(excess_kurtosis(3 * gaussian + 1, groups))
    tails = excess_kurtosis(gaussian * strength, groups)
    assert 1.5 < tails < 3  # 3 exp(4 0.4^2) - 3 = 2.7, less what is cut
    assert not is_gaussian(tails)
    gaussian[3, 5, 5] = gaussian[20, 2, 9] = 12.0
    assert is_gaussian(excess_kurtosis(gaussian, groups))  # two hot pixels
    uneven = gaussian * torch.tensor([0.5, 0.7, 1.0, 1.5, 2.0])[groups][:, None, None]
    assert is_gaussian(excess_kurtosis(uneven, groups))  # of one strength within a micrograph


def _holds(image: Tensor, crop: Tensor) -> bool:
    views = image.unfold(0, 32, 1).unfold(1, 32, 1)
    turned = [t for k in range(4) for t in (torch.rot90(crop, k), torch.rot90(crop, k).flip(-1))]
    return any(bool(((views - t).abs().amax((-2, -1)) < 1e-4).any()) for t in turned)


def test_micrographs_smaller_than_a_crop_are_refused() -> None:
    with pytest.raises(InputError, match=r"as large as a training crop of 32 .* pairs\.crop_px"):
        real_crops(RecorruptedSettings(), [torch.zeros(20, 99)])


def test_training_starts_from_the_weights_given(tmp_path: Path) -> None:
    model = start()
    recipe = tiny_recipe(steps=1, learning_rate=1e-12, weight_decay=0.0)
    trained = train_denoiser(recipe, tmp_path / "a", Material(start=model), device="cpu")
    for given, kept in zip(model.network.parameters(), trained.network.parameters(), strict=True):
        torch.testing.assert_close(kept, given, atol=1e-6, rtol=1e-5)
    assert trained.metadata["given"]["start"] == digest(model.network.state_dict().values())
    assert model.network.training  # untouched


def test_a_run_does_not_continue_one_from_other_weights(tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=1)
    train_denoiser(recipe, tmp_path, Material(start=start()), device="cpu")
    train_denoiser(recipe, tmp_path, Material(start=start()), device="cpu")
    with pytest.raises(SettingsError, match="other settings"):
        train_denoiser(recipe, tmp_path, Material(start=start(seed=2)), device="cpu")


def test_a_start_of_another_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not that of the model to start from"):
        train_denoiser(
            tiny_recipe(),
            tmp_path,
            Material(start=start(UNetSettings(widths=(4,), blocks=(1,)))),
            device="cpu",
        )
    finer = DenoiserModel(start().network, 4.0, {"name": "finer"})
    with pytest.raises(SettingsError, match="pixel_size_a"):
        train_denoiser(tiny_recipe(), tmp_path, Material(start=finer), device="cpu")


def test_resumed_run_on_real_micrographs_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = with_real(steps=4, validate_every=2)
    windows = torch.randn(5, 18, 18, generator=stream(3, "windows"))
    real = real_crops(recipe.recorrupted)
    material = Material(start=start(), real=real, windows=windows)
    whole = train_denoiser(recipe, tmp_path / "whole", material, device="cpu")

    class KilledError(Exception):
        pass

    def die(step: int, loss: float) -> None:
        if step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train_denoiser(recipe, tmp_path / "broken", material, device="cpu", on_step=die)
    resumed = train_denoiser(recipe, tmp_path / "broken", material, device="cpu")
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert read_records(tmp_path / "whole" / LOG)[-1]["validation_window_variance"] > 0
    with pytest.raises(SettingsError, match="other settings"):
        fewer = real_crops(recipe.recorrupted, micrographs()[1:])
        train_denoiser(recipe, tmp_path / "whole", replace(material, real=fewer), device="cpu")


def test_what_is_left_in_windows_of_any_side() -> None:
    windows = torch.randn(70, 18, 18, generator=stream(3, "windows"))
    for stride in (4, 16):
        assert left_in_windows(Passes(), windows, stride) == pytest.approx(float(windows.var()))
        assert left_in_windows(Passes(0.0), windows + 3, stride) == 0


def test_weight_of_a_crop_is_the_slope_of_its_correlation():
    """The weighted gradient of the relative error is that of -r, at the best scale."""
    generator = torch.Generator().manual_seed(3)
    clean = torch.randn(3, 1, 32, 32, generator=generator)
    noise = torch.randn(3, 1, 32, 32, generator=generator)
    output = clean + noise * torch.tensor([0.5, 1.0, 3.0])[:, None, None, None]
    power = output.square().mean((1, 2, 3), keepdim=True)
    output = output * (output * clean).mean((1, 2, 3), keepdim=True) / power
    output.requires_grad_(True)

    def gradient(loss):
        return torch.autograd.grad(loss.sum(), output)[0]

    relative = squared_error(output, clean) / clean.square().mean((1, 2, 3))
    found = gradient(relative * correlation_weight(output.detach(), clean))
    both = (output * clean).mean((1, 2, 3))
    powers = output.square().mean((1, 2, 3)) * clean.square().mean((1, 2, 3))
    torch.testing.assert_close(found, gradient(-both / powers.sqrt()), rtol=1e-3, atol=1e-7)
