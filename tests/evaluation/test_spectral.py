import numpy as np
import pytest

from nt2c.evaluation import spectral


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (12, 7), (5, 5)])
def test_half_plane_sums_equal_full_plane_sums(rng, shape):
    image = rng.standard_normal(shape)
    half = np.abs(np.fft.rfft2(image)) ** 2 * spectral.half_plane_weights(shape)
    assert half.sum() == pytest.approx(np.sum(np.abs(np.fft.fft2(image)) ** 2), rel=1e-12)


def test_ring_sums_equal_a_loop_over_the_full_plane(rng):
    shape, pixel = (9, 12), 2.5
    image = rng.standard_normal(shape)
    power = np.abs(np.fft.fft2(image)) ** 2
    index, frequency = spectral.rings(shape, pixel)
    sums = spectral.ring_sums(np.abs(np.fft.rfft2(image)) ** 2, index, frequency.size, shape[1])
    expected = np.zeros(frequency.size)
    for y, ky in enumerate(np.fft.fftfreq(shape[0], pixel)):
        for x, kx in enumerate(np.fft.fftfreq(shape[1], pixel)):
            ring = round(float(np.hypot(ky, kx)) * 12 * pixel)
            if ring < expected.size:
                expected[ring] += power[y, x]
    np.testing.assert_allclose(sums, expected, rtol=1e-10)
    assert frequency[-1] == pytest.approx(1 / (2 * pixel))


def test_highpass_has_the_stated_gain_at_a_plane_wave():
    pixel, cut, periods = 2.0, 100.0, 4
    x = np.arange(120)
    wave = np.tile(np.cos(2 * np.pi * periods * x / 120), (60, 1)) + 5
    k = periods / (120 * pixel)
    expected = (1 - np.exp(-((k * cut) ** 2) / 2)) * (wave - 5)
    np.testing.assert_allclose(spectral.highpass(wave, pixel, cut), expected, atol=1e-12)


def test_tapered_keeps_the_inside_and_clears_the_edge():
    image = np.ones((40, 60))
    image[:, 30:] = 3
    result = spectral.tapered(image)
    np.testing.assert_allclose(result[2:-2, 3:30], -1)
    np.testing.assert_allclose(result[2:-2, 30:-3], 1)
    assert np.abs(result[0]).max() < 0.2
    assert np.abs(result[:, -1]).max() < 0.1
