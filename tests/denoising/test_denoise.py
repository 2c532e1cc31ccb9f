"""One micrograph: its grid, polarity and grey scale stay; gain and offset do not matter."""

import numpy as np
import pytest
import torch

from nt2c.core.errors import InputError, Nt2cError, SettingsError
from nt2c.denoising import denoiser as module
from nt2c.denoising.denoiser import Denoiser, denoise, load_model
from nt2c.imaging.fourier import resize, resize_mirrored
from nt2c.io.weights import write_weights
from tests.batch.make import WORKING_A, identity_model, noise, random_model

OPTIONS = {"device": "cpu", "precision": "fp32"}


@pytest.mark.parametrize(
    ("shape", "pixel_size_a"),
    [((48, 56), 2.0), ((33, 33), 1.0), ((37, 61), 1.3), ((31, 20), 6.3), ((101, 40), 0.5)],
)
def test_any_size_and_sampling(model, shape, pixel_size_a):
    result = denoise(noise(shape), pixel_size_a, model, **OPTIONS)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert result.std() > 0


@pytest.mark.parametrize("shape", [(48, 56), (37, 62)])
def test_without_denoising_only_the_band_is_limited(shape):
    """Grid, polarity, mean and scale: a network that does nothing gives back what it can see."""
    image = noise(shape)
    image[10:14, 20:25] -= 40  # dark, off the centre
    result = denoise(image, 2.0, identity_model(), keep_background=True, **OPTIONS)
    rows, columns = (2 * round(n / 4) for n in shape)
    expected = resize_mirrored(resize(torch.from_numpy(image), (rows, columns)), shape).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-3)  # float32 at 100
    # The borders' last pixel is continued by its mirror image, which moves the mean by less than
    # the border's own deviation (noise of 10 over about 50 px, two borders) per line.
    assert result.mean() == pytest.approx(image.mean(), abs=2 * 10 / 50**0.5 / 48)


def test_background_is_replaced_by_its_mean():
    ramp = np.linspace(0, 400, 512, dtype=np.float32)[:, None]
    image = noise((512, 64)) + ramp
    kept = denoise(image, 4.0, identity_model(), keep_background=True, **OPTIONS)
    flat = denoise(image, 4.0, identity_model(), **OPTIONS)
    means = [float(r[384:].mean() - r[:128].mean()) for r in (kept, flat)]
    assert means[0] == pytest.approx(300, rel=0.02)
    assert abs(means[1]) < 60
    assert flat.mean() == pytest.approx(image.mean(), rel=0.02)


@pytest.mark.parametrize(("gain", "offset"), [(3.0, -50.0), (0.01, 7.0), (1.0, 5e4)])
def test_gain_and_offset(model, gain, offset):
    image = noise((64, 72), mean=0, sigma=1)
    plain = denoise(image, 2.0, model, **OPTIONS)
    changed = denoise(gain * image + offset, 2.0, model, **OPTIONS)
    # Input and result are rounded to float32 at the offset, and the random network amplifies: the
    # greatest of 4608 differences was 5 times this rounding.
    rounding = 1e-4 + 10 * abs(offset) / gain * np.finfo(np.float32).eps
    np.testing.assert_allclose((changed - offset) / gain, plain, atol=rounding)


def test_integers_and_other_layouts_are_the_same_image(model):
    image = noise().round().astype(np.int16)
    expected = denoise(image, 2.0, model, **OPTIONS)
    for same in (image.astype(">i2"), np.asfortranarray(image), torch.from_numpy(image)):
        np.testing.assert_array_equal(denoise(same, 2.0, model, **OPTIONS), expected)


def test_input_is_not_changed(model):
    image = noise()
    image[3, 4] = 1e6
    before = image.copy()
    image.setflags(write=False)
    denoise(image, 2.0, model, **OPTIONS)
    np.testing.assert_array_equal(image, before)


def test_hot_pixel_hardly_matters(model):
    image = noise((64, 64))
    hot = image.copy()
    hot[20, 30] = 1e6
    plain, other = (denoise(i, 2.0, model, **OPTIONS) for i in (image, hot))
    assert np.abs(other - plain).max() < 8 * 10  # no more than the clipping limit, in sigmas


