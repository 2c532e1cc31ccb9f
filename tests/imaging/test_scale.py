"""Grey scale of a micrograph: invertible, in units of the noise, unmoved by what is not noise."""

import pytest
import torch

from nt2c.imaging.fourier import gaussian_lowpass, resize
from nt2c.imaging.scale import BACKGROUND_SIGMA_A, OUTLIER_SIGMA, clip_outliers, fit_scaling

PIXEL_A = 4.0
SHAPE = (256, 256)


def white(seed=0, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def particles(shape=SHAPE, depth=0.6, sigma_px=6.0):
    """Dark discs on a lattice, no finer than proteins are at 4 A per pixel."""
    spots = torch.zeros(shape)
    spots[16::40, 16::40] = -1
    field = gaussian_lowpass(spots, sigma_px)
    return depth * field / field.abs().max()


def test_round_trip():
    image = 500 + 20 * white(1)
    scaling = fit_scaling(image, PIXEL_A)
    back = scaling.invert(scaling.apply(image), background=True)
    assert (back - image).abs().max() < 1e-3  # float32 at 500
    flat = scaling.invert(scaling.apply(image), background=False)
    assert torch.allclose(flat - scaling.offset, image - scaling.background, atol=1e-3)
    assert float(flat.mean()) == pytest.approx(500, abs=0.5)


def test_unit_is_the_noise():
    image = 500 + 20 * white(2)
    # The median of m exponential values has relative error 1 / (ln 2 sqrt(m)), half that for the
    # root; the band holds more than 10000 modes: 1 %.
    assert float(fit_scaling(image, PIXEL_A).sigma) == pytest.approx(20, rel=0.04)


def test_particles_do_not_count_as_noise():
    image = 500 + 20 * (white(3) + particles())
    assert float(fit_scaling(image, PIXEL_A).sigma) == pytest.approx(20, rel=0.05)


def test_scaling_follows_gain_and_offset():
    image = white(4) + particles()
    one = fit_scaling(image, PIXEL_A)
    other = fit_scaling(-3 * image + 70, PIXEL_A)
    assert float(other.sigma / one.sigma) == pytest.approx(3, rel=1e-4)
    assert torch.allclose(other.apply(-3 * image + 70), -one.apply(image), atol=1e-3)


def test_slow_background_is_taken_away_and_particles_are_not():
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (512, 512)), indexing="ij")
    slow = 3 * x + 2 * y * x
    image = white(5, (512, 512)) + particles((512, 512)) + slow
    scaled = fit_scaling(image, PIXEL_A).apply(image)
    coarse = gaussian_lowpass(scaled, 30.0)[64:-64, 64:-64]
    assert float(coarse.std()) < 0.1 * float(slow.std())
    truth = particles((512, 512))
    both = torch.stack([scaled.flatten(), truth.flatten()])
    # The share of the particles in the image stays: corr = s / sqrt(s^2 + 1).
    s = float(truth.std())
    assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(s / (s**2 + 1) ** 0.5, abs=0.03)


def test_hot_pixels_do_not_move_the_scale():
    image = 500 + 20 * white(6)
    hot = image.clone()
    generator = torch.Generator().manual_seed(7)
    where = torch.randint(0, hot.numel(), (60,), generator=generator)
    hot.view(-1)[where[:40]] = 1e5
    hot.view(-1)[where[40:]] = -1e5
    clipped = clip_outliers(hot)
    limit = OUTLIER_SIGMA * 20 * 1.1
    assert float((clipped - 500).abs().max()) < limit
    untouched = torch.ones(hot.numel(), dtype=torch.bool)
    untouched[where] = False
    assert torch.equal(clipped.view(-1)[untouched], image.view(-1)[untouched])
    before, after = fit_scaling(image, PIXEL_A), fit_scaling(clipped, PIXEL_A)
    assert float(after.sigma / before.sigma) == pytest.approx(1, abs=0.06)
    assert float((after.background - before.background).abs().max()) < 2


