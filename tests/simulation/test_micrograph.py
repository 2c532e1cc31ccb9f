"""Whole micrographs: counting statistics, spectrum, SNR, independence, and what is truth."""

import math

import pytest
import torch

from nt2c.core.random import stream
from nt2c.imaging.ctf import Optics, ctf, interaction_rad_per_v_a
from nt2c.imaging.fourier import frequency_grid, radial_power
from nt2c.simulation import physics
from nt2c.simulation.bank import Species, procedural_bank
from nt2c.simulation.micrograph import simulate, specimen_field
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

PIXEL_A = 4.0
SHAPE = (160, 192)
# Nothing but particles, optics and counting; single values are ranges of no width.
PLAIN = {
    "defocus_um": (1.5, 1.5), "astigmatism_um": (0.0, 0.0), "amplitude_contrast": (0.1, 0.1),
    "b_factor_a2": (100.0, 100.0), "dose_e_per_a2": (40.0, 40.0),
    "ice_thickness_a": (400.0, 400.0), "ice_gain": (0.0, 0.0), "contrast_gain": (1.0, 1.0),
    "camera_pixel_size_a": (1.0, 1.0), "detectors": ("Falcon3EC",), "contamination": 0.0,
    "carbon": 0.0, "gradient": 0.0, "hot_pixels": 0.0,
}  # fmt: skip


def blob_species(box=24, sigma_px=3.0, name="blob", diameter_a=80.0, lopsided=0.0):
    axis = torch.arange(box) - box // 2
    spot = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma_px**2))
    side = torch.exp(-((axis[:, None] - 4) ** 2 + (axis + 2) ** 2) / 4.0)
    return Species(300 * (spot + lopsided * side)[None], diameter_a, name)


@pytest.fixture(scope="module")
def bank():
    return [blob_species()]


def settings_for(empty=False, coverage=(0.2, 0.2), shape=SHAPE, **imaging):
    return SimulationSettings(
        pixel_size_a=PIXEL_A,
        shape=shape,
        specimen=SpecimenSettings(coverage=coverage, empty=float(empty), species_per_field=1),
        imaging=ImagingSettings(**(PLAIN | imaging)),
    )


def run(bank, settings, batch=2, seed=1):
    return simulate(bank, settings, batch, stream(seed, "placement"), stream(seed, "noise"))


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def mean_count(dose=40.0, ice_a=400.0):
    return dose * PIXEL_A**2 * math.exp(-ice_a / physics.INELASTIC_MEAN_FREE_PATH_A)


def test_counts_have_the_mean_and_variance_of_poisson(bank):
    out = run(bank, settings_for(empty=True), batch=4)
    pixels = out.noisy.numel()
    k = frequency_grid(SHAPE, PIXEL_A)
    colour = physics.detector_mtf("Falcon3EC", k, 1.0) ** 2 / physics.detector_dqe(
        "Falcon3EC", k, 1.0
    )
    inner = torch.ones_like(k) * 2
    inner[:, 0] = inner[:, -1] = 1
    colour = float((colour * inner).sum() / inner.sum())
    for image, mean in ((out.noisy, mean_count()), (out.even, mean_count() / 2)):
        # Coloured counts: mean as Poisson; variance times the mean of MTF^2 / DQE.
        assert float(image.mean()) == pytest.approx(mean, abs=5 * math.sqrt(1.3 * mean / pixels))
        assert float(image.var()) == pytest.approx(mean * colour, rel=5 * math.sqrt(2 / pixels))


