"""What every sampler of noise must do, whatever it is made of.

A sampler joins by its line in `FITTED`.
"""

import math
from functools import cache
from itertools import pairwise
from typing import get_args

import pytest
import torch

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.io.weights import read_weights, write_weights
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.kinds import NoiseKind
from nt2c.noise.samplers import FITTED, BootstrapNoise, ColouredNoise
from nt2c.noise.spectra import _halves, power_on_grid, power_spectra

SIDE = 32
COUNT = 200


def anisotropic_power(size):
    """Spectrum without mirror symmetry, of mean 1: a ridge at an angle and a low-frequency end."""
    ky, kx = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
    ridge = torch.exp(-60 * (ky - 0.8 * kx) ** 2 - 8 * (kx + 0.5 * ky) ** 2)
    power = 0.3 + ridge + 0.02 / (2e-3 + 20 * (ky**2 + kx**2))
    full = torch.cat([power, power[:, 1 : size // 2]], 1)
    return power / full.mean()


def cut(fields, count, side, generator):
    """Windows at random places of fields (n, y, x)."""
    n, height, width = fields.shape
    places = torch.randint(0, min(height, width) - side, (count, 2), generator=generator).tolist()
    return torch.stack(
        [fields[i % n, y : y + side, x : x + side] for i, (y, x) in enumerate(places)]
    )


@cache
def windows():
    """Windows of a coloured, anisotropic field, with an offset and a gain that samplers drop."""
    generator = stream(0, "windows")
    white = torch.randn(50, 256, 256, generator=generator)
    fields = torch.fft.irfft2(torch.fft.rfft2(white) * anisotropic_power(256).sqrt())
    return 3.0 + 1.7 * cut(fields, COUNT, SIDE, generator)


@cache
def white_windows():
    return torch.randn(COUNT, SIDE, SIDE, generator=stream(0, "white windows"))


def fitted(kind, windows):
    """Sampler of a kind, fitted to windows of as many micrographs."""
    return kind.fit(windows, torch.arange(len(windows)))


@cache
def made(kind):
    """A fitted sampler and the windows that it was made from."""
    given = white_windows() if kind == "white" else windows()
    return fitted(FITTED[kind], given), given


@cache
def draws(kind):
    """Many draws of the size of the windows."""
    return made(kind)[0].sample((400, SIDE, SIDE), stream(1, "draws"))


@pytest.fixture(params=sorted(FITTED))
def kind(request):
    return request.param


def standard_scores(values):
    """Mean over the first axis, in standard errors."""
    return values.mean(0) / (values.std(0) / math.sqrt(len(values)))


def test_recipes_and_options_know_every_kind():
    assert set(get_args(NoiseKind)) == {*FITTED, NoiseSynthesizer.kind}


def test_the_kind_is_its_name(kind):
    assert made(kind)[0].kind == kind


def test_mean_0_and_variance_1(kind):
    fields = draws(kind)
    assert abs(standard_scores(fields.mean((1, 2)))) < 4
    assert abs(standard_scores(fields.square().mean((1, 2)) - 1)) < 4
    assert abs(fields.var() - 1) < 0.03


def rings(power):
    """Mean over rings of one frequency step; the first two are one, since they hold little."""
    size = power.shape[-2]
    k = size * torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
    edges = [0, 2, *range(3, size // 2 + 1)]
    return torch.stack([power[..., (k >= a) & (k < b)].mean(-1) for a, b in pairwise(edges)], -1)


def test_radial_power_is_that_of_the_windows(kind):
    real = made(kind)[1]
    real = (real - real.mean()) / real.std()
    expected, found = rings(power_spectra(real)), rings(power_spectra(draws(kind)))
    ratio = found.mean(0) / expected.mean(0)
    error = (expected.var(0) / expected.mean(0) ** 2 / len(expected)).sqrt()
    error += (found.var(0) / found.mean(0) ** 2 / len(found)).sqrt()
    assert torch.all((ratio - 1).abs() < 0.02 + 3 * error), ratio


def test_the_spectrum_is_not_mirrored(kind):
    """Power at (ky, kx) and (-ky, kx) differ as they do in the windows: anisotropy is kept."""

    def handedness(x):
        power = power_spectra(x)[:, 1:, 1:-1]
        return (power - power.flip(1))[:, : SIDE // 2 - 1]

    real = made(kind)[1]
    expected = handedness((real - real.mean()) / real.std())
    found = handedness(draws(kind))
    error = (expected.var(0) / len(expected) + found.var(0) / len(found)).sqrt()
    assert ((found.mean(0) - expected.mean(0)) / error).square().mean() < 1.3
    if kind != "white":
        assert (expected.mean(0) / error).square().mean() > 5


def test_no_field_is_its_own_mirror_image(kind):
    fields = made(kind)[0].sample((8, 64, 64), stream(2, "mirror"))
    for mirrored in (fields.flip(1), fields.flip(2), fields.flip(1, 2)):
        match = torch.fft.irfft2(torch.fft.rfft2(fields) * torch.fft.rfft2(mirrored).conj())
        assert match.abs().max() < 0.5 * 64 * 64


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 33), (1, 97, 64), (3, 31, 130)])
def test_any_shape(kind, shape):
    fields = made(kind)[0].sample(shape, stream(3, "shape"))
    assert fields.shape == shape
    assert fields.dtype == torch.float32
    assert fields.device.type == "cpu"
    assert torch.isfinite(fields).all()
    assert fields.is_contiguous()


def test_a_large_field_has_no_period(kind):
    """Beyond the reach of the correlations the autocorrelation is nowhere above chance."""
    fields = made(kind)[0].sample((12, 240, 200), stream(4, "period"))
    power = torch.fft.rfft2(fields, s=(480, 400)).abs().square().sum(0)
    lags = torch.fft.irfft2(power, s=(480, 400))[:236, :196]
    pairs = (240 - torch.arange(236))[:, None] * (200 - torch.arange(196))
    score = lags / pairs.sqrt()  # equal variance at all lags
    far = torch.maximum(torch.arange(236)[:, None], torch.arange(196)) >= SIDE
    score = score[far] / score[far].std()
    # Half a million normal numbers reach 5; 6 leaves room for their being related.
    assert score.abs().max() < 6
    assert score.mean().abs() < 0.3


def test_opposite_edges_are_unrelated(kind):
    fields = made(kind)[0].sample((400, 64, 56), stream(15, "edges"))
    for one, other in ((fields[:, 0], fields[:, -1]), (fields[:, :, 0], fields[:, :, -1])):
        assert abs((one * other).mean()) < 0.06


def test_a_large_field_has_no_seam(kind):
    """No row or column of a field is special: not in variance, nor in the step to the next."""
    fields = made(kind)[0].sample((400, 48, 40), stream(5, "seam"))
    for dim in (1, 2):
        for values in (fields.square(), fields.diff(dim=dim).square()):
            lines = values.mean(3 - dim)
            spread = (lines - lines.mean(1, keepdim=True)).std(0) / math.sqrt(len(lines))
            score = (lines.mean(0) - lines.mean()) / spread
            assert score.abs().max() < 4.5
    # Within one field: variance does not depend on the distance to a fixed grid.
    field = made(kind)[0].sample((60, 192, 192), stream(6, "grid")).square()
    for period in (16, 24, 32):
        folded = field.reshape(60, 192 // period, period, -1).mean((1, 3))
        wave = torch.fft.rfft(folded)[:, 1].abs().square().mean()
        rough = torch.fft.rfft(folded)[:, 2:].abs().square().mean()
        assert wave < 6 * rough


def test_the_same_seed_draws_the_same(kind):
    sampler = made(kind)[0]
    first = sampler.sample((2, 40, 40), stream(7, "same"))
    assert torch.equal(first, sampler.sample((2, 40, 40), stream(7, "same")))
    assert not torch.equal(first, sampler.sample((2, 40, 40), stream(8, "same")))


def test_draws_are_independent(kind):
    """Neither the items of one draw nor two draws from one generator are related, at any shift."""
    generator = stream(9, "independent")
    sampler = made(kind)[0]
    one, two = (sampler.sample((40, 48, 48), generator) for _ in range(2))
    spectra = torch.fft.rfft2(torch.cat([one, two]))
    for first, second in ((spectra[:40], spectra[40:]), (spectra[:-1], spectra[1:])):
        match = torch.fft.irfft2(first * second.conj()).mean(0)
        score = match / match.std()
        assert score.abs().max() < 5.5


def test_a_file_gives_the_sampler_back(kind, tmp_path):
    sampler = made(kind)[0]
    path = tmp_path / "noise.safetensors"
    write_weights(path, *sampler.to_tensors())
    tensors, metadata = read_weights(path)
    assert metadata["kind"] == kind
    again = type(sampler).from_tensors(tensors, metadata)
    drawn = again.sample((2, 40, 50), stream(10, "file"))
    assert torch.equal(drawn, sampler.sample((2, 40, 50), stream(10, "file")))


# What tells the samplers apart.


def test_few_windows_do_not_speckle_the_spectrum():
    """40 windows know each coefficient to 16 %; the smooth spectrum is known better."""
    few = cut(torch.randn(40, 64, 64, generator=stream(16, "few")), 40, SIDE, stream(17, "few"))
    power = power_on_grid(fitted(ColouredNoise, few).covariance, (256, 256))
    assert power.log().square().mean().sqrt() < 0.06
    fields = fitted(ColouredNoise, windows()[:40]).sample((300, SIDE, SIDE), stream(18, "few"))
    expected = power_spectra((windows() - windows().mean()) / windows().std()).mean(0)
    found = power_spectra(fields).mean(0)
    # chance: 1/300 for the draws, 1/200 for the windows
    assert (found / expected).log().square().mean().sqrt() < 0.13


def test_the_order_of_the_windows_does_not_change_the_fit():
    """Micrographs that differ are told apart by their numbers, not by where their windows lie."""
    generator = stream(19, "two micrographs")
    phase = 2 * math.pi * torch.rand(60, 1, 1, generator=generator)
    line = torch.cos(2 * math.pi * 0.27 * torch.arange(SIDE) + phase).expand(-1, SIDE, -1)
    real = torch.randn(120, SIDE, SIDE, generator=generator)
    real[:60] += 0.2 * line
    groups = torch.arange(2).repeat_interleave(60)
    expected = ColouredNoise.fit(real, groups).covariance
    order = torch.randperm(120, generator=stream(20, "order"))
    found = ColouredNoise.fit(real[order], groups[order]).covariance
    assert torch.allclose(found, expected, atol=1e-6)
    # Had both halves windows of both, the line would seem to be everywhere.
    mixed = ColouredNoise.fit(real, torch.arange(120)).covariance
    assert (mixed - expected).abs().max() > 0.003


@pytest.mark.parametrize("counts", [(60, 60), (50, 40, 30), (7,) * 11, (2, 3), (100, 20, 20)])
def test_halves_share_no_micrograph(counts):
    groups = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    half = _halves(groups)
    assert not set(groups[half].tolist()) & set(groups[~half].tolist())
    assert len(groups) / 4 <= half.sum() <= len(groups) * 3 / 4


@pytest.mark.parametrize("counts", [(60,), (100, 3, 3)])
def test_where_one_micrograph_has_most_windows_it_is_halved(counts):
    groups = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    assert int(_halves(groups).sum()) == len(groups) // 2


def test_a_fixed_pattern_is_kept():
    """Stripes of 0.27 cycles per pixel with 9 % of the variance: most of their peak remains."""
    generator = stream(11, "stripes")
    phase = 2 * math.pi * torch.rand(COUNT, 1, 1, generator=generator)
    stripes = torch.cos(2 * math.pi * 0.27 * torch.arange(SIDE) + phase).expand(-1, SIDE, -1)
    real = torch.randn(COUNT, SIDE, SIDE, generator=generator) + 0.3 * math.sqrt(2) * stripes
    power = power_spectra((real - real.mean()) / real.std()).mean(0)
    peak = power.flatten().topk(4).indices
    for sampler in (fitted(ColouredNoise, real), fitted(BootstrapNoise, real)):
        fields = sampler.sample((200, SIDE, SIDE), stream(12, "stripes"))
        kept = power_spectra(fields).mean(0).flatten()[peak] / power.flatten()[peak]
        assert torch.all((kept > 0.6) & (kept < 1.5)), kept


def test_bootstrap_keeps_tails_and_local_variance_and_a_gaussian_does_not():
    generator = stream(13, "tails")
    level = torch.exp(0.5 * torch.randn(COUNT, 1, 1, generator=generator))
    real = level * torch.randn(COUNT, SIDE, SIDE, generator=generator)

    def kurtosis(x):
        return float((x**4).mean() / (x**2).mean() ** 2 - 3)

    drawn = {
        kind: fitted(sampler, real).sample((600, SIDE, SIDE), stream(14, "tails"))
        for kind, sampler in (("bootstrap", BootstrapNoise), ("coloured", ColouredNoise))
    }
    expected = kurtosis(real)
    assert expected > 3
    assert 0.6 * expected < kurtosis(drawn["bootstrap"]) < 1.2 * expected
    assert abs(kurtosis(drawn["coloured"])) < 0.2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(0, 32, 32), "at least 2"),
        (torch.randn(5, 32, 16), "squares"),
        (torch.randn(5, 4, 4), "8 px"),
        (torch.full((5, 32, 32), math.nan), "NaN"),
        (torch.ones(5, 32, 32), "equal"),
    ],
)
def test_bad_windows_are_refused(bad, message):
    for sampler in (ColouredNoise, BootstrapNoise):
        with pytest.raises(InputError, match=message):
            fitted(sampler, bad)
