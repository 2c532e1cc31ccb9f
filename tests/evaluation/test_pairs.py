import csv

import mrcfile
import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.evaluation import pairs
from tests.evaluation.conftest import smooth
from tests.io.make import DATA

PIXEL_A = 2.0


@pytest.fixture
def field(rng):
    """Signal, micrograph and independent exposure; signal power 1, noise powers 9 and 100."""
    signal = smooth(rng, (400, 360), 3)
    return (
        signal,
        signal + 3 * rng.standard_normal(signal.shape),
        signal + 10 * rng.standard_normal(signal.shape),
    )


def _inner(image):
    """As `pairs` should: high-passed at 300 A, without a border; in complex transforms."""
    axes = [np.fft.fftfreq(size, 1.5) for size in image.shape]
    k = np.hypot(*np.meshgrid(*axes, indexing="ij"))
    passed = np.fft.ifft2(np.fft.fft2(image) * -np.expm1(-((k * 300.0) ** 2) / 2)).real
    inner = passed[24:-24, 24:-24]
    return inner - inner.mean()


def _pair(micrograph, independent):
    return [mrcfile.read(path).astype(np.float64) for path in (micrograph, independent)]


def test_equals_its_definition_on_a_real_field():
    raw, copy = _pair(DATA / "empiar10146_micrograph.mrc", DATA / "empiar10146_independent.mrc")
    denoised = raw**2  # any function of the micrograph will do
    noise_sd = 753.83
    score = pairs.pair_score(denoised, copy, raw, pixel_size_a=1.5, noise_sd=noise_sd)
    d, f, m = (_inner(x) for x in (denoised, copy, raw))
    cov = (d * f).mean()
    assert score.recovered == pytest.approx(cov * abs(cov) / (d * d).mean() / noise_sd**2, rel=1e-9)
    assert score.signal == pytest.approx((m * f).mean() / noise_sd**2, rel=1e-9)


def test_estimates_the_noise_of_a_real_field(shared):
    folder = shared / "data" / "empiar10146"
    row = next(iter(csv.DictReader((folder / "scale.csv").read_text().splitlines())))
    name = f"{row['name']}.mrc"
    raw, copy = _pair(folder / "micrographs" / name, folder / "independent" / name)
    noise_sd = float(row["noise_sd_micrograph"])
    score = pairs.pair_score(raw, copy, raw, pixel_size_a=1.5, noise_sd=noise_sd)
    estimated = pairs.pair_score(raw, copy, raw, pixel_size_a=1.5)
    assert (score.signal / estimated.signal) ** 0.5 == pytest.approx(1, rel=0.05)  # the noise's sd


def test_recovers_the_known_correlation_with_the_signal(field):
    signal, micrograph, independent = field
    from nt2c.evaluation.filters import gaussian

    denoised = gaussian(micrograph, 3)
    score = pairs.pair_score(denoised, independent, micrograph, pixel_size_a=PIXEL_A, noise_sd=3)
    true = pairs.pair_score(denoised, signal, micrograph, pixel_size_a=PIXEL_A, noise_sd=3)
    assert abs(score.recovered - true.recovered) < 4 * score.recovered_sd
    assert score.signal == pytest.approx(1 / 9, rel=0.3)
    assert 0.5 < true.fraction < 1


def test_the_signal_itself_scores_one_and_the_raw_micrograph_its_snr(field):
    signal, micrograph, _ = field
    perfect = pairs.pair_score(signal, signal, micrograph, pixel_size_a=PIXEL_A)
    assert perfect.fraction == pytest.approx(1, abs=0.03)
    raw = pairs.pair_score(micrograph, signal, micrograph, pixel_size_a=PIXEL_A)
    assert raw.fraction == pytest.approx(0.1, rel=0.1)


def test_stated_error_is_the_spread_over_repeats(rng, field):
    signal, micrograph, _ = field
    scores = [
        pairs.pair_score(
            signal,
            signal + 10 * rng.standard_normal(signal.shape),
            micrograph,
            pixel_size_a=PIXEL_A,
            noise_sd=3,
        )
        for _ in range(40)
    ]
    spread = np.std([s.recovered for s in scores])
    stated = np.mean([s.recovered_sd for s in scores])
    assert stated == pytest.approx(spread, rel=0.45)  # 4 standard errors of a spread of 40


