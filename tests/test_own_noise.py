"""Noise of each micrograph: its own strength and spectrum as far as its windows carry them."""

import pytest
import torch

from nt2c.core.random import stream
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.io.weights import read_model_file, write_weights
from nt2c.noise.own import OwnNoise, between_and_within
from nt2c.noise.spectra import power_on_grid

SIDE, EACH = 24, 40


def windows(powers, tilts, each=EACH, seed=0):
    """Windows of micrographs whose noise has a power and a share of slow waves each."""
    random = stream(seed, "own noise")
    k = frequency_grid((256, 256), 1.0)
    found = []
    for power, tilt in zip(powers, tilts, strict=True):
        field = torch.randn(1, 256, 256, generator=random)
        gain = (power * (1 + tilt * torch.exp(-((k / 0.12) ** 2)))).sqrt()
        field = apply_filter(field, gain)[0]
        squares = field.unfold(0, SIDE, SIDE).unfold(1, SIDE, SIDE).reshape(-1, SIDE, SIDE)
        found.append(squares[torch.randperm(len(squares), generator=random)[:each]])
    return torch.cat(found), torch.arange(len(powers)).repeat_interleave(each)


def test_micrographs_that_differ_have_noise_of_their_own():
    powers, tilts = [0.8, 0.9, 1.0, 1.1, 1.2, 1.3], [0.0, 0.3, 0.6, 0.9, 1.2, 1.5]
    own = OwnNoise.fit(*windows(powers, tilts))
    assert own.spread > 0.1
    k = frequency_grid((64, 64), 1.0)
    for number, (power, tilt) in enumerate(zip(powers, tilts, strict=True)):
        sampler, sd = own.of(number)
        found = sd**2 * power_on_grid(sampler.covariance, (64, 64))
        for low, high in ((0.05, 0.1), (0.2, 0.35)):
            ring = (k > low) & (k < high)
            true = (power * (1 + tilt * torch.exp(-((k / 0.12) ** 2))))[ring].mean()
            # 40 windows: some 150 coefficients of the slow ring, as the taper sees them
            assert float(found[ring].mean() / true) == pytest.approx(1, abs=0.25)
        field = sampler.sample((2, 256, 256), stream(1, "draw"))
        assert float(field.var()) == pytest.approx(1, rel=0.05)
        assert own.unknown(number) < 0.05


def test_micrographs_with_the_same_noise_share_it():
    own = OwnNoise.fit(*windows([1.0] * 8, [0.5] * 8))
    assert own.spread < 0.03
    assert float(own.log_gain.abs().mean()) < 0.03
    sds = torch.tensor([own.of(number)[1] for number in range(8)])
    assert float((sds / own.sd - 1).abs().max()) < 0.02


def test_what_few_windows_cannot_tell_is_unknown():
    powers = [0.6, 0.8, 1.0, 1.2, 1.4, 1.6]
    values, groups = windows(powers, [0.5] * 6)
    few = torch.cat([torch.arange(EACH * 5), torch.tensor([EACH * 5])])  # one of the last
    own = OwnNoise.fit(values[few], groups[few])
    assert own.unknown(5) > 2 * own.unknown(0)
    assert own.unknown(77) == own.spread > own.unknown(5)
    assert own.of(77)[1] == own.sd


def test_it_is_kept_whole(tmp_path):
    own = OwnNoise.fit(*windows([0.8, 1.0, 1.2], [0.0, 0.5, 1.0]))
    write_weights(tmp_path / "own.safetensors", *own.to_tensors())
    again = OwnNoise.from_tensors(*read_model_file(tmp_path / "own.safetensors"))
    for number in (0, 2, 9):
        assert again.unknown(number) == own.unknown(number)
        assert again.of(number)[1] == own.of(number)[1]
        assert torch.equal(again.of(number)[0].covariance, own.of(number)[0].covariance)


def test_variances_between_and_within_groups():
    random = stream(2, "groups")
    groups = torch.arange(4000) // 10
    means = 0.5 * torch.randn(400, 1, generator=random).double()
    values = means[groups] + torch.randn(4000, 1, generator=random).double()
    between, within = between_and_within(values, groups)
    assert float(between) == pytest.approx(0.25, abs=0.08)
    assert float(within) == pytest.approx(1, abs=0.1)
    for apart in (torch.arange(4000), 0 * groups):
        assert float(between_and_within(values, apart)[0]) == 0