def expected_power(frequency, ice_gain):
    """Power spectral density of an empty micrograph, counts^2 A^2."""
    mean = mean_count()
    mtf = physics.detector_mtf("Falcon3EC", frequency, 1.0)
    dqe = physics.detector_dqe("Falcon3EC", frequency, 1.0)
    shot = mean * PIXEL_A**2 * mtf**2 / dqe
    optics = Optics(1.5, b_factor_a2=100.0, energy_spread_ev=0.9, semi_angle_mrad=0.03)
    # The CTF along one axis, at the frequencies of a long row.
    row = ctf((2, 8192), PIXEL_A, optics)[0]
    transfer = row[(frequency * 8192 * PIXEL_A).round().long()]
    ice = physics.ice_power(frequency, torch.tensor(400.0), torch.tensor(40.0))
    phase = 2 * interaction_rad_per_v_a(300.0) * transfer * mean * mtf * ice_gain
    return shot + phase**2 * ice


@pytest.mark.parametrize("ice_gain", [0.0, 4.0])
def test_noise_spectrum_is_that_of_the_formula(bank, ice_gain):
    settings = settings_for(empty=True, ice_gain=(ice_gain, ice_gain), shape=(192, 192))
    out = run(bank, settings, batch=10)
    # A window, since the field is cut from a wider one: without it power leaks into the zeros.
    hann = torch.hann_window(192)
    window = hann[:, None] * hann
    windowed = (out.noisy - out.noisy.mean()) * window / window.square().mean().sqrt()
    frequency, power = radial_power(windowed, PIXEL_A, 24)
    # Average the formula over each shell. There are 120 independent modes in shell 2 of each of
    # 10 fields, of which the window leaves a quarter: 0.15 is 3 standard errors there.
    fine = torch.linspace(-0.5, 0.5, 21) * float(frequency[1] - frequency[0])
    expected = torch.stack([expected_power(f + fine, ice_gain).mean() for f in frequency])
    ratio = power.mean(dim=0) / expected
    assert float((ratio[2:] - 1).abs().max()) < 0.15
    if ice_gain:
        assert float(expected.max() / expected_power(frequency, 0.0).max()) > 1.2  # it matters


@pytest.mark.parametrize("snr", [0.02, 0.1, 1.0])
def test_snr_is_as_asked(bank, snr):
    settings = settings_for(snr=snr, ice_gain=(1.0, 1.0), coverage=(0.3, 0.3), shape=(256, 256))
    out = run(bank, settings, batch=4, seed=3)
    inside = torch.zeros(out.clean.shape, dtype=torch.bool)
    for image, centres in zip(inside, out.coordinates_px, strict=True):
        y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
        for cy, cx in centres.tolist():
            image |= torch.hypot(y - cy, x - cx) < 3.0 * math.sqrt(2 * math.log(10))
    noise = out.noisy - out.clean
    for clean, left, mask in zip(out.clean, noise, inside, strict=True):
        got = float(clean[mask].var() / left[mask].var())
        # A few dozen particles, some cut by the border: the mask here is of this field alone.
        assert got == pytest.approx(snr, rel=0.2)


def test_noisy_is_clean_plus_mean_plus_noise(bank):
    settings = settings_for(snr=1.0, coverage=(0.3, 0.3), shape=(256, 256))
    out = run(bank, settings, batch=2, seed=4)
    for image, share in ((out.noisy, 1.0), (out.even, 0.5), (out.odd, 0.5)):
        clean = out.clean - out.clean.mean()
        slope = float((image * clean).sum() / clean.square().sum())
        error = float(image.std() / clean.std()) / math.sqrt(image.numel() / 10)
        assert slope == pytest.approx(share, abs=4 * error + 0.01)
    assert torch.allclose(out.even + out.odd, out.noisy)
    assert float(out.noisy.mean()) == pytest.approx(
        mean_count() + float(out.clean.mean()), rel=2e-3
    )


def test_halves_are_independent_given_the_specimen(bank):
    out = run(bank, settings_for(ice_gain=(0.0, 0.0)), batch=3, seed=5)
    for even, odd, clean in zip(out.even, out.odd, out.clean, strict=True):
        # The noise is coloured (Falcon 3 at 4 A per pixel: nearly flat), so n is close to pixels.
        limit = 5 / math.sqrt(even.numel())
        assert abs(correlation(even - clean / 2, odd - clean / 2)) < limit
    empty = run(bank, settings_for(empty=True), batch=1, seed=6)
    assert abs(correlation(empty.even, empty.odd)) < 5 / math.sqrt(SHAPE[0] * SHAPE[1])


