"""Change of sampling, filters and spectra, against direct summation in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nt2c.core.errors import InputError
from nt2c.core.limits import MAX_IMAGE_PX
from nt2c.imaging.fourier import (
    Rings,
    apply_filter,
    frequency_grid,
    gaussian_lowpass,
    half_plane_weights,
    radial_power,
    resampled_shape,
    resize,
    resize_mirrored,
)
from tests.reference import fourier as reference


def image_of(shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


sizes = st.integers(2, 24)


@settings(deadline=None, max_examples=60)
@given(st.tuples(sizes, sizes), st.tuples(sizes, sizes))
def test_resize_equals_direct_summation(old, new):
    image = image_of(old)
    assert resize(image, new).shape == new
    expected = reference.resize(image.numpy(), new)
    assert np.abs(resize(image, new).numpy() - expected).max() < 1e-5


@settings(deadline=None, max_examples=60)
@given(st.tuples(sizes, sizes), st.tuples(sizes, sizes))
def test_resize_keeps_the_mean(old, new):
    image = image_of(old) + 100
    mean = image.double().mean()
    assert abs(float(resize(image, new).double().mean() - mean)) < 1e-5 * 100


def below_nyquist(shape, limit, seed=3):
    """An image that holds only frequencies below those of the smaller grid `limit`."""
    return resize(resize(image_of(shape, seed, torch.float64), limit), shape)


@pytest.mark.parametrize(
    ("big", "small"),
    [((32, 30), (20, 18)), ((33, 31), (20, 18)), ((37, 41), (36, 40)), ((64, 64), (16, 34))],
)
def test_round_trip_is_exact_for_in_band_content(big, small):
    image = below_nyquist(big, small)
    back = resize(resize(image, small), big)
    assert (back - image).abs().max() < 1e-12
    up = resize(resize(image, (2 * big[0], 2 * big[1])), big)
    assert (up - image).abs().max() < 1e-12


def test_resize_samples_the_same_wave():
    def wave(n):
        x = torch.arange(n, dtype=torch.float64) / n
        phase = torch.cos(2 * torch.pi * (3 * x[:, None] + 5 * x) + 0.7)
        return phase + 2 * torch.sin(2 * torch.pi * 2 * x)[:, None]

    assert (resize(wave(48), (20, 20)) - wave(20)).abs().max() < 1e-12
    assert (resize(wave(21), (50, 50)) - wave(50)).abs().max() < 1e-12
    too_fine = torch.cos(2 * torch.pi * 11 * torch.arange(48) / 48).expand(48, 48)
    assert resize(too_fine, (48, 20)).abs().max() < 1e-5


def test_resize_works_on_batches_and_is_differentiable():
    batch = image_of((2, 3, 10, 14))
    single = torch.stack([torch.stack([resize(i, (8, 20)) for i in row]) for row in batch])
    assert (resize(batch, (8, 20)) - single).abs().max() < 1e-6
    batch.requires_grad_()
    resize(batch, (8, 20)).square().sum().backward()
    assert batch.grad is not None
    with pytest.raises(ValueError, match="at least 1"):
        resize(batch, (0, 8))


@given(st.integers(33, 12000), st.floats(0.3, 6.0), st.floats(0.3, 6.0))
def test_resampled_shape_is_even_and_covers_the_field(size, old, new):
    try:
        got = resampled_shape((size, 2 * size), old, new)
    except InputError:
        assert 2 * (size * old / new) ** 2 > 0.9 * MAX_IMAGE_PX
        return
    for n, before in zip(got, (size, 2 * size), strict=True):
        assert n % 2 == 0
        assert n == 2 or abs(n * new - before * old) <= new * (1 + 1e-6)


def test_frequency_grid_is_that_of_rfft2():
    k = frequency_grid((6, 9), 2.0)
    ky, kx = np.fft.fftfreq(6, 2.0), np.fft.rfftfreq(9, 2.0)
    assert np.allclose(k.numpy(), np.hypot(ky[:, None], kx))


def test_filters():
    image = image_of((18, 15))
    assert (apply_filter(image, torch.ones(18, 8)) - image).abs().max() < 1e-5
    flat = gaussian_lowpass(torch.full((20, 30), 7.0), 3.0)
    assert (flat - 7).abs().max() < 1e-4
    point = torch.zeros(41, 41)
    point[20, 20] = 1
    x = torch.arange(41) - 20.0
    gauss = torch.exp(-(x**2) / (2 * 2.5**2))
    gauss = gauss / gauss.sum()
    assert (gaussian_lowpass(point, 2.5) - gauss[:, None] * gauss).abs().max() < 1e-4


def test_lowpass_mirrors_at_borders():
    ramp = torch.arange(64.0).expand(64, 64)
    smooth = gaussian_lowpass(ramp, 4.0)
    # Mirrored, the ramp's end is only rounded (by sigma sqrt(2 / pi)); wrapped, it would jump.
    assert float((smooth - ramp).abs().max()) < 4.0 * (2 / torch.pi) ** 0.5 + 0.6


@pytest.mark.parametrize("shape", [(16, 16), (15, 18), (18, 15), (13, 13)])
def test_radial_power_equals_the_double_loop(shape):
    image = image_of(shape, 5)
    frequency, power = radial_power(image, 1.7, 7)
    assert np.allclose(power.numpy(), reference.radial_power(image, 1.7, 7), rtol=1e-4)
    assert np.allclose(frequency.numpy(), (np.arange(7) + 0.5) / 7 * 0.5 / 1.7)


def test_radial_power_of_white_noise():
    batch = 3.0 * image_of((8, 128, 128), 6) + 50
    _, power = radial_power(batch, 2.0, 16)
    assert power.shape == (8, 16)
    expected = 9.0 * 2.0**2
    # Shell 1 and up hold more than 150 modes in each of 8 images: 5 / sqrt(8 * 75) = 20 %.
    assert float((power.mean(0)[1:] / expected - 1).abs().max()) < 0.2
    assert float(power.mean() / expected) == pytest.approx(1, abs=0.03)


def test_mirrored_resize_keeps_constants_and_does_not_ring_at_unequal_borders():
    ramp = torch.linspace(0, 1, 40)[:, None] + torch.linspace(0, 2, 50)[None]
    flat = torch.full((33, 47), 3.5)
    torch.testing.assert_close(resize_mirrored(flat, (100, 61)), torch.full((100, 61), 3.5))
    wide = resize_mirrored(ramp, (120, 150))
    exact = torch.arange(120)[:, None] / 117 + torch.arange(150)[None] * (2 / 147)
    periodic = resize(ramp, (120, 150))
    inner = (slice(3, -6), slice(3, -6))  # beyond the last sample a mirror image must turn round
    assert (wide - exact)[inner].abs().max() < 0.02 < 0.2 < (periodic - exact)[inner].abs().max()


@pytest.mark.parametrize("size", [(24, 30), (25, 31), (600, 18)])
def test_mirrored_resize_goes_through_the_samples(size):
    image = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    larger = resize_mirrored(image, (3 * size[0], 2 * size[1]))
    # A mirrored line has nothing at its Nyquist frequency, so nothing is lost.
    torch.testing.assert_close(larger[::3, ::2], image, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (12, 7), (5, 5)])
def test_half_plane_sums_equal_full_plane_sums(shape):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    half = torch.fft.rfft2(image).abs().square() * half_plane_weights(shape[1])
    assert float(half.sum()) == pytest.approx(float(torch.fft.fft2(image).abs().square().sum()))


RINGS = {
    "nearest": (Rings.nearest((9, 12)), lambda cycles: round(cycles * 12)),
    "equal": (Rings.equal((9, 12), 5), lambda cycles: int(cycles / 0.5 * 5)),
    "between": (Rings.between(9, (0.5, 2.0, 2.9, 4.0)), lambda cycles: (
        int(np.searchsorted((0.5, 2.0, 2.9, 4.0), round(cycles * 9, 6), "right")) - 1
    )),
}  # fmt: skip


@pytest.mark.parametrize("kind", RINGS)
def test_sums_and_means_over_rings_equal_a_loop_over_the_full_plane(kind):
    rings, ring_of = RINGS[kind]
    shape = (9, 9) if kind == "between" else (9, 12)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    power = torch.fft.fft2(image).abs().square().numpy()
    sums, counts = np.zeros(rings.count), np.zeros(rings.count)
    for y, ky in enumerate(np.fft.fftfreq(shape[0])):
        for x, kx in enumerate(np.fft.fftfreq(shape[1])):
            ring = ring_of(float(np.hypot(ky, kx)))
            if 0 <= ring < rings.count:
                sums[ring] += power[y, x]
                counts[ring] += 1
    half = torch.fft.rfft2(image).abs().square()
    np.testing.assert_allclose(rings.sums(half).numpy(), sums, rtol=1e-10)
    means = sums / np.maximum(counts, 1)
    np.testing.assert_allclose(rings.means(half[None]).numpy()[0], means, rtol=1e-10)
    flat = half.flatten() @ rings.matrix.double()
    np.testing.assert_allclose(flat.numpy(), sums, rtol=1e-10)
