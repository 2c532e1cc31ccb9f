"""Spectrum of the noise: the true one, also under particles; white when divided by it."""

import pytest
import torch

from nt2c.core.random import stream
from nt2c.imaging.noise_spectrum import CONDITION, WINDOW_PX, measure_noise
from nt2c.imaging.scale import slow_background
from nt2c.simulation.micrograph import simulate
from tests.simulation.test_micrograph import blob_species, settings_for

SIDE = 384
EDGES = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 24.0, 28.0, 32.5)
"""Of the rings, in cycles per window."""
RINGS = len(EDGES) - 1
LEVELS = RINGS + 10  # of the condition: the others are differences


def frequencies(side=SIDE):
    """Frequencies in cycles per pixel on the half plane."""
    return torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])


POWERS = {
    "white": lambda k: torch.ones_like(k),
    "pink": lambda k: (k.clamp(min=1 / 128) / 0.25) ** -1.0,
    "ringed": lambda k: 1 + 4 * torch.exp(-0.5 * ((k - 0.12) / 0.04) ** 2) + torch.cos(20 * k) / 2,
}


def coloured(power, seed=0, side=SIDE):
    white = torch.randn(side, side, generator=torch.Generator().manual_seed(seed))
    image = torch.fft.irfft2(torch.fft.rfft2(white) * power.sqrt(), s=(side, side))
    return image - image.mean()


def in_rings(power):
    """Mean of a half plane in each ring."""
    k = frequencies() * WINDOW_PX
    weight = torch.full_like(k, 2.0)
    weight[:, [0, -1]] = 1
    inside = [(k >= a) & (k < b) for a, b in zip(EDGES[:-1], EDGES[1:], strict=True)]
    return torch.stack([(power * weight)[i].sum() / weight[i].sum() for i in inside])


def rings_of(image):
    return measure_noise(image[None]).rings[0]


@pytest.mark.parametrize("name", POWERS)
def test_spectrum_is_the_true_one_and_whitening_makes_it_flat(name):
    power = POWERS[name](frequencies())
    image = coloured(power)
    ratio = rings_of(image) / in_rings(power)
    # The window blurs the slowest ring of a steep spectrum.
    torch.testing.assert_close(ratio[1:], torch.ones(RINGS - 1), atol=0.2, rtol=0)
    noise = measure_noise(image[None])
    white = noise.whiten(image[None])
    assert float(white.var()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(rings_of(white[0])[1:], torch.ones(RINGS - 1), atol=0.2, rtol=0)


@pytest.mark.parametrize(("coverage", "slow"), [(0.1, 0.2), (0.3, 0.35)])
def test_particles_do_not_hide_the_noise(coverage, slow):
    settings = settings_for(
        snr=0.05, ice_gain=(1.0, 1.0), coverage=(coverage, coverage), shape=(SIDE, SIDE)
    )
    batch = simulate(
        [blob_species(lopsided=1.0)], settings, 1, stream(1, "placement"), stream(1, "noise")
    )
    noise = batch.noisy - batch.clean - batch.surroundings
    image = batch.noisy - slow_background(batch.noisy, settings.pixel_size_a)
    ratio = rings_of(image[0] / noise.std()) / rings_of(noise[0] / noise.std())
    # Where each window holds particles, their slow part cannot be told from noise.
    assert float((ratio[:6] - 1).abs().max()) < slow
    assert float((ratio[6:] - 1).abs().max()) < 0.1


def test_the_condition_tells_particles_from_noise():
    settings = settings_for(snr=1.0, coverage=(0.2, 0.2), shape=(SIDE, SIDE))
    batch = simulate([blob_species()], settings, 1, stream(1, "placement"), stream(1, "noise"))
    image = batch.noisy - slow_background(batch.noisy, settings.pixel_size_a)

    def above(image):
        """How far quantiles over the windows are above the noise, (quantiles, rings)."""
        return measure_noise(image).condition[0, LEVELS:].unflatten(0, (4, 10))

    assert float(above(coloured(POWERS["pink"](frequencies()))[None]).abs().max()) < 0.35
    assert (above(image)[2:, 1:3] > 0.4).all()


def test_a_gain_changes_the_level_alone():
    image = coloured(POWERS["pink"](frequencies()))[None]
    one, other = measure_noise(image).condition, measure_noise(3 * image).condition
    torch.testing.assert_close(
        other[:, :LEVELS], one[:, :LEVELS] + torch.tensor(9.0).log(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(other[:, LEVELS:], one[:, LEVELS:], atol=1e-4, rtol=0)


def test_lines_of_a_camera_belong_to_the_noise():
    image = coloured(torch.ones(SIDE, SIDE // 2 + 1))
    rows = torch.randn(SIDE, 1, generator=torch.Generator().manual_seed(1))
    striped = (image + 0.5 * rows)[None]
    white = measure_noise(striped).whiten(striped)[0]
    means = [float(part.mean(1).var()) * SIDE for part in (image, striped[0], white)]
    assert means[1] > 50 * means[0]
    assert means[2] < 0.25 * means[1]


def test_one_spectrum_of_several_images_of_the_same_noise():
    parts = coloured(POWERS["ringed"](frequencies())).unfold(0, 128, 128).unfold(1, 128, 128)
    parts = parts.flatten(0, 1)
    noise = measure_noise(parts, together=True)
    assert noise.condition.shape == (1, CONDITION)
    truth = in_rings(POWERS["ringed"](frequencies()))
    assert float((noise.rings[0, 1:] / truth[1:] - 1).abs().max()) < 0.25
    assert noise.whiten(parts).shape == parts.shape


def test_images_of_a_batch_are_measured_one_by_one():
    batch = torch.stack([coloured(POWERS[name](frequencies())) for name in ("pink", "ringed")])
    noise = measure_noise(batch)
    white = noise.whiten(batch)
    for i in range(2):
        alone = measure_noise(batch[i : i + 1])
        torch.testing.assert_close(noise.condition[i], alone.condition[0])
        torch.testing.assert_close(white[i], alone.whiten(batch[i : i + 1])[0])


@pytest.mark.parametrize("shape", [(2, 2), (5, 331), (63, 65), (130, 96)])
def test_small_images_have_a_spectrum(shape):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(2))[None]
    noise = measure_noise(image)
    assert bool(noise.condition.isfinite().all())
    assert noise.whiten(image).shape == image.shape
    assert bool(noise.whiten(image).isfinite().all())
    if min(shape) > 60:
        assert float(noise.variance) == pytest.approx(1, abs=0.25)


def test_an_image_without_noise_has_finite_figures():
    noise = measure_noise(torch.zeros(1, 200, 200))
    assert bool(noise.condition.isfinite().all())
    assert bool(noise.whiten(torch.zeros(1, 200, 200)).isfinite().all())


def test_colour_is_the_inverse_of_whiten():
    image = coloured(POWERS["pink"](frequencies()))[None]
    noise = measure_noise(image)
    torch.testing.assert_close(noise.colour(noise.whiten(image)), image, atol=1e-3, rtol=1e-3)


def test_drawn_noise_has_the_spectrum():
    noise = measure_noise(coloured(POWERS["ringed"](frequencies()))[None])
    field = noise.draw((SIDE, SIDE // 2), torch.Generator().manual_seed(4))
    assert field.shape == (1, SIDE, SIDE // 2)
    ratio = measure_noise(field).rings[0, 1:] / noise.rings[0, 1:]
    assert float((ratio - 1).abs().max()) < 0.3
