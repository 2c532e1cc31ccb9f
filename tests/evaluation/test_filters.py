import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.evaluation import filters
from nt2c.evaluation.truth import correlation
from tests.evaluation.conftest import smooth


@pytest.mark.parametrize("sigma", [1.5, 4.0, 7.3])
def test_gaussian_equals_scikit_image(rng, sigma):
    oracle = pytest.importorskip("skimage.filters").gaussian
    image = 100 + rng.standard_normal((90, 71))
    expected = oracle(image, sigma, mode="reflect", truncate=6, preserve_range=True)
    np.testing.assert_allclose(filters.gaussian(image, sigma), expected, atol=2e-4)


def test_gaussian_of_zero_width_changes_nothing(rng):
    image = rng.standard_normal((13, 20))
    np.testing.assert_allclose(filters.gaussian(image, 0), image, atol=1e-12)


def test_best_gaussian_is_the_best_of_those_tried(rng):
    truth = smooth(rng, (200, 200), 4)
    noisy = truth + 5 * rng.standard_normal(truth.shape)
    sigmas = [0.5, 2.0, 4.0, 16.0]
    best, blurred = filters.best_gaussian(noisy, truth, sigmas)
    scores = {s: correlation(filters.gaussian(noisy, s), truth) for s in sigmas}
    assert best == max(scores, key=scores.get) == 4.0
    np.testing.assert_array_equal(blurred, filters.gaussian(noisy, best))
    with pytest.raises(InputError, match="sigma"):
        filters.best_gaussian(noisy, truth, [])


def test_wiener_gain_is_signal_over_total_power(rng):
    """Signal in the lower half of the frequencies with SNR 1 there: gain 0.5, then 0."""
    shape = (256, 256)
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    truths, noisy = [], []
    for _ in range(4):
        white = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * (k < 0.25), shape)
        truths.append(white)
        noisy.append(white + rng.standard_normal(shape))
    gain = filters.wiener_gain(noisy, truths)
    np.testing.assert_allclose(gain[4:32], 0.5, atol=0.1)
    np.testing.assert_allclose(gain[32:], 0.0, atol=0.02)


def test_wiener_beats_every_gaussian_and_keeps_the_mean(rng):
    truth = smooth(rng, (256, 256), 2) + smooth(rng, (256, 256), 12)
    noisy = 50 + truth + 4 * rng.standard_normal(truth.shape)
    gain = filters.wiener_gain([noisy], [truth])
    result = filters.radial_wiener(noisy, gain)
    _, blurred = filters.best_gaussian(noisy, truth, np.arange(1, 15, 0.5).tolist())
    assert correlation(result, truth) > correlation(blurred, truth)
    assert result.mean() == pytest.approx(noisy.mean())


def test_wiener_gain_never_inverts_or_amplifies(rng):
    image = 30 + rng.standard_normal((64, 64))
    np.testing.assert_array_equal(filters.wiener_gain([image], [-image]), 0)
    np.testing.assert_array_equal(filters.wiener_gain([image], [3 * image]), 1)
    nothing = filters.radial_wiener(image, np.zeros(filters.WIENER_SHELLS))
    np.testing.assert_allclose(nothing, image.mean())


def test_wiener_needs_pairs(rng):
    with pytest.raises(InputError, match="1 images, 0 references"):
        filters.wiener_gain([rng.standard_normal((8, 8))], [])
