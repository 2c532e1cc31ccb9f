"""A run that is asked to stop ends in good order; a second request ends it at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nt2c.batch.run import denoise_files
from nt2c.batch.stopping import Stop
from nt2c.cli import app
from nt2c.denoising.denoiser import denoise, load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from tests.batch.make import files, micrograph, noise, pixels

ROOT = Path(__file__).parents[2]
SHAPE = (400, 420)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed in range(30):
        micrograph(folder / f"{seed:02d}.mrc", seed, shape=SHAPE)
    return folder


def start(raw, out, model_file):
    code = "from nt2c.cli.app import main; raise SystemExit(main())"
    options = ["--model", model_file, "--device", "cpu", "--precision", "fp32"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "denoise", raw, "-o", out, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.mrc"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_the_run_after_the_micrograph_in_hand(tmp_path, raw, model_file, number, code):
    out = tmp_path / "out"
    process = start(raw, out, model_file)
    process.send_signal(number)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == code
    record = json.loads((out / "summary.json").read_text())
    assert (record["finished"], record["stopped"]) == (True, number.name)
    done = [row["output"] for row in record["results"] if row["status"] == "done"]
    assert record["counts"] == {"done": len(done), "left": 30 - len(done)}
    assert f"{30 - len(done)} are left, run it again to do the rest" in shown
    assert files(out) == [Path(path).name for path in done]
    model = load_model(model_file)
    for seed, path in enumerate(done):
        expected = denoise(noise(SHAPE, seed), 2.0, model, device="cpu", precision="fp32")
        np.testing.assert_array_equal(pixels(path), expected)


def test_second_signal_ends_it_at_once(tmp_path):
    """Even while nothing looks at requests: as a computation that takes long."""
    code = (
        "import signal, time\nfrom nt2c.batch.stopping import Stop\nstop = Stop()\n"
        "with stop.on_signals():\n    print('ready', flush=True)\n"
        "    while not stop: time.sleep(0.01)\n    print('asked', flush=True)\n"
        "    while True: time.sleep(1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    for word in ("ready", "asked"):
        assert process.stdout.readline().strip() == word
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    process.stdout.close()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Stop().on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_left_is_told(tmp_path, model):
    for seed in range(5):
        micrograph(tmp_path / f"{seed}.mrc", seed)
    stop, out = Stop(), tmp_path / "out"
    settings = DenoiseSettings(precision="fp32")
    summary = denoise_files(
        find_inputs([tmp_path]), out, model, settings,
        BatchOptions(device="cpu"), stop=stop, on_result=lambda result: stop.request(),
    )  # fmt: skip
    done = summary.with_status("done")
    assert 1 <= len(done) < 5
    assert len(summary.with_status("left")) == 5 - len(done)
    assert stop.exit_code == 143
    assert files(out) == [result.output.name for result in done]


def test_stopped_before_anything(tmp_path, model_file, monkeypatch, capsys):
    micrograph(tmp_path / "a.mrc")
    monkeypatch.setattr(Stop, "__bool__", lambda self: True)
    line = ["denoise", str(tmp_path), "-o", str(tmp_path / "out"), "--model", str(model_file)]
    assert app.main([*line, "--device", "cpu"]) == 0  # no signal came
    assert "1 are left" in capsys.readouterr().out
