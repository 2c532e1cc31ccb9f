"""Transfer functions of dose, ice and detector against their formulas."""

import math

import numpy as np
import pytest
import torch

from nt2c.imaging.fourier import frequency_grid, radial_power
from nt2c.simulation import physics, surroundings

SHAPE, PIXEL_A = (192, 160), 3.0


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("detector", physics.DETECTORS)
def test_detector_curves(detector):
    dqe, mtf = physics.DETECTORS[detector]
    k = torch.tensor([0.0, 0.25, 0.375, 0.5, 1.0, 3.0]) * 0.5 / 1.1
    got = physics.detector_dqe(detector, k, 1.1)
    expected = [dqe[0], dqe[1], (dqe[1] + dqe[2]) / 2, dqe[2], dqe[4], dqe[4]]
    assert torch.allclose(got, torch.tensor(expected), atol=1e-4)
    assert torch.allclose(physics.detector_mtf(detector, k, 1.1)[3], torch.tensor(mtf[2]))
    assert mtf[0] == 1.0  # the mean is not changed


@pytest.mark.parametrize("voltage_kv", [200.0, 300.0])
def test_dose_envelope_is_the_mean_over_the_exposure(voltage_kv):
    k, dose = 0.2, 50.0
    critical = (0.24499 * k**-1.6649 + 2.8141) * (0.8 if voltage_kv == 200 else 1)
    exposures = (np.arange(20000) + 0.5) / 20000 * dose
    expected = np.exp(-exposures / (2 * critical)).mean()
    got = physics.dose_envelope(torch.tensor(k), torch.tensor(dose), voltage_kv)
    assert float(got) == pytest.approx(expected, rel=1e-4)
    at_zero = physics.dose_envelope(torch.tensor(0.0), torch.tensor(dose), voltage_kv)
    assert float(at_zero) == pytest.approx(1, abs=1e-3)


def test_ice_power_without_exposure_is_molecules_times_structure():
    k = torch.tensor([0.0, 0.1, 1 / 2.88])
    structure = [
        0.199 * math.exp(-0.5 * (q / 0.731) ** 2)
        + 0.801 * math.exp(-0.5 * ((q - 1 / 2.88) / 0.081) ** 2)
        for q in k.tolist()
    ]
    scale = physics.WATER_PER_A3 * 500 * physics.WATER_POTENTIAL_V_A3**2
    got = physics.ice_power(k, torch.tensor(500.0), torch.tensor(1e-6))
    assert torch.allclose(got / scale, torch.tensor(structure), rtol=1e-3)


def test_ice_is_smeared_by_the_motion_of_its_molecules():
    # Random walks of variance 0.55 A^2 per axis and e/A^2, seen at one frequency along x.
    k, dose, steps, walkers = 0.12, 30.0, 200, 4000
    jumps = torch.randn((walkers, steps), generator=stream()) * math.sqrt(
        physics.ICE_MOTION_A2_PER_DOSE / 2 * dose / steps
    )
    phase = torch.exp(2j * torch.pi * k * jumps.cumsum(dim=1))
    expected = float(phase.mean(dim=1).abs().square().mean())
    still, moved = (
        physics.ice_power(torch.tensor(k), torch.tensor(500.0), torch.tensor(d))
        for d in (1e-6, dose)
    )
    assert float(moved / still) == pytest.approx(expected, rel=0.05)


def test_gaussian_field_has_the_spectrum_asked():
    k = frequency_grid(SHAPE, PIXEL_A)
    power = 5 * torch.exp(-0.5 * (k / 0.05) ** 2) + 0.5
    fields = physics.gaussian_field(power.expand(24, -1, -1), SHAPE, PIXEL_A, stream(1))
    frequency, got = radial_power(fields, PIXEL_A, 16)
    expected = 5 * torch.exp(-0.5 * (frequency / 0.05) ** 2) + 0.5
    # Every shell but the first holds over 120 independent modes in each of 24 fields: 2 %.
    assert float((got.mean(0) / expected - 1)[1:].abs().max()) < 0.08
    values = fields.flatten()
    skew = float((values**3).mean() / values.std() ** 3)
    kurtosis = float((values**4).mean() / values.var() ** 2)
    assert abs(skew) < 0.05
    assert kurtosis == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("flip", [(-1,), (-2,), (-2, -1)])
