"""Measures of fidelity: against oracles, and each on the fault that it was made for."""

import json
import math
from functools import cache

import numpy as np
import pytest
import scipy.stats
import torch

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.noise import features, statistics, two_sample
from nt2c.noise.diversity import descriptor_diversity, nearest_distance, nearest_ratio
from nt2c.noise.resampling import measure_means, resample
from nt2c.noise.spectra import sine_taper
from nt2c.noise.statistics import compare

SIDE = 32
COUNT = 160


def white(count=COUNT, side=SIDE, seed=0):
    return torch.randn(count, side, side, generator=stream(seed, "white"))


def filtered(windows, power):
    side = windows.shape[-1]
    return torch.fft.irfft2(torch.fft.rfft2(windows) * power.sqrt(), s=(side, side))


def frequencies(side=SIDE):
    return torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]


# Features against slow, obvious versions.


def test_power_of_white_noise_is_its_variance_in_every_ring():
    rings = features.radial_spectra(3 * white(600))
    score = (rings.mean(0) - 9) / (rings.std(0) / math.sqrt(600))
    assert score.abs().max() < 4


def test_rings_are_means_over_the_full_plane():
    x = white(2, 20)[1]
    taper = sine_taper(20)
    full = np.abs(np.fft.fft2((x * taper[:, None] * taper).double().numpy())) ** 2 / 400
    total, count = np.zeros(9), np.zeros(9)
    for j in range(20):
        for i in range(20):
            k = math.hypot(min(j, 20 - j), min(i, 20 - i))
            ring = max(0, int(k) - 1)
            if ring < 9:
                total[ring] += full[j, i]
                count[ring] += 1
    assert np.allclose(features.radial_spectra(x[None])[0], total / count, rtol=1e-4)
    assert features.ring_frequencies(20, 4.0)[:2] == pytest.approx([1 / 80, 2.5 / 80])


def test_a_known_spectrum_is_found():
    """A field with power 1 + 2 exp(-(k / 0.15)^2), cut to windows: the rings have its values."""
    ky, kx = frequencies(256)
    fields = filtered(white(24, 256), 1 + 2 * torch.exp(-(ky**2 + kx**2) / 0.15**2))
    windows = fields.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).reshape(-1, SIDE, SIDE)
    found = features.radial_spectra(windows).mean(0)
    k = torch.tensor(features.ring_frequencies(SIDE, 1.0))
    assert torch.allclose(found, 1 + 2 * torch.exp(-((k / 0.15) ** 2)), rtol=0.06)


def test_autocovariances_are_means_of_products():
    x = white(3, 16, seed=1)
    found = features.autocovariances(x)
    expected = []
    for dy in [0, 1, 2, 3, 4, -4, -3, -2, -1]:
        for dx in range(5):
            a = x[:, max(0, dy) : 16 + min(0, dy), dx:]
            b = x[:, max(0, -dy) : 16 - max(0, dy), : 16 - dx]
            expected.append((a * b).mean((1, 2)))
    assert torch.allclose(found, torch.stack(expected, 1), atol=1e-5)


def test_skewness_and_kurtosis_are_those_of_scipy():
    x = white(5).square() + 0.3
    found = features.skewness_and_kurtosis(features.moments(x).double().mean(0))
    values = x.double().numpy().ravel()
    expected = scipy.stats.skew(values), scipy.stats.kurtosis(values)
    assert found.tolist() == pytest.approx(expected, rel=1e-3)


def resamples(real, synthetic, seed=0, groups=None):
    return resample(len(real), len(synthetic), groups, stream(seed, "resample"))


def test_ks_distance_is_that_of_scipy():
    real, other = white(40), 1.1 * white(30, seed=1) + 0.05
    found = statistics.ks_distance(real.flatten(1), other.flatten(1), resamples(real, other))
    expected = scipy.stats.ks_2samp(real.numpy().ravel(), other.numpy().ravel()).statistic
    assert found.value == pytest.approx(expected, abs=1 / 512)