def test_clipping_keeps_clean_data_as_it_is():
    image = 500 + 20 * white(8) - 60 * (particles() < -0.3)
    assert torch.equal(clip_outliers(image), image)
    counts = torch.poisson(torch.full(SHAPE, 0.9), generator=torch.Generator().manual_seed(9))
    assert torch.equal(clip_outliers(counts), counts)  # few grey values: counting data


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_carbon_does_not_wreck_the_scale(share):
    image = white(10)
    edge = int(share * SHAPE[1])
    image[:, :edge] = image[:, :edge] * 1.1 - 8  # thick, so darker by 8 sigma of the noise
    clipped = clip_outliers(image)
    scaling = fit_scaling(clipped, PIXEL_A)
    assert float(scaling.sigma) == pytest.approx(1, rel=0.12)
    scaled = scaling.apply(clipped)
    ice = scaled[:, edge + int(3 * BACKGROUND_SIGMA_A / PIXEL_A) :]
    if ice.numel():
        assert float(ice.std()) == pytest.approx(1, rel=0.12)
        assert abs(float(ice.mean())) < 0.1


def test_contamination_does_not_wreck_the_scale():
    y, x = torch.meshgrid(torch.arange(SHAPE[0]), torch.arange(SHAPE[1]), indexing="ij")
    image = white(11) - 15.0 * (torch.hypot(y - 60.0, x - 200.0) < 25)
    assert float(fit_scaling(clip_outliers(image), PIXEL_A).sigma) == pytest.approx(1, rel=0.1)


def test_an_image_without_fine_noise_has_a_unit():
    image = resize(white(12, (128, 128)), SHAPE)  # 8 A per pixel shown at 4 A
    held = float(fit_scaling(image, PIXEL_A).sigma)
    # Nothing is finer than 16 A: the least share of the mean power counts.
    assert held == pytest.approx(0.05**0.5 * float(image.std()), rel=0.25)


def test_batches_are_scaled_one_by_one():
    batch = torch.stack([white(13), 5 * white(14) + 30])
    scaling = fit_scaling(batch, PIXEL_A)
    assert scaling.sigma.shape == (2, 1, 1)
    for i in range(2):
        alone = fit_scaling(batch[i], PIXEL_A)
        assert torch.allclose(scaling.sigma[i], alone.sigma, rtol=1e-5)
        assert torch.allclose(scaling.background[i], alone.background, atol=1e-4)
    assert torch.equal(clip_outliers(batch)[1], clip_outliers(batch[1]))


def uneven(shape=SHAPE):
    """Strength of noise that varies by a factor of 2 over 1000 A, with unit mean square."""
    x = torch.arange(shape[1]) * PIXEL_A
    strength = torch.exp(0.35 * torch.sin(2 * torch.pi * x / 1000)).expand(shape)
    return strength / strength.square().mean().sqrt()


def test_uneven_noise_is_even_in_its_own_units():
    image = 500 + 20 * uneven() * white(15)
    scaling = fit_scaling(image, PIXEL_A)
    assert float(scaling.sigma) == pytest.approx(20, rel=0.05)
    error = (scaling.strength / uneven()).log()
    assert float(error.std()) < 0.05
    local = gaussian_lowpass(scaling.apply(image).square(), 20.0).sqrt()
    assert float(local.log().std()) < 0.3 * float(uneven().log().std())
    back = scaling.invert(scaling.apply(image), background=True)
    assert (back - image).abs().max() < 1e-3


def test_the_number_of_threads_changes_nothing():
    image = 500 + 20 * uneven((512, 512)) * white(18, (512, 512))
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(fit_scaling(image, PIXEL_A))
    finally:
        torch.set_num_threads(threads)
    one, two = found
    assert torch.equal(one.offset, two.offset)
    assert torch.equal(one.unit, two.unit)


def test_even_noise_and_particles_leave_one_unit_for_all():
    for image in (white(16), 500 + 20 * (white(17) + particles())):
        assert torch.equal(fit_scaling(image, PIXEL_A).strength, torch.ones(SHAPE))


def test_an_image_without_noise_has_sigma_zero():
    assert float(fit_scaling(torch.full(SHAPE, 7.0), PIXEL_A).sigma) == pytest.approx(0, abs=1e-4)
