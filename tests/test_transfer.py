"""Contrast is found where it is known, and weights do what they say."""

import json
import math

import pytest
import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.imaging.scale import NOISE_BAND
from nt2c.io.records import checked
from nt2c.noise.transfer import (
    Contrast,
    TransferSettings,
    estimate_contrast,
    least_squares_contrast,
    ring_estimator,
    segments,
    tapered_power,
    transfer,
    vary_spectrum,
)
from nt2c.simulation.physics import gaussian_field

PIXEL_A = 4.0
SIZE = 32


def coloured(count: int, side: int, role: str, *, signal: bool) -> Tensor:
    """Fields of variance about 1: signal around 1/60 A, noise white with a rise below 1/100 A."""
    k = frequency_grid((side, side), PIXEL_A)
    power = torch.exp(-(((k - 1 / 60) / 0.006) ** 2)) if signal else 1 + 5 * torch.exp(-100 * k)
    fields = gaussian_field(power.expand(count, -1, -1), (side, side), PIXEL_A, stream(1, role))
    return fields / fields.std()


def fields(count: int = 8, side: int = 256) -> dict[str, Tensor]:
    return {
        "truth": coloured(count, side, "truth", signal=True),
        "clean": coloured(count, side, "clean", signal=True),
        "noise": coloured(count, side, "noise", signal=False),
        "spare": coloured(count, side, "spare", signal=False),
    }


def windows_of(noise: Tensor) -> Tensor:
    return torch.cat([segments(field, SIZE, SIZE) for field in noise])


def estimate(real: Tensor, f: dict[str, Tensor], **settings: object) -> Contrast:
    return estimate_contrast(
        list(real), windows_of(f["spare"]), f["clean"], 3 * f["clean"] + f["spare"], PIXEL_A,
        TransferSettings.model_validate(settings),
    )  # fmt: skip


@pytest.mark.parametrize(("k1", "gain"), [(0.3, 1.0), (0.5, 1.3), (1.5, 0.8)])
def test_contrast_and_noise_gain_are_recovered(k1: float, gain: float) -> None:
    f = fields()
    found = estimate(transfer(f["truth"], f["noise"], k1, gain), f)
    # About 700 modes of signal in each field of 1024 A: 1 / sqrt(8 * 700) of k1^2 each for truth
    # and clean fields, more with noise; 5 % in k1 is the bar.
    assert abs(found.spectral / k1 - 1) < 0.05
    assert found.k1 == found.spectral
    assert abs(found.gain / gain - 1) < 0.02
    assert len(found.per_micrograph) == 8
    assert abs(sum(found.per_micrograph) / 8 / k1 - 1) < 0.06


def test_the_published_regression_sees_the_simulator_alone() -> None:
    f = fields()
    found = estimate(transfer(f["truth"], f["noise"], 0.5, 1.0), f, estimator="least_squares")
    assert abs(found.least_squares[0] - 3) < 0.05
    assert (found.k1, found.gain) == found.least_squares[:2]
    assert abs(found.spectral - 0.5) < 0.03


def test_regression_recovers_contrast_gain_and_offset() -> None:
    f = fields(4)
    noisy = transfer(f["truth"], f["noise"], 0.4, 1.2) + 0.7
    k1, gain, b = least_squares_contrast(noisy, f["truth"], f["spare"] + 5)
    # 4 * 256^2 pixels, signal correlated over about 100 of them.
    assert abs(k1 - 0.4) < 0.04
    assert abs(gain - 1.2) < 0.01
    assert abs(b - 0.7) < 0.02


def test_spectra_of_expectation_give_the_contrast_exactly() -> None:
    frequency = torch.linspace(0.01, 0.124, 30, dtype=torch.float64)
    clean = torch.exp(-frequency * 80) * 100
    noise = 1 + torch.exp(-frequency * 150)
    for k1, level in ((0.05, 1.0), (0.7, 1.2)):
        real = k1**2 * clean + level**2 * noise
        found = (ring_estimator(real, noise, clean, frequency) @ real).sqrt().tolist()
        assert found == pytest.approx((k1, level), rel=1e-4)


def test_small_windows_leak_like_whole_micrographs() -> None:
    """Welch segments of a field have the mean power of windows cut anywhere from it."""
    field = coloured(6, 256, "leak", signal=True)
    whole = torch.stack([tapered_power(segments(f, SIZE), PIXEL_A)[1] for f in field]).mean(0)
    some = tapered_power(torch.cat([segments(f, SIZE, 37) for f in field]), PIXEL_A)[1]
    rings = whole > 0.01 * whole.max()
    assert ((some / whole - 1).abs()[rings] < 0.25).all()
    # A sine taper falls off as k^-4 in power, no taper as k^-2: 1e-5 and 2e-3 at ring 9.
    assert float(whole[9] / whole.max()) < 1e-4


