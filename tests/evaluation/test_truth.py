import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.evaluation import truth
from tests.evaluation.conftest import smooth


@pytest.fixture
def scene(rng):
    """A truth on an odd grey scale, and an image with half of its variance noise."""
    clean = 120 + 7 * smooth(rng, (96, 81), 3)
    noisy = clean + 7 * rng.standard_normal(clean.shape)
    return clean, noisy


def test_correlation_equals_numpys_and_ignores_grey_scale(scene):
    clean, noisy = scene
    expected = np.corrcoef(clean.ravel(), noisy.ravel())[0, 1]
    assert truth.correlation(noisy, clean) == pytest.approx(expected, abs=1e-12)
    assert truth.correlation(3 - 2 * noisy, clean) == pytest.approx(-expected, abs=1e-12)
    assert truth.correlation(np.ones_like(clean), clean) == 0


def test_correlation_of_large_integers_does_not_overflow(scene):
    clean, noisy = scene
    whole = np.round(noisy * 200).astype(np.int16)
    expected = np.corrcoef(clean.ravel(), whole.astype(float).ravel())[0, 1]
    assert truth.correlation(whole, clean) == pytest.approx(expected, abs=1e-12)


def test_affine_match_is_the_least_squares_line(scene):
    clean, noisy = scene
    match = truth.affine_match(noisy, clean)
    gain, offset = np.polyfit(noisy.ravel(), clean.ravel(), 1)
    assert (match.gain, match.offset) == pytest.approx((gain, offset), rel=1e-9)


def test_affine_match_undoes_an_affine_change(scene):
    clean, _ = scene
    changed = 4 - 0.25 * clean
    np.testing.assert_allclose(truth.affine_match(changed, clean).apply(changed), clean)


def test_affine_match_of_a_constant_is_the_mean(scene):
    clean, _ = scene
    match = truth.affine_match(np.full_like(clean, 9), clean)
    assert match.gain == 0
    assert match.offset == pytest.approx(clean.mean())