def test_ice_is_common_to_the_halves(bank):
    settings = settings_for(empty=True, ice_gain=(6.0, 6.0))
    out = run(bank, settings, batch=1, seed=7)
    assert correlation(out.even, out.odd) > 0.05


def test_fields_of_a_batch_are_independent(bank):
    out = run(bank, settings_for(empty=True, ice_gain=(1.0, 1.0)), batch=3, seed=8)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(correlation(out.noisy[a], out.noisy[b])) < 6 / math.sqrt(SHAPE[0] * SHAPE[1])


@pytest.mark.parametrize("flip", [(0,), (1,), (0, 1)])
def test_noise_is_not_its_own_mirror_image(bank, flip):
    out = run(bank, settings_for(empty=True, ice_gain=(3.0, 3.0)), batch=1, seed=9)
    image = out.noisy[0]
    limit = 6 / math.sqrt(image.numel() / 2)
    assert abs(correlation(image, image.flip(flip))) < limit


def test_same_seed_same_image_other_seed_other_image(bank):
    settings = settings_for(
        ice_gain=(1.0, 1.0), contamination=0.5, carbon=0.5, gradient=0.05, hot_pixels=1e-4
    )
    one, same, other = (run(bank, settings, seed=seed) for seed in (1, 1, 2))
    for name in ("noisy", "clean", "even", "odd"):
        assert torch.equal(getattr(one, name), getattr(same, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))
    assert one.parameters == same.parameters
    assert all(map(torch.equal, one.coordinates_px, same.coordinates_px))
    assert one.parameters != other.parameters


def test_clean_holds_only_particles(bank):
    surroundings = {
        "contamination": 1.0, "carbon": 1.0, "gradient": 0.1, "ice_gain": (2.0, 2.0),
        "hot_pixels": 1e-3,
    }  # fmt: skip
    out = run(bank, settings_for(empty=True, **surroundings), batch=3)
    assert float(out.clean.abs().max()) == 0
    assert float(out.noisy.std()) > 0
    assert all(len(centres) == 0 for centres in out.coordinates_px)
    assert all(drawn.particles == 0 for drawn in out.parameters)


def test_rough_layer_is_noise_that_both_halves_share(bank):
    plain = run(bank, settings_for(empty=True))
    rough = run(bank, settings_for(empty=True, texture=1.0, texture_power=(1e6, 2e6)))
    assert torch.equal(plain.clean, rough.clean)
    for batch in (plain, rough):
        assert batch.surroundings.std() < 1e-3 * batch.surroundings.mean()
    for even, odd in zip(rough.even, rough.odd, strict=True):
        assert correlation(even, odd) > 0.1
    assert float(rough.noisy.std()) > 1.05 * float(plain.noisy.std())


def test_ice_and_counting_do_not_reach_clean(bank):
    quiet = run(bank, settings_for(), batch=1, seed=11)
    noisy = run(bank, settings_for(ice_gain=(3.0, 3.0)), batch=1, seed=11)
    assert torch.equal(quiet.clean, noisy.clean)
    assert not torch.equal(quiet.noisy, noisy.noisy)


def test_particles_are_dark_where_the_coordinates_say(bank):
    out = run(bank, settings_for(coverage=(0.1, 0.1)), batch=2, seed=12)
    for clean, centres in zip(out.clean, out.coordinates_px, strict=True):
        assert len(centres) > 3
        at = clean[centres[:, 0].long(), centres[:, 1].long()]
        assert float(at.mean()) < clean.mean() - 3 * clean.std()
        assert bool((at < clean.mean() - clean.std()).all())


