"""Micrographs that a program filtered get back the noise that the filter took; raw ones do not."""

import pytest
import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.filtered import fading, with_noise_restored
from nt2c.imaging.fourier import apply_filter, frequency_grid, radial_power, resize

PIXEL_A = 4.0
SHAPE = (400, 360)


def white(seed: int = 1) -> Tensor:
    return torch.randn(SHAPE, generator=stream(seed, "white"))


def low_passed(image: Tensor, cutoff_a: float, order: int = 8) -> Tensor:
    k = frequency_grid(SHAPE, PIXEL_A)
    return apply_filter(image, 1 / (1 + (k * cutoff_a) ** (2 * order)).sqrt())


def blurred(image: Tensor, sigma_a: float) -> Tensor:
    k = frequency_grid(SHAPE, PIXEL_A)
    return apply_filter(image, torch.exp(-2 * (torch.pi * sigma_a * k) ** 2))


@pytest.mark.parametrize(
    "filtered",
    [
        lambda image: low_passed(image, 12.0),
        lambda image: low_passed(image, 20.0),
        lambda image: blurred(image, 2.5),
        lambda image: resize(resize(image, (SHAPE[0] // 2, SHAPE[1] // 2)), SHAPE),
    ],
    ids=["12 A", "20 A", "blur", "enlarged"],
)
def test_filtered_noise_becomes_white_again(filtered) -> None:
    image = filtered(white())
    restored, certain = with_noise_restored(image, PIXEL_A)
    assert certain
    k, power = radial_power(restored, PIXEL_A, 24)
    level = power[(k > 1 / 40) & (k < 1 / 21)].mean()
    assert float((power / level - 1).abs()[6:].max()) < 0.25
    # What the filter left is still there, at the frequencies where it left everything.
    kept = low_passed(restored, 40.0) - low_passed(image, 40.0)
    assert float(kept.var()) < 0.02 * float(low_passed(image, 40.0).var())


def test_raw_noise_is_not_touched() -> None:
    k = frequency_grid(SHAPE, PIXEL_A)
    camera = apply_filter(white(2), 1 - 2 * k)  # a transfer of 0.75 at Nyquist
    pink = apply_filter(white(3), k.clamp(min=1e-3) ** -0.5)
    for image in (white(), camera, pink, white() + 3 * low_passed(white(4), 40.0)):
        restored, certain = with_noise_restored(image, PIXEL_A)
        assert restored is image
        assert not certain


def test_weak_fading_is_restored_without_a_claim() -> None:
    image = blurred(white(), 1.85)
    assert 0.35 < fading(image, PIXEL_A) < 0.5
    restored, certain = with_noise_restored(image, PIXEL_A)
    assert not certain
    assert float(restored.var()) > float(image.var())


def test_the_same_micrograph_gives_the_same_result() -> None:
    image = low_passed(white(), 20.0)
    first, second = (with_noise_restored(image, PIXEL_A)[0] for _ in range(2))
    assert torch.equal(first, second)