def test_white_noise_has_flat_power() -> None:
    white = 2 * torch.randn(400, SIZE, SIZE, generator=stream(1, "white"))
    _, power = tapered_power(white, PIXEL_A)
    assert power[2:] == pytest.approx([4 * PIXEL_A**2] * (SIZE // 2 - 2), rel=0.05)


def test_spread_is_what_statistics_do_not_explain() -> None:
    f = fields(24, 128)
    same = estimate(transfer(f["truth"], f["noise"], 0.8, 1.0), f)
    k1 = 0.8 * torch.exp(0.4 * torch.randn(24, generator=stream(1, "spread")))
    spread = estimate(transfer(f["truth"], f["noise"], k1, 1.0), f)
    assert same.spread < 0.1
    assert 0.2 < spread.spread < 0.6
    assert spread.error > same.error


def test_a_micrograph_far_from_the_others_does_not_set_the_contrast() -> None:
    f = fields(8, 128)
    real = transfer(f["truth"], f["noise"], 0.8, 1.0)
    wild = real.clone()
    wild[3] += 5 * f["truth"][3]  # carbon, or a crack
    found, usual = estimate(wild, f), estimate(real, f)
    assert (usual.left_out, found.left_out) == (0, 1)
    assert found.per_micrograph[3] > 4
    assert found.k1 == pytest.approx(usual.k1, rel=0.05)


def test_weights_are_per_image_or_one() -> None:
    clean, noise = torch.ones(2, 3, 4), torch.full((2, 3, 4), 10.0)
    mixed = transfer(clean, noise, torch.tensor([1.0, 2.0]), 0.5)
    assert mixed[:, 0, 0].tolist() == [6.0, 7.0]
    assert torch.equal(transfer(clean, noise, 3.0, 0.0), 3 * clean)


def test_spectra_vary_below_the_noise_band_and_nowhere_else() -> None:
    noise = torch.randn(64, 64, 64, generator=stream(0, "vary"))
    varied = vary_spectrum(noise, 0.3, stream(1, "vary"))
    fraction = frequency_grid((64, 64), 0.5)  # of Nyquist
    gain = torch.fft.rfft2(varied).abs() / torch.fft.rfft2(noise).abs()
    fine = fraction > NOISE_BAND[0] + 1 / 8
    assert torch.allclose(gain[:, fine], torch.ones(()), atol=1e-3)
    # At a knot, a quarter of Nyquist, every field has its own gain; 64 give the spread to 9 %.
    knot = gain[:, 0, 8].log()
    assert float(knot.std()) == pytest.approx(0.3, rel=0.3)
    assert abs(float(knot.mean())) < 3 * 0.3 / 8
    assert torch.allclose(gain[:, 8, 0], gain[:, 0, 8], rtol=1e-3)
    assert torch.allclose(vary_spectrum(noise, 0.0, stream(1, "vary")), noise, atol=1e-5)


def test_record_gives_the_contrast_back() -> None:
    f = fields(2, 64)
    found = estimate(transfer(f["truth"], f["noise"], 1.0, 1.0), f)
    stored = json.loads(json.dumps(found.to_record()))
    assert stored == found.to_record()
    assert checked(Contrast, stored, "contrast.json") == found


def test_micrographs_without_signal_are_refused() -> None:
    f = fields(2, 128)
    k = frequency_grid((128, 128), PIXEL_A)
    hole = apply_filter(f["noise"], 1 - 0.5 * torch.exp(-((k * 50) ** 2)))
    with pytest.raises(InputError, match="no more power than their noise windows"):
        estimate(hole, f)


def test_micrographs_smaller_than_windows_are_left_out() -> None:
    f = fields(3, 64)
    real = list(f["truth"] + f["noise"])
    small = [*real, real[0][:20]]
    windows, settings = windows_of(f["spare"]), TransferSettings()
    with_small, without = (
        estimate_contrast(some, windows, f["clean"], f["noise"], PIXEL_A, settings).to_record()
        for some in (small, real)
    )
    for key, value in without.items():  # the last bit of a sum depends on where memory lies
        assert with_small[key] == (
            value if isinstance(value, str) else pytest.approx(value, rel=1e-12)
        )
    with pytest.raises(InputError, match="smaller than the noise windows"):
        estimate(f["truth"][:, :20], f)


def test_a_band_without_rings_is_refused() -> None:
    f = fields(2, 64)
    with pytest.raises(InputError, match="widen the band"):
        estimate(f["truth"], f, band_a=(99.0, 100.0))
    assert math.isfinite(estimate(f["truth"] + f["noise"], f).k1)
