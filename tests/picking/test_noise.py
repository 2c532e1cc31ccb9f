import numpy as np
import pytest
import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.fourier import frequency_grid
from nt2c.imaging.noise_spectrum import NoiseSpectrum, measure_noise, ring_covariance
from nt2c.imaging.scale import fit_scaling
from nt2c.noise.samplers import WhiteNoise
from nt2c.picking.decoys import (
    decoys,
    gaussian_noise,
    local_strength,
    noise_beside_signal,
    sampled_noise,
)
from nt2c.picking.places import pick_places
from nt2c.picking.significance import significance_map

PIXEL_A = 4.0
SHAPE = (512, 448)


def coloured(index: int = 0) -> Tensor:
    """Noise that rises towards low frequencies and goes on falling in the corners."""
    k = frequency_grid(SHAPE, 1.0)
    white = torch.randn(SHAPE, generator=stream(0, "test noise", index))
    return torch.fft.irfft2(torch.fft.rfft2(white) * (0.02 / (k + 0.02) + (-4 * k).exp()), s=SHAPE)


def drawn(noise: NoiseSpectrum, count: int) -> list[Tensor]:
    draw = gaussian_noise(noise)
    return list(decoys(draw, torch.ones(SHAPE), PIXEL_A, count, stream(1, "decoys")))


def power_between(images: list[Tensor], low: float, high: float) -> float:
    k = frequency_grid(SHAPE, 1.0)
    band = (k > low) & (k < high)
    powers = [torch.fft.rfft2(image).abs().square()[band].mean() for image in images]
    return float(torch.stack(powers).mean())


@pytest.mark.parametrize("band", [(0.01, 0.04), (0.04, 0.2), (0.2, 0.45), (0.5, 0.7)])
def test_decoys_have_the_spectrum_of_the_noise_up_to_the_corners(band: tuple[float, float]) -> None:
    image = coloured()
    noise = measure_noise(image[None]).detailed(image[None])
    real = power_between([coloured(i) for i in range(1, 5)], *band)
    assert power_between(drawn(noise, 4), *band) == pytest.approx(real, rel=0.15)


def test_decoys_are_neither_periodic_nor_alike() -> None:
    image = coloured()
    fields = torch.stack(drawn(measure_noise(image[None]), 8))
    assert fields.shape == (8, *SHAPE)
    assert abs(float((fields[0] * fields[1]).mean() / fields.var())) < 0.02
    across, along = (fields[..., 0] * fields[..., i] for i in (-1, 1))
    assert abs(across.mean()) < 0.2 * along.mean()


def test_uneven_noise_gives_uneven_decoys() -> None:
    slope = torch.linspace(0.6, 1.4, SHAPE[1])
    strength = local_strength(coloured() * slope, PIXEL_A)
    expected = slope / slope.square().mean().sqrt()
    assert (strength.mean(0) / expected)[20:-20].numpy() == pytest.approx(1, abs=0.08)
    noise = measure_noise(coloured()[None])
    field = next(decoys(gaussian_noise(noise), strength, PIXEL_A, 1, stream(0, "d")))
    assert float(field[:, -100:].std() / field[:, :100].std()) > 1.6


def test_a_sampler_keeps_its_noise_and_gets_the_strength_of_the_micrograph() -> None:
    class Spiky(WhiteNoise):
        def sample(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
            return torch.empty(shape).exponential_(generator=generator) - 1

    micrograph = 3 * torch.randn(SHAPE, generator=stream(0, "white"))
    draw = sampled_noise(Spiky().sample, measure_noise(micrograph[None]), stream(0, "sampler"))
    image = draw(SHAPE, stream(0, "draw"))
    assert float(image.std()) == pytest.approx(3, rel=0.05)
    assert float(((image - image.mean()) / image.std()).pow(3).mean()) > 1.5  # still skewed


def test_noise_is_told_from_signal_by_what_an_estimate_leaves() -> None:
    """Particles in one half; an estimate that is right there, and shrinks a part of all noise."""
    noise = coloured(3)
    signal = torch.zeros(SHAPE)
    y, x = torch.meshgrid(torch.arange(SHAPE[0]), torch.arange(SHAPE[1]), indexing="ij")
    for cy in range(40, 500, 40):
        for cx in range(40, 430, 40):
            signal -= 0.5 * torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 128)
    signal -= signal.mean()
    scaled = signal + noise
    told = measure_noise(scaled[None])
    fields = [(field, 0.3 * field) for field in drawn(told.detailed(scaled[None]), 4)]
    told = told.detailed(scaled[None])
    found = noise_beside_signal(told, scaled, signal + 0.3 * noise, fields)
    real = ring_covariance(noise[None], noise[None])
    before, after = (float((s.rings / real)[0, :4].mean()) for s in (told, found))
    assert before > 1.4
    assert after == pytest.approx(before**0.5, rel=0.12)
    assert torch.equal(found.condition, told.condition)  # what the network is told stays


def test_dirt_and_empty_areas_are_left_out_with_a_margin_but_particles_are_not() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(SHAPE, generator=rng)
    y, x = torch.meshgrid(torch.arange(SHAPE[0]), torch.arange(SHAPE[1]), indexing="ij")
    for cy in range(30, 500, 45):
        for cx in range(30, 200, 45):
            image -= 1.0 * (torch.hypot(1.0 * y - cy, 1.0 * x - cx) < 12)
    dirt = torch.hypot(y - 250.0, x - 350.0) < 40
    image -= 4.0 * dirt
    valid = torch.ones(SHAPE, dtype=torch.bool)
    valid[:, -20:] = False
    scaling = fit_scaling(image, PIXEL_A)
    found = pick_places(scaling.apply(image), scaling, valid, PIXEL_A, 96.0)
    assert not found.allowed[dirt].any()
    assert not found.allowed[250, 350 + 40 + 5]
    assert not found.allowed[:, -30:].any()
    assert found.allowed[:, :200].float().mean() > 0.95
    assert found.left_out["no image"] == pytest.approx(32 / SHAPE[1], abs=0.01)
    clean = torch.randn(SHAPE, generator=rng)
    scaling = fit_scaling(clean, PIXEL_A)
    assert pick_places(scaling.apply(clean), scaling, None, PIXEL_A, 96.0).allowed.all()


def test_significance_is_the_share_of_noise_pixels_as_dark() -> None:
    rng = np.random.default_rng(0)
    fields = [rng.standard_normal((120, 130)) for _ in range(3)]
    image = rng.standard_normal((120, 130))
    image[60, 60] -= 200
    allowed = np.ones(image.shape, bool)
    allowed[:, :30] = False
    found = significance_map(image, fields, 12.0, allowed)
    count = 3 * allowed.sum()
    assert found[60, 60] == found.max() == pytest.approx(np.log10(1 + count), rel=1e-5)
    assert not found[:, :30].any()
    assert np.mean(found[:, 90:] > 1) == pytest.approx(0.1, abs=0.05)