def test_psnr_and_ssim_equal_scikit_image(scene):
    metrics = pytest.importorskip("skimage.metrics")
    clean, noisy = scene
    span = clean.max() - clean.min()
    oracle = metrics.structural_similarity(
        clean, noisy, data_range=span, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert truth.ssim(noisy, clean) == pytest.approx(oracle, abs=1e-10)
    expected = metrics.peak_signal_noise_ratio(clean, noisy, data_range=span)
    assert truth.psnr_db(noisy, clean) == pytest.approx(expected, abs=1e-10)


def test_identical_images_score_perfectly(scene):
    clean, _ = scene
    score = truth.truth_score(clean, clean, 1.5)
    assert score.correlation == pytest.approx(1)
    assert score.ssim == pytest.approx(1)
    assert score.psnr_db > 200
    assert 2 * 1.5 < score.frc0143_a < score.frc05_a < 4.5  # where the truth ends
    white = np.random.default_rng(1).standard_normal(clean.shape)
    score = truth.truth_score(white, white, 1.5)
    assert score.frc05_a == score.frc0143_a == pytest.approx(2 * 1.5)


def test_psnr_of_a_flat_image_is_that_of_the_truths_spread(scene):
    clean, _ = scene
    flat = truth.affine_match(np.zeros_like(clean), clean).apply(np.zeros_like(clean))
    span = clean.max() - clean.min()
    assert truth.psnr_db(flat, clean) == pytest.approx(20 * np.log10(span / clean.std()))


def test_frc_equals_the_textbook_sum(rng):
    from nt2c.evaluation.spectral import tapered

    shape, pixel = (10, 14), 1.5
    a, b = rng.standard_normal(shape), rng.standard_normal(shape)
    fa, fb = np.fft.fft2(tapered(a)), np.fft.fft2(tapered(b))
    cross, power_a, power_b = np.zeros(8), np.zeros(8), np.zeros(8)
    for y, ky in enumerate(np.fft.fftfreq(10)):
        for x, kx in enumerate(np.fft.fftfreq(14)):
            ring = round(float(np.hypot(ky, kx)) * 14)
            if ring < 8:
                cross[ring] += (fa[y, x] * np.conj(fb[y, x])).real
                power_a[ring] += abs(fa[y, x]) ** 2
                power_b[ring] += abs(fb[y, x]) ** 2
    curve = truth.frc(a, b, pixel)
    expected = cross[1:] / np.sqrt(power_a[1:] * power_b[1:])
    np.testing.assert_allclose(curve.correlation, expected, atol=1e-12)
    np.testing.assert_allclose(curve.frequency, np.arange(1, 8) / 14 / pixel)


def test_frc_of_signal_plus_noise_follows_its_snr(rng):
    """FRC(S + N, S) = sqrt(SNR / (1 + SNR)); each ring's error is about 1 / sqrt(coefficients)."""
    signal, noise = rng.standard_normal((2, 256, 256))
    snr = 0.5
    curve = truth.frc(signal + noise / snr**0.5, signal, 1.0)
    expected = (snr / (1 + snr)) ** 0.5
    outer = curve.correlation[64:]  # rings of 400 coefficients and more
    assert np.abs(outer - expected).max() < 5 / 400**0.5
    assert outer.mean() == pytest.approx(expected, abs=0.01)


def test_frc_crossing_of_a_known_lowpass(rng):
    """Mostly truth below a sharp cut-off and only noise above: both levels cross there."""
    clean = rng.standard_normal((200, 200))
    k = np.hypot(np.fft.fftfreq(200, 2.0)[:, None], np.fft.rfftfreq(200, 2.0)[None])
    cut = 0.125
    image = np.fft.irfft2(np.fft.rfft2(clean) * (k < cut), clean.shape)
    curve = truth.frc(image + 0.3 * rng.standard_normal(clean.shape), clean, 2.0)
    for level in (0.5, 0.143):
        assert curve.resolution_a(level) == pytest.approx(1 / cut, rel=2.5 / 50)  # 50 rings


def test_leakage_beyond_the_band_of_an_image_does_not_correlate(rng):
    """A denoised image holds next to nothing beyond its band; its share of the truth is leakage."""
    clean = rng.standard_normal((200, 200))
    k = np.hypot(np.fft.fftfreq(200, 2.0)[:, None], np.fft.rfftfreq(200, 2.0)[None])
    cut = 0.125
    image = np.fft.irfft2(np.fft.rfft2(clean) * np.where(k < cut, 1, 1e-4), clean.shape)
    curve = truth.frc(image, clean, 2.0)
    assert curve.resolution_a(0.5) == pytest.approx(1 / cut, rel=2.5 / 50)
    assert not curve.correlation[curve.frequency > 1.5 * cut].any()


def test_leakage_of_what_both_hold_is_no_resolution(rng):
    """Noise hides the signal long before the band ends; beyond, both leak alike what they share."""
    clean = smooth(rng, (300, 300), 4)[:200, :200]
    hidden = smooth(rng, (300, 300), 3)[:200, :200] - smooth(rng, (300, 300), 12)[:200, :200]
    curve = truth.frc(clean + hidden, clean, 2.0)
    assert curve.resolution_a(0.5) > 20
    assert curve.resolution_a(0.143) > 10
    assert not curve.correlation[curve.frequency > 0.1].any()


def test_resolution_is_interpolated_on_the_falling_side():
    """A curve that rises to 1 at 0.2 / A and falls linearly to 0 at 0.5 / A."""
    frequency = np.linspace(0.01, 0.5, 50)
    curve = truth.FrcCurve(frequency, np.minimum(frequency / 0.2, (0.5 - frequency) / 0.3))
    assert curve.resolution_a(0.5) == pytest.approx(1 / 0.35)
    assert curve.resolution_a(0.4321) == pytest.approx(1 / (0.5 - 0.3 * 0.4321))


def test_resolution_names_the_extremes_and_overlooks_single_rings():
    frequency = np.linspace(0.01, 0.5, 50)
    flat = truth.FrcCurve(frequency, np.full(50, 0.3))
    assert flat.resolution_a(0.143) == pytest.approx(1 / 0.5)
    assert flat.resolution_a(0.5) is None
    spiky = np.where(frequency < 0.2, 1.0, 0.0)
    spiky[40] = 0.6
    spike = truth.FrcCurve(frequency, spiky).resolution_a(0.143)
    assert spike == pytest.approx(1 / 0.2, rel=0.1)


def test_wrong_inputs_are_named(scene):
    clean, noisy = scene
    with pytest.raises(InputError, match=r"differ in shape: image .*truth"):
        truth.correlation(noisy[:-1], clean)
    noisy[3, 4] = np.nan
    with pytest.raises(InputError, match="image: holds NaN"):
        truth.frc(noisy, clean, 1.0)
    with pytest.raises(InputError, match="constant"):
        truth.psnr_db(clean, np.ones_like(clean))
    with pytest.raises(InputError, match="11 x 11"):
        truth.ssim(clean[:10], clean[:10])