def test_sliced_wasserstein_is_the_mean_of_scipys_distances():
    real, other = white(20), 1.2 * white(20, seed=1) + 0.1
    found = statistics.sliced_wasserstein(
        real, other, resamples(real, other), stream(3, "directions")
    )
    expected = []
    for directions in features.random_filters(stream(3, "directions")):
        for a, b in zip(*(features.projections(w, directions) for w in (real, other)), strict=True):
            scale = float(a.std())
            expected.append(
                scipy.stats.wasserstein_distance(a.numpy().ravel(), b.numpy().ravel()) / scale
            )
    assert len(expected) == 36
    assert found.value == pytest.approx(np.mean(expected), rel=0.01)


def test_area_is_that_of_mann_and_whitney():
    generator = stream(0, "scores")
    scores = torch.randn(40, generator=generator), torch.randn(50, generator=generator) + 0.5
    folds = torch.zeros(40).long(), torch.zeros(50).long()
    found = two_sample.area_under_roc(scores, folds, torch.ones(1, 40), torch.ones(1, 50))
    expected = scipy.stats.mannwhitneyu(scores[1].numpy(), scores[0].numpy()).statistic / 2000
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_local_variance_is_logarithmic_and_spreads_as_chi_square():
    one = features.local_log_variance(white(400), 4.0)
    assert one.shape == (400, 16)
    assert torch.allclose(features.local_log_variance(2 * white(400), 4.0), one + math.log(4))
    wave = torch.sin(2 * math.pi * torch.arange(SIDE) / SIDE)
    waved = features.local_log_variance(white(400) + wave, 4.0)
    assert (waved - one).mean(0).abs().max() < 0.1  # the wave itself would add some 0.4
    # 64 pixels, nearly independent: var log(chi^2_64 / 64) = trigamma(32) = 0.0318
    assert 0.031 < one.var() < 0.037


def test_nearest_distance_finds_shifted_copies():
    x = filtered(white(6), 1 / (0.05 + frequencies()[0] ** 2 + frequencies()[1] ** 2))
    copy = torch.roll(x, (5, -9), (1, 2))
    everything = torch.ones(6, 6, dtype=torch.bool)
    assert nearest_distance(x, copy, everything).abs().max() < 1e-4
    assert nearest_distance(x, copy, ~torch.eye(6, dtype=torch.bool)).min() > 0.7
    half = torch.cat([x[:, 16:], white(6, seed=5)[:, :16] * x.std()], 1)
    assert 0.2 < nearest_distance(x, half, everything).mean() < 0.8


def test_diversity_of_a_few_modes():
    """K equally likely draws have 1 - 1/K of the distance."""
    real = white()
    modes = white(4, seed=1).repeat(COUNT // 4, 1, 1)
    found = descriptor_diversity(real, modes, None, resamples(real, modes))
    of_four = descriptor_diversity(real, white(4, seed=1), None, resamples(real, modes[:4]))
    # 3/4 of the pairs of windows, none of which is paired with itself
    assert found.value == pytest.approx(of_four.value * 0.75 * COUNT / (COUNT - 1), rel=1e-3)


# Intervals.


def test_interval_of_a_mean_is_the_normal_one():
    real, other = white(300, 8).flatten(1)[:, :1], white(200, 8, seed=1).flatten(1)[:, :1]
    found = measure_means(real, other, resamples(real, other), lambda r, s: s - r)[0]
    error = float((real.var() / 300 + other.var() / 200).sqrt())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.12)
    assert found.same_high - found.same_low == pytest.approx(2 * 2.576 * error, rel=0.25)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(float(other.mean() - real.mean()), rel=1e-4)


def test_windows_of_one_group_count_once():
    """Each real window four times: with groups the interval is twice as wide as without."""
    real = white(100, 8).flatten(1)[:, :1].repeat(4, 1)
    groups = torch.arange(100).repeat(4)
    other = torch.zeros(1000, 1)
    widths = []
    for given in (groups, None):
        drawn = resamples(real, other, groups=given)
        found = measure_means(real, other, drawn, lambda r, s: s - r)[0]
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)


def test_a_group_is_in_one_half_of_the_classifier():
    groups = torch.arange(60) // 6
    fold = two_sample._folds(groups, stream(0, "folds")).reshape(10, 6)
    assert torch.all(fold == fold[:, :1])
    assert fold[:, 0].sum() == 5


# Whole comparisons.


def modulated(seed):
    """Gaussian noise whose level varies over some 20 px within a window; white."""
    slow = gaussian_lowpass(white(seed=seed + 100), 5)
    return white(seed=seed) * torch.exp(0.35 * slow / slow.std())