def test_without_counting_noise_the_micrograph_is_the_clean_one(bank):
    # At 3e5 counts per pixel; the damage of such a dose is made up for by the gain.
    settings = settings_for(
        dose_e_per_a2=(2e4, 2e4), contrast_gain=(50.0, 50.0), coverage=(0.3, 0.3)
    )
    out = run(bank, settings, batch=1, seed=13)
    assert correlation(out.noisy, out.clean) > 0.98


def test_contrast_is_proportional_to_the_gain(bank):
    one = run(bank, settings_for(), batch=1, seed=14)
    two = run(bank, settings_for(contrast_gain=(2.0, 2.0)), batch=1, seed=14)
    assert torch.allclose(two.clean, 2 * one.clean, atol=1e-3 * float(one.clean.abs().max()))


# The field of projected potential before the microscope


@pytest.mark.parametrize("seed", range(6))
def test_specimen_field_is_the_sum_of_its_particles(seed):
    box = blob_species()
    settings = SpecimenSettings(coverage=(0.25, 0.25), empty=0.0, species_per_field=1)
    field, centres, names = specimen_field(
        [box], SHAPE, PIXEL_A, settings, stream(seed, "placement")
    )
    assert names == ["blob"]
    expected = torch.zeros(SHAPE)
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij")
    for cy, cx in centres.tolist():
        dy, dx = y - cy, x - cx
        spot = 300 * torch.exp(-(dy**2 + dx**2) / (2 * 3.0**2))
        # Pasted from a box of 24 pixels, turned by quarters about its pixel 12.
        expected += spot * (dy.abs() <= 11) * (dx.abs() <= 11)
    assert float((field - expected).abs().max()) < 2 * 300 * math.exp(-(12**2) / 18)


def test_views_are_turned_by_quarters():
    settings = SpecimenSettings(coverage=(0.05, 0.05), empty=0.0, species_per_field=1)
    offsets = set()
    for seed in range(12):
        field, centres, _ = specimen_field(
            [blob_species(sigma_px=0.5, lopsided=0.5)], SHAPE, PIXEL_A, settings,
            stream(seed, "placement"),
        )  # fmt: skip
        for cy, cx in centres.long().tolist():
            for dy, dx in ((4, -2), (2, 4), (-4, 2), (-2, -4)):
                j, i = cy + dy, cx + dx
                if 0 <= j < SHAPE[0] and 0 <= i < SHAPE[1] and float(field[j, i]) > 140:
                    offsets.add((dy, dx))
    assert offsets == {(4, -2), (2, 4), (-4, 2), (-2, -4)}


def test_mixtures_and_empty_fields():
    many = [blob_species(name=f"s{i}", diameter_a=40.0 + 10 * i) for i in range(6)]
    settings = SpecimenSettings(coverage=(0.3, 0.3), empty=0.5, species_per_field=3)
    found = [
        specimen_field(many, SHAPE, PIXEL_A, settings, stream(seed, "placement"))
        for seed in range(60)
    ]
    empty = sum(len(centres) == 0 for _, centres, _ in found)
    assert 15 <= empty <= 45  # 30 +- 4 standard deviations of a coin
    assert {len(names) for _, _, names in found} == {0, 1, 2, 3}
    assert all(float(field.abs().max()) == 0 for field, centres, _ in found if not len(centres))


def test_procedural_bank():
    bank = procedural_bank(3, 8.0, 4, (70.0, 120.0), stream(0, "bank"))
    same = procedural_bank(3, 8.0, 4, (70.0, 120.0), stream(0, "bank"))
    for one, other in zip(bank, same, strict=True):
        assert torch.equal(one.projections, other.projections)
        assert 60 < one.diameter_a < 130
        assert one.projections.shape[0] == 4
        assert one.projections.shape[1] % 2 == 0
        assert torch.isfinite(one.projections).all()
        total = one.projections.sum(dim=(1, 2))
        assert torch.allclose(total, total.mean().expand(4), rtol=0.05)  # one particle, all views
    assert len({species.name for species in bank}) == 3
