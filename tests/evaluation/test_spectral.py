import numpy as np

from nt2c.evaluation import spectral


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
