"""Never worse: which of the models that a fit has at its end is taken."""

import pytest
import torch

from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings
from nt2c.noise.samplers import WhiteNoise
from nt2c.pipeline.choosing import (
    FIELDS,
    FITTED,
    HALF,
    MICROGRAPHS,
    START,
    blended,
    choose,
    errors_on_micrographs,
)
from nt2c.pipeline.own_noise import judged, taught
from nt2c.training.recorrupted import NoisyMicrograph


@pytest.mark.parametrize(
    ("fitted", "half", "taken"),
    [
        ((-0.10, -0.05), (-0.05, -0.02), FITTED),
        ((-0.10, 0.05), (-0.05, -0.02), HALF),  # better on one kind of data, worse on the other
        ((-0.10, 0.05), (-0.05, 0.02), START),
        ((0.05, 0.05), (0.01, 0.01), START),
        ((-0.02, -0.02), (-0.03, -0.02), HALF),
        ((-0.10, 0.005), (-0.05, -0.01), FITTED),  # worse by less than chance
        ((float("nan"), -0.05), (0.1, 0.1), START),
    ],
)
def test_the_better_is_taken_unless_it_is_worse_on_any_data(fitted, half, taken):
    base = [0.5, 0.7, 0.6, 0.4]
    chance = [0.02, -0.02, 0.02, -0.02]  # standard error of the mean 0.012

    def errors(index):
        return {
            FITTED: [b + c + fitted[index] for b, c in zip(base, chance, strict=True)],
            HALF: [b + c + half[index] for b, c in zip(base, chance, strict=True)],
            START: base,
        }

    choice = choose({FIELDS: errors(0), MICROGRAPHS: errors(1)}, START)
    assert choice.taken == taken
    assert choice.errors[FIELDS][START] == pytest.approx(0.55)
    assert ("the fitted one is worse" in choice.why) == (
        taken != FITTED and not (fitted[0] < 0 and fitted[1] < 0)
    )


def test_the_blend_has_the_mean_weights_and_leaves_both_as_they_are():
    a, b = (DenoiserModel(UNet(UNetSettings(widths=(4,), blocks=(1,))), 4.0, {}) for _ in "ab")
    before = a.network.state_dict()["stem.weight"].clone()
    middle = blended(a, b).network.state_dict()
    for name, value in a.network.state_dict().items():
        torch.testing.assert_close(middle[name], (value + b.network.state_dict()[name]) / 2)
    assert torch.equal(a.network.state_dict()["stem.weight"], before)


def test_what_is_trained_on_and_what_judges_share_no_row():
    image = torch.arange(101.0)[:, None].expand(-1, 7)
    assert torch.equal(torch.cat([taught(image), judged(image)]), image)


def test_error_on_micrographs_is_that_against_the_truth(monkeypatch):
    """For a denoiser that halves the image: a quarter of signal and noise, which are known."""

    class Halves:
        device = torch.device("cpu")

        def __init__(self, *_, **__):
            pass

        def estimate(self, scaled):
            return scaled / 2

    monkeypatch.setattr("nt2c.pipeline.choosing.Denoiser", Halves)
    random = torch.Generator().manual_seed(1)
    signal = [torch.randn(500, 500, generator=random) for _ in range(4)]
    own = [
        NoisyMicrograph(one + sd * torch.randn(500, 500, generator=random), WhiteNoise(), sd)
        for one, sd in zip(signal, (1.0, 1.0, 1.4, 0.7), strict=True)
    ]
    errors = errors_on_micrographs(None, own, 0.5, 0.0, seed=3, device="cpu")
    expected = [0.25 + 0.25 * m.noise_sd**2 * 1.25 for m in own]
    # The targets' noise has variance 5 sd^2: 0.06 of that of the third in 100 x 500 pixels.
    assert errors == pytest.approx(expected, abs=0.2)
    assert sum(errors) == pytest.approx(sum(expected), abs=0.3)