def test_invented_structure_lowers_the_score_and_inversion_makes_it_negative(rng, field):
    signal, micrograph, independent = field
    invented = signal + smooth(rng, signal.shape, 3)
    honest = pairs.pair_score(signal, independent, micrograph, pixel_size_a=PIXEL_A)
    faked = pairs.pair_score(invented, independent, micrograph, pixel_size_a=PIXEL_A)
    inverted = pairs.pair_score(-signal, independent, micrograph, pixel_size_a=PIXEL_A)
    assert faked.recovered < 0.75 * honest.recovered
    assert inverted.recovered == pytest.approx(-honest.recovered)


def test_grey_scale_does_not_matter_and_pixel_size_does(field):
    _, micrograph, independent = field
    one = pairs.pair_score(micrograph, independent, micrograph, pixel_size_a=PIXEL_A)
    other = pairs.pair_score(50 + 8 * micrograph, independent, micrograph, pixel_size_a=PIXEL_A)
    assert one.recovered == pytest.approx(other.recovered)
    finer = pairs.pair_score(micrograph, independent, micrograph, pixel_size_a=1.0)
    assert finer.signal > one.signal  # 300 A are more pixels, so the high-pass takes less


def test_noise_estimate_of_known_noise(field):
    signal, micrograph, _ = field
    images = (micrograph, signal, micrograph)
    unit = pairs.pair_score(*images, pixel_size_a=PIXEL_A, noise_sd=1)
    estimated = pairs.pair_score(*images, pixel_size_a=PIXEL_A)
    assert (unit.signal / estimated.signal) ** 0.5 == pytest.approx(3, rel=0.02)
    with pytest.raises(InputError, match="shares the micrograph's noise"):
        pairs.pair_score(micrograph, 2 * micrograph, micrograph, pixel_size_a=PIXEL_A)


def test_bands_add_up_to_the_whole_and_find_a_band_limited_signal(rng):
    shape = (400, 360)
    k = np.hypot(np.fft.fftfreq(400, 2.0)[:, None], np.fft.rfftfreq(360, 2.0)[None])
    white = np.fft.rfft2(rng.standard_normal(shape))
    signal = np.fft.irfft2(white * ((k > 1 / 38) & (k < 1 / 32)), shape)
    micrograph = signal + rng.standard_normal(shape)
    bands = [(1e9, 40), (40, 30), (30, 2.0)]
    scores = pairs.band_scores(
        micrograph, signal, micrograph, pixel_size_a=2.0, noise_sd=1, bands_a=bands
    )
    whole = pairs.pair_score(micrograph, signal, micrograph, pixel_size_a=2.0, noise_sd=1)
    assert sum(s.signal for s in scores) == pytest.approx(whole.signal, rel=0.1)
    assert scores[1].signal > 0.95 * whole.signal
    in_band = np.pi * (1 / 30**2 - 1 / 40**2) * 4  # share of the white noise's power
    assert scores[1].fraction == pytest.approx(signal.var() / (signal.var() + in_band), abs=0.05)


def test_bands_beyond_nyquist_are_left_out(field):
    _, micrograph, independent = field
    scores = pairs.band_scores(micrograph, independent, micrograph, pixel_size_a=12.0)
    assert [s.fine_a for s in scores] == [100, 60, 50, 40, 30, 25, 20]


def test_pooled_fraction_weighs_fields_by_their_signal():
    scores = [pairs.PairScore(1.0, 1.0, 0.1), pairs.PairScore(0.0, 3.0, 0.1)]
    assert pairs.pooled_fraction(scores) == pytest.approx(0.25)
    with pytest.raises(InputError, match="at least one"):
        pairs.pooled_fraction([])


def test_small_images_are_refused():
    image = np.zeros((48, 60))
    with pytest.raises(InputError, match="too small"):
        pairs.pair_score(image, image, image, pixel_size_a=1.0)
