import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.evaluation.halves import crossed_score, halves_score
from tests.evaluation.conftest import smooth

SHAPE = (500, 500)


@pytest.fixture
def halves(rng):
    """Signal of power 1 and two halves with noise power 4."""
    signal = smooth(rng, SHAPE, 2)
    even, odd = (signal + 2 * rng.standard_normal(SHAPE) for _ in range(2))
    return signal, even, odd


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.0])
def test_a_gain_has_known_bias_and_noise(halves, gain):
    """D = g R: bias (1 - g)^2 S, noise left g^2 N. Tolerance: 5 sd of a mean of 25e4 products."""
    signal, even, odd = halves
    score = halves_score(even, odd, gain * even, gain * odd)
    tolerance = 5 * 4 * 2 / signal.size**0.5
    assert score.signal == pytest.approx(1, abs=tolerance)
    assert score.bias == pytest.approx((1 - gain) ** 2, abs=tolerance)
    assert score.noise_left == pytest.approx(4 * gain**2, abs=tolerance)


def test_shared_invention_counts_as_bias(rng, halves):
    _, even, odd = halves
    invented = 0.7 * smooth(rng, SHAPE, 2)
    score = halves_score(even, odd, even + invented, odd + invented)
    assert score.bias == pytest.approx(0.49, abs=0.08)
    assert score.noise_left == pytest.approx(4, abs=0.08)


def test_error_is_the_mean_squared_error_to_the_signal(halves):
    from nt2c.evaluation.filters import gaussian

    signal, even, odd = halves
    d_even, d_odd = gaussian(even, 1.5), gaussian(odd, 1.5)
    score = halves_score(even, odd, d_even, d_odd)
    actual = (np.var(d_even - signal) + np.var(d_odd - signal)) / 2
    assert score.error == pytest.approx(actual, abs=0.05)
    assert score.bias > 0.01
    assert score.noise_left > 0.01


def test_shapes_must_agree(halves):
    _, even, odd = halves
    with pytest.raises(InputError, match="denoised_odd"):
        halves_score(even, odd, even, odd[:-2])


def test_the_other_half_stands_for_the_truth(halves):
    """The recovered share is corr(D, S)^2 and the crossed FRC finds the detail that D holds."""
    from nt2c.evaluation.filters import gaussian
    from nt2c.evaluation.spectral import highpass

    signal, even, odd = halves
    d_even, d_odd = gaussian(even, 1.5), gaussian(odd, 1.5)
    score = crossed_score(even, odd, d_even, d_odd, pixel_size_a=2.0)
    inner = (slice(24, -24),) * 2
    images = [highpass(image, 2.0, 300.0)[inner] for image in (d_even, signal)]
    actual = np.corrcoef(*(image.ravel() for image in images))[0, 1] ** 2
    assert score.fraction == pytest.approx(actual, rel=0.05)
    assert score.frc_crossed_a == pytest.approx(score.frc_raw_a, rel=0.1)


def test_a_shared_invention_does_not_deceive_the_other_half(rng, halves):
    _, even, odd = halves
    invented = 3 * smooth(rng, SHAPE, 2)
    plain = crossed_score(even, odd, even, odd, pixel_size_a=2.0)
    fake = crossed_score(even, odd, even + invented, odd + invented, pixel_size_a=2.0)
    pure = crossed_score(even, odd, invented, invented, pixel_size_a=2.0)
    assert fake.fraction < 0.6 * plain.fraction
    assert pure.fraction < 0.02
    assert pure.frc_crossed_a is None
