"""`nt2c models` and `nt2c info`."""

import re

import pytest

from nt2c.cli.app import main
from nt2c.denoising import denoiser
from nt2c.io.weights import write_weights
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings


@pytest.fixture
def model_file(tmp_path):
    network = UNet(UNetSettings())
    metadata = {"name": "tiny", "seed": 7, "recipe": {"steps": 20}, "figures": {"speed": 1.23456}}
    path = tmp_path / "tiny.safetensors"
    write_weights(path, *DenoiserModel(network, 4.0, metadata).to_tensors())
    return path, sum(parameter.numel() for parameter in network.parameters())


def test_info_shows_what_a_file_holds(model_file, capsys):
    path, count = model_file
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    for text in (str(path), f"parameters: {count:,}", "pixel_size_a: 4", "seed: 7", "steps: 20"):
        assert text in shown


@pytest.mark.parametrize("width", ["40", "200"])
def test_no_sentence_is_cut(tmp_path, model_file, capsys, monkeypatch, width):
    """On a narrow terminal it is wrapped, in a file it stays one line."""
    words = [f"word{index}" for index in range(60)]
    network = UNet(UNetSettings())
    path = tmp_path / "told.safetensors"
    metadata = {"name": "told", "about": " ".join(words)}
    write_weights(path, *DenoiserModel(network, 4.0, metadata).to_tensors())
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["info", str(path)]) == 0
    assert f"about: {' '.join(words)}\n" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["info", str(path)]) == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert all(word in shown.split() for word in words)
    assert max(map(len, shown.splitlines())) <= max(int(width), len(str(path)))


def test_models_lists_the_bundled_ones_with_figures(model_file, capsys, monkeypatch):
    path, count = model_file
    for module in ("nt2c.cli.models", denoiser.__name__):
        monkeypatch.setattr(f"{module}.bundled_models", lambda: {"tiny": path})
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for text in ("tiny", f"{count:,}", "4 A", "speed: 1.235"):
        assert text in shown


def test_unknown_model_is_an_error_that_names_it(capsys):
    assert main(["info", "nonsense"]) == 2
    shown = capsys.readouterr().err
    assert "nonsense" in shown
    assert "`nt2c models`" in shown