def test_output_pixel_size(model):
    image = noise((60, 80))
    full = denoise(image, 2.0, model, **OPTIONS)
    small = denoise(image, 2.0, model, output_pixel_size_a=WORKING_A, **OPTIONS)
    assert small.shape == (30, 40)
    enlarged = resize_mirrored(torch.from_numpy(small), (60, 80)).numpy()
    np.testing.assert_allclose(enlarged, full, atol=1e-3)


def test_tiles_and_repeats_are_equal(model):
    image = noise((180, 140))
    whole = denoise(image, 4.0, model, **OPTIONS)
    np.testing.assert_array_equal(denoise(image, 4.0, model, **OPTIONS), whole)
    np.testing.assert_array_equal(denoise(image, 4.0, model, tile_px=1, **OPTIONS), whole)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 8, 8)), "two-dimensional"),
        (np.zeros((1, 8)), "two-dimensional"),
        (np.full((16, 16), np.nan), "not finite"),
        (np.where(np.eye(16), np.inf, noise((16, 16))), "not finite"),
        (np.full((16, 16), 5.0), "constant"),
        (noise((4, 4)), "too small"),
    ],
)
def test_bad_images(model, image, words):
    with pytest.raises(InputError, match=words):
        denoise(image, 1.0, model, **OPTIONS)


def test_auto_takes_bf16_only_where_it_is_fast_and_agrees(model, monkeypatch):
    chosen = {}
    for fast in (True, False):
        for deviation in (0.0099, 0.0101, float("inf")):
            monkeypatch.setattr(module, "has_fast_bf16", lambda device, fast=fast: fast)
            monkeypatch.setattr(module, "bf16_deviation", lambda *_, d=deviation: d)
            denoiser = Denoiser(model, device="cpu")
            denoiser(noise(), 2.0)
            chosen[fast, deviation] = denoiser.precision
    assert [pair for pair, precision in chosen.items() if precision == "bf16"] == [(True, 0.0099)]


def test_bf16_on_request(model):
    fp32 = denoise(noise(), 2.0, model, **OPTIONS)
    bf16 = denoise(noise(), 2.0, model, device="cpu", precision="bf16")
    assert 0 < np.std(bf16 - fp32) < 0.05 * fp32.std()


def test_unknown_model(tmp_path):
    with pytest.raises(SettingsError, match="neither a bundled model"):
        load_model(tmp_path / "absent.safetensors")


def test_unknown_name_is_told_what_is_bundled(tmp_path, monkeypatch):
    bundled = {"general": tmp_path / "g", "other": tmp_path / "o"}
    monkeypatch.setattr("nt2c.denoising.denoiser.bundled_models", lambda: bundled)
    with pytest.raises(
        SettingsError, match=r"model generl: .*\(auto, general, other\).*`nt2c models`"
    ):
        load_model("generl")


def test_damaged_model_file_is_a_bad_input(tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"half a model")
    with pytest.raises(InputError, match=r"damaged\.safetensors: not a readable"):
        load_model(damaged)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixel_size_a": None},
        {"pixel_size_a": "abc"},
        {"pixel_size_a": 0},
        {"pixel_size_a": -3.0},
        {"network": None},
        {"network": [1, 2]},
        {"network": {"widths": [8192, 8192], "blocks": [64, 64]}},  # 600 GB, were it believed
        {"network": {"widths": [4] * 2000, "blocks": [1] * 2000}},
        {"network": {"widths": [-1], "blocks": [1]}},
        {"kind": ["denoiser"]},
        {"format": "1"},
        {"name": ["a"]},
    ],
)
def test_a_model_file_that_says_nonsense_is_refused_by_name(tmp_path, wrong):
    tensors, metadata = random_model().to_tensors()
    path = tmp_path / "odd.safetensors"
    write_weights(path, tensors, metadata)
    load_model(path)
    for said in (metadata | wrong, {k: v for k, v in metadata.items() if k not in wrong}):
        write_weights(path, tensors, said)
        with pytest.raises(Nt2cError, match=r"odd\.safetensors"):
            load_model(path)
