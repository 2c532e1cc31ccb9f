"""Training on real micrographs and from given weights: unbiased, honoured, repeatable."""

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
from nt2c.training.denoiser import DenoisingTask, left_in_windows, train_denoiser
from nt2c.training.digest import digest
from nt2c.training.loop import LOG
from nt2c.training.pairs import Pairs
from nt2c.training.recorrupted import RealCrops, recorrupt
from nt2c.training.settings import Recipe, RecorruptedSettings

from .test_training import CPU, tiny_recipe


def with_real(weight: float = 0.5, **optimizer: Any) -> Recipe:
    recipe = tiny_recipe(**optimizer)
    return recipe.model_copy(update={"recorrupted": RecorruptedSettings(weight=weight, batch=2)})


def micrographs() -> list[Tensor]:
    return [torch.randn(n, 48, generator=stream(3, "real", n)) for n in (40, 64)]


def start(settings: UNetSettings | None = None, seed: int = 1) -> DenoiserModel:
    network = UNet(settings or tiny_recipe().network)
    generator = stream(seed, "start")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return DenoiserModel(network, 8.0, {"name": "start"})


def test_recorrupted_loss_has_the_minimum_of_the_wiener_filter() -> None:
    """Best 5 x 5 linear filter against y - z / a equals the best one against the clean image."""
    a, side = 0.5, 192
    white = torch.randn(6, 1, side, side, generator=stream(4, "signal"))
    blur = torch.ones(1, 1, 3, 3) / 3
    clean = 1.2 * torch.nn.functional.conv2d(white, blur, padding=1)
    noisy = clean + torch.randn(clean.shape, generator=stream(4, "noise"))
    pairs = recorrupt(noisy, a, stream(4, "z"))
    patches = torch.nn.functional.unfold(pairs.noisy, 5, padding=2).transpose(1, 2).reshape(-1, 25)

    def best(target: Tensor) -> Tensor:
        return torch.linalg.lstsq(patches.T @ patches, patches.T @ target.flatten()).solution

    # z / a has variance 4: deviation of each weight sqrt(4 / (pixels * 1.25)) = 0.004.
    torch.testing.assert_close(best(pairs.clean), best(clean), atol=0.015, rtol=0)
    assert float((best(noisy) - best(clean)).abs().max()) > 0.1  # plain copies are no such targets


def test_loss_adds_the_recorrupted_error_with_its_weight() -> None:
    recipe = with_real(0.5)
    crops = RealCrops(micrographs(), 32, recipe.recorrupted, recipe.seed, CPU)
    network = start().network
    both = DenoisingTask(recipe, CPU, real=crops).loss(network, 3)
    plain = DenoisingTask(recipe, CPU).loss(network, 3)
    real: Pairs = crops.batch(3)
    extra = (network(real.noisy) - real.clean).square().mean()
    torch.testing.assert_close(both, plain + 0.5 * extra)


def test_real_crops_repeat_and_differ_between_steps() -> None:
    def crops() -> RealCrops:
        return RealCrops(micrographs(), 32, RecorruptedSettings(batch=3), 5, CPU)

    first, again, next_ = crops().batch(7), crops().batch(7), crops().batch(8)
    assert torch.equal(first.noisy, again.noisy)
    assert torch.equal(first.clean, again.clean)
    assert not torch.equal(first.noisy, next_.noisy)
    z = (first.noisy - first.clean) / 2.5  # a z + z / a = 2.5 z
    assert float(z.std()) == pytest.approx(1, rel=0.05)
    middle = first.noisy - 0.5 * z  # what the crops were cut from
    assert any(_holds(image, middle[0, 0]) for image in micrographs())


def _holds(image: Tensor, crop: Tensor) -> bool:
    views = image.unfold(0, 32, 1).unfold(1, 32, 1)
    turned = [t for k in range(4) for t in (torch.rot90(crop, k), torch.rot90(crop, k).flip(-1))]
    return any(bool(((views - t).abs().amax((-2, -1)) < 1e-4).any()) for t in turned)


def test_micrographs_smaller_than_a_crop_are_refused() -> None:
    with pytest.raises(InputError, match=r"pairs\.crop_px"):
        RealCrops([torch.zeros(20, 99)], 32, RecorruptedSettings(), 0, CPU)


def test_training_starts_from_the_weights_given(tmp_path: Path) -> None:
    model = start()
    recipe = tiny_recipe(steps=1, learning_rate=1e-12, weight_decay=0.0)
    trained = train_denoiser(recipe, tmp_path / "a", device="cpu", start=model)
    for given, kept in zip(model.network.parameters(), trained.network.parameters(), strict=True):
        torch.testing.assert_close(kept, given, atol=1e-6, rtol=1e-5)
    assert trained.metadata["given"]["start"] == digest(model.network.state_dict().values())
    assert model.network.training  # untouched


def test_a_run_does_not_continue_one_from_other_weights(tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=1)
    train_denoiser(recipe, tmp_path, device="cpu", start=start())
    train_denoiser(recipe, tmp_path, device="cpu", start=start())
    with pytest.raises(SettingsError, match="other settings"):
        train_denoiser(recipe, tmp_path, device="cpu", start=start(seed=2))


def test_a_start_of_another_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not that of the model to start from"):
        train_denoiser(
            tiny_recipe(),
            tmp_path,
            device="cpu",
            start=start(UNetSettings(widths=(4,), blocks=(1,))),
        )
    finer = DenoiserModel(start().network, 4.0, {"name": "finer"})
    with pytest.raises(SettingsError, match="pixel_size_a"):
        train_denoiser(tiny_recipe(), tmp_path, device="cpu", start=finer)


def test_resumed_run_on_real_micrographs_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = with_real(steps=4, validate_every=2)
    windows = torch.randn(5, 18, 18, generator=stream(3, "windows"))
    given: dict[str, Any] = {"device": "cpu", "start": start(), "real": micrographs()}
    whole = train_denoiser(recipe, tmp_path / "whole", windows=windows, **given)

    class KilledError(Exception):
        pass

    def die(step: int, loss: float) -> None:
        if step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train_denoiser(recipe, tmp_path / "broken", windows=windows, on_step=die, **given)
    resumed = train_denoiser(recipe, tmp_path / "broken", windows=windows, **given)
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert read_records(tmp_path / "whole" / LOG)[-1]["validation_window_variance"] > 0
    with pytest.raises(SettingsError, match="other settings"):
        train_denoiser(recipe, tmp_path / "whole", **given | {"real": micrographs()[:1]})


def test_what_is_left_in_windows_of_any_side() -> None:
    windows = torch.randn(70, 18, 18, generator=stream(3, "windows"))
    nothing = torch.nn.Identity()
    nothing.forward = torch.zeros_like  # type: ignore[assignment]
    for stride in (4, 16):
        assert left_in_windows(torch.nn.Identity(), windows, stride) == pytest.approx(
            float(windows.var())
        )
        assert left_in_windows(nothing, windows + 3, stride) == 0
