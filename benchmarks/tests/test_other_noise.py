"""Noise of other kinds: each as strong as asked, and unlike white noise in its own way."""

import numpy as np
import pytest
from benchmarks.quality.other_noise import ASIDE, FAMILIES, noise_like

SHAPE, PIXEL_A = (256, 512), 1.5


@pytest.mark.parametrize("family", [*FAMILIES, *ASIDE])
def test_unit_variance_and_repeatable(family: str) -> None:
    noise = noise_like(family, 1, SHAPE, PIXEL_A, 1.5)
    assert noise.shape == SHAPE
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert abs(noise.mean()) < 1e-3
    assert np.array_equal(noise, noise_like(family, 1, SHAPE, PIXEL_A, 1.5))
    assert not np.array_equal(noise, noise_like(family, 2, SHAPE, PIXEL_A, 1.5))


@pytest.mark.parametrize("family", ["pink", "brown", "carbon", "speckle"])
def test_coloured_families_have_more_power_at_low_frequency(family: str) -> None:
    power = np.abs(np.fft.fft2(noise_like(family, 1, SHAPE, PIXEL_A, 1.5))) ** 2
    k = np.hypot(
        *np.meshgrid(np.fft.fftfreq(256, PIXEL_A), np.fft.fftfreq(512, PIXEL_A), indexing="ij")
    )
    low, high = power[(k > 1 / 60) & (k < 1 / 15)].mean(), power[k > 0.25].mean()
    assert low > 1.5 * high


def test_rows_are_shared_along_a_line() -> None:
    noise = noise_like("rows", 1, SHAPE, PIXEL_A, 1.5)
    assert noise.mean(1).var() > 20 / SHAPE[1]


@pytest.mark.parametrize("family", ["modulated", "tails"])
def test_some_families_have_tails(family: str) -> None:
    noise = noise_like(family, 1, SHAPE, PIXEL_A, 1.5)
    assert (noise**4).mean() > 3.3
