"""`nt2c demo`: runs through, and says what the figures say."""

import functools
import re

import mrcfile
import numpy as np
import pytest
import torch

import nt2c
from nt2c.cli.app import main
from nt2c.core.random import stream
from nt2c.evaluation.truth import correlation
from nt2c.io.records import read_records
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings
from nt2c.workflows import demo


def table(mine, theirs, left=0.02):
    names = demo.DIAMETERS_A
    return {
        "raw": dict.fromkeys(names, 0.1) | {demo.EMPTY: 1.0},
        "Gaussian": dict.fromkeys(names, 0.2) | {demo.EMPTY: 0.6},
        "Wiener": dict(zip(names, theirs, strict=True)) | {demo.EMPTY: 0.5},
        "nt2c": dict(zip(names, mine, strict=True)) | {demo.EMPTY: left},
    }


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (
            (0.9, 0.8, 0.7),
            "on every one of 3 micrographs with particles: correlation 0.80 against 0.60",
        ),
        ((0.9, 0.8, 0.4), "on 2 of 3 micrographs with particles: correlation 0.70 against 0.60"),
        ((0.4, 0.3, 0.2), "on none of 3 micrographs with particles: correlation 0.30 against 0.60"),
    ],
)
def test_verdict_follows_the_figures(mine, words):
    text = demo.verdict(table(mine, (0.7, 0.6, 0.5)))
    assert words in text
    assert "leaves 2 % of the variance" in text
    assert "better filter leaves 50 %" in text


def test_scores_of_perfect_and_useless_methods():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(64, 64)).astype(np.float32)
    noise = rng.normal(size=(64, 64)).astype(np.float32)

    def field(name, perfect, useless, truth):
        return demo.Field(
            name, truth, {"raw": useless, "Gaussian": useless, "Wiener": useless, "nt2c": perfect}
        )

    result = demo.scores(
        [
            field("large", truth, noise, truth),
            field(demo.EMPTY, 0.1 * noise, noise, np.zeros_like(truth)),
        ]
    )
    assert result["nt2c"]["large"] == pytest.approx(1)
    # the correlation of independent images of n pixels scatters by 1 / sqrt(n) = 1 / 64
    assert result["raw"]["large"] == pytest.approx(0, abs=4 / 64)
    assert result["raw"][demo.EMPTY] == pytest.approx(1)
    assert result["nt2c"][demo.EMPTY] == pytest.approx(0.01 * noise.var() / truth.var(), rel=1e-4)


def test_runs_and_writes_page_and_pictures(tmp_path, monkeypatch, capsys):
    network = UNet(UNetSettings())
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=stream(0, "test"))
    model = DenoiserModel(network.eval(), 4.0, {"name": "untrained"})
    monkeypatch.setattr("nt2c.cli.demo.load_model", lambda name: model)
    small = functools.partial(demo.demonstrate, diameters_a={"large": 90.0}, side_px=160)
    monkeypatch.setattr("nt2c.cli.demo.demonstrate", small)
    assert main(["demo", "-o", str(tmp_path / "out"), "--seed", "3"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"index.html", "large.png", "empty_ice.png"}
    html = (tmp_path / "out" / "index.html").read_text()
    assert html.count("<article>") == 2
    shown = capsys.readouterr().out
    raw, gaussian, wiener = (
        float(re.search(rf"^{name} +([-\d.]+)", shown, re.MULTILINE)[1])
        for name in ("raw", "best Gaussian", "best radial Wiener")
    )
    assert raw < gaussian
    assert raw < wiener
    assert str(tmp_path / "out" / "index.html") in shown


def test_a_file_in_place_of_the_folder_is_refused_at_once(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["demo", "-o", str(tmp_path / "file"), "--model", "none"]) == 2
    assert "file: a file; give a folder" in capsys.readouterr().err


def test_seed_changes_the_micrographs():
    first, again, other = (demo.simulated(90.0, seed, 0, 96)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


def test_the_first_simulated_micrographs_show_particles(tmp_path):
    """`nt2c simulate` with nothing given but less of everything; what the bundled model finds."""
    options = ["--count", "1", "--seed", "2", "--shape", "512", "512"]
    assert main(["simulate", "-o", str(tmp_path), *options]) == 0
    for record in read_records(tmp_path / "metadata.jsonl"):
        noisy, clean = (mrcfile.read(tmp_path / name) for name in record["files"][:2])
        assert record["particles"] >= 4
        assert correlation(nt2c.denoise(noisy, record["pixel_size_a"]), clean) > 0.4