def heavy_tailed(seed):
    """Independent pixels of Student's t with 7 degrees of freedom: excess kurtosis 2."""
    chi = sum(white(seed=seed + 100 + i).square() for i in range(7)) / 7
    return white(seed=seed) / chi.sqrt()


def skewed(seed):
    return white(seed=seed) + 0.05 * white(seed=seed).square()


def bumped(seed):
    """Power raised by 40 % in a band around 0.3 cycles per pixel, 6.7 % over all."""
    k = torch.hypot(*frequencies())
    return filtered(white(seed=seed), 1 + 0.4 * torch.exp(-(((k - 0.3) / 0.05) ** 2)))


def anisotropic(seed):
    """Power that depends on direction alone: each ring has mean 1."""
    ky, kx = frequencies()
    return filtered(white(seed=seed), 1 + 0.4 * torch.cos(2 * torch.atan2(ky, kx) + 0.4))


def striped(seed):
    """A fixed pattern of 0.27 cycles per pixel with 3 % of the variance, of random phase."""
    phase = 2 * math.pi * torch.rand(COUNT, 1, 1, generator=stream(seed, "phase"))
    wave = math.sqrt(2) * torch.cos(2 * math.pi * 0.27 * torch.arange(SIDE) + phase)
    return white(seed=seed) + math.sqrt(0.03) * wave


def levelled(seed):
    """The level varies from window to window by 15 %."""
    return white(seed=seed) * torch.exp(
        0.15 * torch.randn(COUNT, 1, 1, generator=stream(seed, "l"))
    )


