"""What `import nt2c` offers: a stable list, cheap to import, for NumPy and torch."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import nt2c
from nt2c.denoising.denoiser import denoise as full_denoise
from tests.batch.make import micrograph, noise, random_model

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "python.md"
PUBLIC = {
    "BatchOptions",
    "DenoiseSettings",
    "Denoiser",
    "EvaluateOptions",
    "FitOptions",
    "PickOptions",
    "SimulateOptions",
    "evaluate",
    "fit",
    "pick",
    "simulate",
    "InputError",
    "Nt2cError",
    "SettingsError",
    "__version__",
    "bundled_models",
    "denoise",
    "denoise_files",
    "find_inputs",
    "load_model",
    "open_micrograph",
    "write_micrograph",
}


def test_public_names():
    assert set(nt2c.__all__) == set(dir(nt2c)) == PUBLIC
    for name in PUBLIC:
        assert getattr(nt2c, name).__doc__
    with pytest.raises(AttributeError, match="denoize"):
        _ = nt2c.denoize


def test_signature():
    assert list(inspect.signature(nt2c.denoise).parameters) == [
        "image",
        "pixel_size_a",
        "model",
        "output_pixel_size_a",
        "device",
        "precision",
        "keep_background",
    ]


def test_the_name_of_a_file_is_refused_with_the_way_to_read_it():
    with pytest.raises(nt2c.InputError, match=r"a\.mrc: denoise takes an image.*open_micrograph"):
        nt2c.denoise("a.mrc", pixel_size_a=1.5)


def test_all_public_names_are_documented():
    table = re.findall(r"^\| (`.*?`) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == PUBLIC


def test_the_reference_has_all_public_names():
    text = (DOCUMENT.parent / "reference.md").read_text()
    listed = re.findall(r"^::: (nt2c[\w.]*)\.(\w+)$", text, re.MULTILINE)
    for module, name in listed:
        assert hasattr(importlib.import_module(module), name)
    assert PUBLIC - {name for _, name in listed} == {"__version__"}


def test_import_is_cheap():
    code = "import sys, nt2c; dir(nt2c); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "pydantic"}.isdisjoint(run.stdout.split())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8])
def test_numpy(dtype):
    model = random_model()
    image = noise().astype(dtype)
    before = image.copy()
    result = nt2c.denoise(image, 2.0, model, device="cpu", precision="fp32")
    expected = full_denoise(image, 2.0, model, device="cpu", precision="fp32")
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int16])
def test_torch(dtype):
    image = torch.from_numpy(noise().round()).to(dtype).requires_grad_(dtype == torch.float32)
    result = nt2c.denoise(image, 2.0, random_model(), device="cpu", precision="fp32")
    assert result.device == image.device
    assert result.dtype == torch.float32
    plain = image.detach().float().numpy()
    expected = nt2c.denoise(plain, 2.0, random_model(), device="cpu", precision="fp32")
    np.testing.assert_array_equal(result.numpy(), expected)


def test_options_change_the_result():
    image, usual = noise(), {"model": random_model(), "device": "cpu", "precision": "fp32"}
    plain = nt2c.denoise(image, 2.0, **usual)
    assert nt2c.denoise(image, 2.0, **usual, output_pixel_size_a=4.0).shape == (24, 28)
    for option in (
        {"keep_background": True},
        {"precision": "bf16"},
        {"model": random_model(seed=1)},
    ):
        assert not np.array_equal(nt2c.denoise(image, 2.0, **(usual | option)), plain)
    assert not np.array_equal(nt2c.denoise(image, 2.5, **usual), plain)


VIEWS = {
    "flipped": lambda a: np.flipud(np.flipud(a).copy()),
    "mirrored": lambda a: np.fliplr(np.fliplr(a).copy()),
    "rotated": lambda a: np.rot90(np.rot90(a, 1).copy(), 3),
    "transposed": lambda a: a.T.copy().T,
    "every other": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "big-endian": lambda a: a.astype(">f4"),
    "list": lambda a: a.tolist(),
    "masked nowhere": np.ma.masked_invalid,
    "flipped tensor": lambda a: torch.from_numpy(np.flipud(a).copy()).flip(0),
}


@pytest.mark.parametrize("view", VIEWS)
def test_any_layout_of_the_same_image(view):
    usual = {"model": random_model(), "device": "cpu", "precision": "fp32"}
    image = noise()
    result = nt2c.denoise(VIEWS[view](image), 2.0, **usual)
    np.testing.assert_array_equal(np.asarray(result), nt2c.denoise(image, 2.0, **usual))


WRONG_IMAGES = [
    None, "a.mrc", 7, [], [[1, 2], [3]], [["a", "b"], ["c", "d"]], {"a": 1}, object(),
    np.zeros((0, 8)), np.zeros(8), np.zeros((3, 8, 8)), np.zeros((8, 8), complex),
    np.zeros((8, 8), "datetime64[s]"), np.full((8, 8), None), np.full((8, 8), "1.0"),
    np.zeros((8, 8), [("a", "f4")]), np.full((48, 48), 1e300), np.full((48, 48), np.nan),
    np.ones((48, 48)), np.ma.masked_greater(noise(), 110), torch.zeros(8, 8, dtype=torch.cfloat),
    torch.eye(48).to_sparse(), torch.zeros(2, 2, 2),
]  # fmt: skip


@pytest.mark.parametrize("output_pixel_size_a", [None, 4.0])
@pytest.mark.parametrize("number", range(len(WRONG_IMAGES)))
def test_only_errors_of_the_package_for_images(number, output_pixel_size_a):
    image, model = WRONG_IMAGES[number], random_model()
    with pytest.raises(nt2c.InputError) as caught:
        nt2c.denoise(image, 2.0, model, output_pixel_size_a=output_pixel_size_a, device="cpu")
    assert str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixel_size_a": "2.0"}, {"pixel_size_a": [2.0]}, {"pixel_size_a": 1j},
        {"output_pixel_size_a": "4"}, {"output_pixel_size_a": 0}, {"output_pixel_size_a": -4.0},
        {"device": "abacus"}, {"device": "cuda:99"}, {"device": "meta"}, {"device": "cuda:all"},
        {"device": None}, {"device": ["cpu"]}, {"precision": "fp8"}, {"precision": None},
        {"model": "none"}, {"model": None}, {"model": 3}, {"model": "a\0b"}, {"model": "/"},
    ],
    ids=str,
)  # fmt: skip
def test_only_errors_of_the_package_for_options(wrong):
    options = {"pixel_size_a": 2.0, "model": random_model(), "device": "cpu"} | wrong
    with pytest.raises(nt2c.Nt2cError):
        nt2c.denoise(noise(), **options)


@pytest.mark.parametrize(
    "image",
    [np.zeros(8), np.zeros((2, 2, 8, 8)), np.zeros((8, 8), complex), "a", None, [[1, 2], [3]]],
    ids=range(6),
)
def test_only_errors_of_the_package_for_writing(tmp_path, image):
    with pytest.raises(nt2c.Nt2cError):
        nt2c.write_micrograph(tmp_path / "a.mrc", image, 2.0)
    assert list(tmp_path.iterdir()) == []


def test_errors():
    for bad in (None, 0, -1.0, float("nan")):
        with pytest.raises(nt2c.SettingsError, match="pixel_size_a"):
            nt2c.denoise(noise(), bad)
    with pytest.raises(nt2c.SettingsError, match="no_such_model"):
        nt2c.denoise(noise(), 1.0, "no_such_model")
    with pytest.raises(nt2c.InputError, match="two-dimensional"):
        nt2c.denoise(np.zeros((2, 8, 8)), 1.0)


def test_the_document_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "micrographs").mkdir()
    micrograph(tmp_path / "micrographs" / "a.mrc")
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 7
    text = "\n".join(blocks).replace("count=2", "count=1, shape=(128, 160), pixel_size_a=4.0")
    asked = []

    def fit(*given):  # has tests of its own
        asked.append(given)
        return SimpleNamespace(model="general")

    def pick(*given):
        asked.append(given)
        return SimpleNamespace(picks=3, expected_noise_picks=0.1)

    monkeypatch.setitem(vars(nt2c), "fit", fit)
    monkeypatch.setitem(vars(nt2c), "pick", pick)
    names = {"array": noise(), "images": [noise(seed=1)]}
    exec(text, names)
    assert names["denoised"].shape == names["array"].shape
    assert names["failed"] == []
    assert (tmp_path / "denoised" / "a.mrc").exists()
    assert (tmp_path / "a_denoised.mrc").exists()
    assert 0 < names["correlation"] < 1
    assert asked == [
        ("micrographs", "fitted", nt2c.FitOptions(recipe="quick")),
        ("micrographs", "picks", nt2c.PickOptions(diameter_a=(120,))),
    ]
