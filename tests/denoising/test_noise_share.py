"""The share of a denoised micrograph that may be noise: known networks, and the bundled model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nt2c.batch.run import denoise_files
from nt2c.core.random import stream
from nt2c.denoising.denoiser import Denoiser, load_model
from nt2c.denoising.noise_share import MOST_NOISE, noise_share, noise_warnings
from nt2c.denoising.settings import BatchOptions
from nt2c.imaging.noise_spectrum import measure_noise
from nt2c.io.inputs import find_inputs
from nt2c.models.denoiser import DenoiserModel
from tests.batch.make import identity_model, micrograph, random_model

SIDE = 512


def drawn(sigma: float, exponent: float = 0.0) -> torch.Tensor:
    """Noise field whose power is sigma^2 / |k|^exponent, |k| in cycles per 16 px."""
    white = torch.randn(SIDE, SIDE, generator=stream(3, "test"))
    k = torch.hypot(torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None])
    amplitude = (16 * k.clamp(min=1 / SIDE)) ** (-exponent / 2)
    return sigma * torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(SIDE, SIDE))


@pytest.mark.parametrize("exponent", [0.0, 1.5])
def test_a_network_that_does_nothing_leaves_all_the_noise_there_is(exponent):
    field, network = drawn(1.0, exponent), identity_model().network
    noise = measure_noise(field[None])
    assert noise_share(network, noise, field, bf16=False) == pytest.approx(1.0, abs=0.25)
    assert noise_share(network, noise, 4 * field, bf16=False) == pytest.approx(1 / 16, rel=0.25)


def test_the_same_file_gets_the_same_share():
    field, network = drawn(1.0), identity_model().network
    noise = measure_noise(field[None])
    first = noise_share(network, noise, 2 * field, bf16=False)
    torch.randn(5)  # a global generator has no part in it
    assert noise_share(network, noise, 2 * field, bf16=False) == first


def test_particles_in_white_noise_are_told_from_it_and_noise_alone_is_not():
    denoiser = Denoiser(load_model("general"), device="cpu", precision="fp32")
    y, x = np.mgrid[:1024, :1024]
    image = 0.0 * x
    for cy, cx in np.random.default_rng(0).uniform(60, 960, (40, 2)):
        image -= 1.0 * ((y - cy) ** 2 + (x - cx) ** 2 < 35**2)
    noisy = image + np.random.default_rng(1).normal(0, 2.0, image.shape)

    def share(raw: np.ndarray) -> float:
        prepared = denoiser.prepare(raw, 2.0)
        noise = denoiser.measure_noise(prepared.scaled)
        return denoiser.judged_estimate(prepared.scaled, noise).noise_share

    assert share(noisy) < 0.1
    assert share(noisy - image) > MOST_NOISE


def test_it_is_in_the_summary_and_warned_of(tmp_path):
    path = micrograph(tmp_path / "noise.mrc", shape=(256, 256), pixel_size_a=4.0)
    options = BatchOptions(device="cpu")
    summary = denoise_files(
        find_inputs([path]), tmp_path / "out", identity_model(), options=options
    )
    (result,) = summary.results
    assert result.noise_share == pytest.approx(1.0, abs=0.3)
    assert any("may be noise" in warning for warning in result.warnings)
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored["results"][0]["noise_share"] == result.noise_share


def two_models() -> DenoiserModel:
    return replace(identity_model(), other=random_model(name="other"))


def test_of_two_models_the_other_takes_a_micrograph_that_the_first_leaves_as_noise():
    denoiser = Denoiser(two_models(), device="cpu", precision="fp32")
    blobs = drawn(1.0)
    blobs[::16, ::16] -= 400.0  # not of the noise that quiet windows show
    for field, name in ((drawn(1.0), "other"), (blobs, "identity")):
        noise = measure_noise(drawn(1.0)[None])
        made = denoiser.judged_estimate(field, noise)
        assert made.model == name
        alone = {"identity": identity_model(), "other": random_model()}[name]
        own = Denoiser(alone, device="cpu", precision="fp32").estimate(field, noise)
        assert torch.equal(made.signal, own)
        assert torch.equal(denoiser.estimate(field, noise), own)
        assert torch.equal(denoiser.estimate(field, noise, by=name), own)
    assert not torch.equal(denoiser.estimate(field, noise, by="other"), own)


def test_results_of_two_models_say_which_made_them_and_are_done_but_once(tmp_path):
    path = micrograph(tmp_path / "noise.mrc", shape=(256, 256), pixel_size_a=4.0)
    options = BatchOptions(device="cpu")
    for status in ("done", "skipped"):
        summary = denoise_files(
            find_inputs([path]), tmp_path / "out", two_models(), options=options
        )
        assert [one.status for one in summary.results] == [status]
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored["model"] == "identity or other"
    assert stored["results"][0]["model"] == "other"
    # Another other model is another model.
    third = replace(identity_model(), other=random_model(seed=1, name="other"))
    again = denoise_files(find_inputs([path]), tmp_path / "out", third, options=options)
    assert again.results[0].status == "done"


def test_only_much_noise_is_warned_of():
    assert noise_warnings(MOST_NOISE) == ()
    assert "nt2c run" in noise_warnings(0.5)[0]


def test_the_model_in_use_is_not_its_own_remedy():
    assert "the default model auto" in noise_warnings(0.5, "general")[0]
    assert "default model" not in noise_warnings(0.5, "film")[0]