def test_gaussian_field_is_not_its_own_mirror_image(flip):
    power = torch.ones(8, SHAPE[0], SHAPE[1] // 2 + 1)
    fields = physics.gaussian_field(power, SHAPE, PIXEL_A, stream(2))
    mirrored = fields.flip(flip)
    limit = 4 / math.sqrt(SHAPE[0] * SHAPE[1] / 2)  # pairs are counted twice
    for shift in (0, 1):
        moved = mirrored.roll(shift, (-1,)).roll(shift, (-2,))
        for one, other in zip(fields, moved, strict=True):
            both = torch.stack([one.flatten(), other.flatten()])
            assert abs(float(torch.corrcoef(both)[0, 1])) < limit


def test_gaussian_fields_of_a_batch_are_independent():
    power = torch.ones(6, SHAPE[0], SHAPE[1] // 2 + 1)
    fields = physics.gaussian_field(power, SHAPE, PIXEL_A, stream(3)).flatten(1)
    correlation = torch.corrcoef(fields) - torch.eye(6)
    assert float(correlation.abs().max()) < 4 / math.sqrt(SHAPE[0] * SHAPE[1])


# What surrounds the particles


def test_contamination_is_thickness():
    none = surroundings.contamination((64, 64), 4.0, 0, stream())
    assert float(none.abs().max()) == 0
    some = surroundings.contamination((256, 256), 6.0, 3, stream(1))
    assert float(some.min()) >= 0
    assert 100 < float(some.max()) < 4500


def test_carbon_edge_is_a_mask_with_both_sides():
    both = 0
    for seed in range(20):
        mask = surroundings.carbon_edge((128, 96), 6.0, stream(seed))
        assert float(mask.min()) >= 0
        assert float(mask.max()) <= 1
        both += int(0.02 < float(mask.mean()) < 0.98)
    assert both > 15


def test_illumination_is_slow_and_around_one():
    light = torch.stack([surroundings.illumination((64, 64), 0.05, stream(s)) for s in range(50)])
    assert float(light.mean()) == pytest.approx(1, abs=0.03)
    assert 0.02 < float(light.std()) < 0.12
    assert float((light[:, 1:] - light[:, :-1]).abs().max()) < 0.02
    assert torch.equal(surroundings.illumination((9, 9), 0.0, stream()), torch.ones(9, 9))


def test_hot_pixels_are_as_rare_as_asked():
    counts = 50 + 7 * torch.randn((500, 400), generator=stream(4))
    spoiled = surroundings.hot_pixels(counts, 1e-3, stream(5))
    changed = int((spoiled != counts).sum())
    assert abs(changed - 200) < 5 * math.sqrt(200)
    assert int((spoiled > 50 + 60).sum()) == pytest.approx(100, abs=50)
    assert int((spoiled == 0).sum()) == pytest.approx(100, abs=50)
    assert torch.equal(surroundings.hot_pixels(counts, 0.0, stream(6)), counts)


@pytest.mark.parametrize("exponent", [1.5, 3.0, 4.0])
def test_rough_layer_has_the_level_and_the_decay_asked(exponent):
    k = torch.tensor([1e-9, 1e-8, 1 / physics.TEXTURE_REFERENCE_A, 10.0, 20.0], dtype=torch.float64)
    power = physics.texture_power(k, *map(torch.tensor, (3e4, 50.0, exponent)))
    assert power[0].item() == pytest.approx(power[1].item())
    assert power[2].item() == pytest.approx(3e4)
    assert (power[3] / power[4]).item() == pytest.approx(2**exponent, rel=1e-4)