def collapsed(seed):
    """Three fields over and over."""
    return white(3, seed=seed).repeat(COUNT // 3 + 1, 1, 1)[:COUNT]


def replicated(seed):
    """Twenty fields over and over, shifted."""
    fields = white(20, seed=seed).repeat(COUNT // 20, 1, 1)
    shifts = torch.randint(SIDE, (COUNT, 2), generator=stream(seed, "shift")).tolist()
    return torch.stack(
        [torch.roll(w, tuple(s), (0, 1)) for w, s in zip(fields, shifts, strict=True)]
    )


SPECTRAL = {"radial_error", "spectrum_error", "autocorrelation_error"}
VALUES = {"ks_distance", "skewness", "excess_kurtosis"}
LOCAL = {"local_variance_spread", "local_variance_distance"}

# synthetic noise: the measures that must find it, and those that must not, against white noise
FAULTS = {
    "nothing": (
        lambda seed: white(seed=seed),
        set(),
        SPECTRAL | VALUES | LOCAL | {"diversity", "nearest"},
    ),
    "heavy tails": (
        heavy_tailed,
        {"excess_kurtosis", "ks_distance", "sliced_wasserstein"},
        {"radial_error", "nearest"},
    ),
    "local variance": (modulated, LOCAL | {"excess_kurtosis"}, {"radial_error"}),
    "skewness": (skewed, {"skewness", "ks_distance"}, SPECTRAL | LOCAL | {"nearest", "diversity"}),
    "spectrum": (bumped, SPECTRAL, VALUES | {"diversity", "nearest"}),
    "anisotropy": (
        anisotropic,
        {"spectrum_error", "autocorrelation_error"},
        VALUES | {"radial_error", "nearest"},
    ),
    "fixed pattern": (striped, SPECTRAL, VALUES | {"diversity"}),
    "level between windows": (
        levelled,
        {"diversity", "local_variance_spread"},
        SPECTRAL | {"skewness", "nearest"},
    ),
    "collapse": (collapsed, {"diversity", "nearest"}, set()),
    "replication": (replicated, {"nearest"}, set()),
}


@cache
def fidelity(fault):
    return compare(
        white(seed=50), FAULTS[fault][0](51), 4.0, stream(0, "compare"), classifier=False
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_its_measure_and_by_no_other(fault):
    _, found_by, not_by = FAULTS[fault]
    differing = {name for name, measure in fidelity(fault).measures().items() if measure.differs}
    assert found_by <= differing
    assert not differing & not_by


def test_signs_and_sizes():
    assert fidelity("heavy tails").excess_kurtosis.value == pytest.approx(2, abs=0.5)
    assert fidelity("skewness").skewness.value == pytest.approx(0.3, abs=0.03)
    assert fidelity("level between windows").diversity.value > 1.1
    assert fidelity("local variance").local_variance_spread.value > 1.3
    assert fidelity("replication").nearest.value < 0.1
    assert fidelity("collapse").diversity.value < 0.8
    assert fidelity("nothing").nearest.value == pytest.approx(1, abs=0.01)
    # without the correction for chance: sqrt(2 / 160) = 0.11
    assert fidelity("nothing").spectrum_error.value < 0.03
    anisotropy = fidelity("anisotropy").spectrum_error.value
    # rms of log(1 + 0.4 cos) is 0.294; the taper smears it at the lowest frequencies
    assert anisotropy == pytest.approx(0.294, rel=0.12)
    bump = fidelity("spectrum")
    at = min(range(len(bump.frequency)), key=lambda i: abs(bump.frequency[i] - 0.3 / 4.0))
    assert bump.radial_ratio[at].value == pytest.approx(1.36 / 1.068, rel=0.06)
    assert bump.radial_ratio[at].differs
    assert bump.radial_error.value == pytest.approx(
        max(abs(ratio.value - 1) for ratio in bump.radial_ratio)
    )


def auc(synthetic):
    real = white(160, 24, seed=60)
    drawn = resamples(real, synthetic)
    return two_sample.classifier_auc(real, synthetic, None, drawn, stream(0, "classifier"))


def test_the_classifier_tells_what_differs_and_only_that():
    same = auc(white(160, 24, seed=61))
    assert not same.differs
    assert same.low < 0.5 < same.high
    assert same.high - same.low == pytest.approx(
        2 * 1.96 * math.sqrt(321 / 12) / 160 * 2**0.5, rel=0.3
    )
    tails = white(160, 24, seed=62) * torch.exp(0.5 * white(160, 24, seed=63))
    different = auc(tails / tails.std())
    assert different.differs
    assert different.low > 0.8


def test_scale_and_offset_of_either_set_do_not_count():
    real, other = white(60, 16), white(50, 16, seed=1)
    one = compare(real, other, 4.0, stream(0, "s"), classifier=False)
    two = compare(7 * real + 3, 0.1 * other - 5, 4.0, stream(0, "s"), classifier=False)
    for name, measure in one.measures().items():
        assert two.measures()[name].value == pytest.approx(measure.value, abs=2e-3), name


def test_the_record_is_json():
    found = compare(
        white(20, 16), white(16, 16, seed=1), 4.0, stream(0, "j"), torch.arange(20) // 4
    )
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["real_count"] == 20
    assert len(record["radial_ratio"]) == len(record["frequency"]) == 7
    assert record["classifier_auc"]["low"] <= record["classifier_auc"]["high"]
    assert set(found.measures()) < set(record)
    assert found == compare(
        white(20, 16), white(16, 16, seed=1), 4.0, stream(0, "j"), torch.arange(20) // 4
    )


@pytest.mark.parametrize(
    ("real", "synthetic", "groups", "message"),
    [
        (white(20), white(20, 16), None, "one size"),
        (white(20, 8), white(20, 8), None, "16 px"),
        (white(20), white(3), None, "too few"),
        (white(20), white(20) * math.nan, None, "NaN"),
        (white(20), torch.ones(20, 32, 32), None, "equal"),
        (white(20), white(20), torch.zeros(20).long(), "2 groups"),
        (white(20), white(20), torch.arange(19), "group each"),
    ],
)
def test_what_cannot_be_compared_is_refused(real, synthetic, groups, message):
    with pytest.raises(InputError, match=message):
        compare(real, synthetic, 4.0, stream(0, "bad"), groups)


def test_nearest_skips_windows_of_one_micrograph():
    """Windows that overlap within a micrograph are no sign of replication."""
    field = white(1, 200, seed=70)[0]
    real = torch.stack([field[8 * i : 8 * i + 32, :32] for i in range(20)])
    other = white(20, seed=71)
    alone = nearest_ratio(real, other, None, stream(0, "n"))
    grouped = nearest_ratio(real, other, torch.arange(20) // 10, stream(0, "n"))
    assert alone.real < grouped.real
    assert grouped.value < alone.value
