"""Watching: each micrograph once, when it is complete; what never is, is told; then it ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nt2c.batch import live as module
from nt2c.batch.live import Arrivals, watch
from nt2c.batch.plan import plan_jobs
from nt2c.batch.runner import Runner
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import read_summary
from nt2c.cli import app
from nt2c.cli.commands import Denoise
from nt2c.cli.live import denoise_live
from nt2c.denoising.denoiser import denoise, load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from tests.batch.make import files, micrograph, noise, pixels

FP32, CPU = DenoiseSettings(precision="fp32"), BatchOptions(device="cpu")


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


class Script:
    """Lets something happen between two looks instead of time passing."""

    def __init__(self, monkeypatch, *events):
        self.now, self.events = 0.0, list(events)
        monkeypatch.setattr(module, "_sleep", self.sleep)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def sleep(self, seconds, stop):
        self.now += seconds
        if self.events:
            self.events.pop(0)()


def run(raw, out, model, stop=None, idle_exit_s=3.5):
    """Watch a folder; return the state, the results in order, and what was shown."""
    told, shown = [], []
    state = watch(
        lambda: plan_jobs(find_inputs([raw]), out, ""),
        out,
        Runner(model, FP32, CPU, "cpu"),
        poll_s=1.0,
        idle_exit_s=idle_exit_s,
        stop=stop,
        on_result=told.append,
        on_look=lambda state: shown.append((state.over, sorted(p.name for p in state.waiting))),
    )
    return state, [(result.input.name, result.status) for result in told], shown


def test_each_good_one_once_the_corrupt_one_told_and_the_end(tmp_path, raw, model, monkeypatch):
    whole = micrograph(tmp_path / "whole.mrc", seed=1).read_bytes()

    def piece(start, stop):
        def append():
            with (raw / "pieces.mrc").open("ab") as file:
                file.write(whole[start:stop])

        return append

    Script(
        monkeypatch,
        lambda: micrograph(raw / "a.mrc"),
        piece(0, 500),  # not even the header
        piece(500, 3000),
        nothing,
        nothing,
        nothing,  # a pause longer than two looks
        piece(3000, None),
        lambda: (raw / "corrupt.mrc").write_bytes(b"not a micrograph" * 100),
        lambda: micrograph(raw / "b.mrc", seed=2),
    )
    out = tmp_path / "out"
    state, told, shown = run(raw, out, model)
    assert told == [
        ("a.mrc", "done"),
        ("pieces.mrc", "done"),
        ("b.mrc", "done"),
        ("corrupt.mrc", "failed"),
    ]
    assert "not an MRC file" in state.with_status("failed")[0].message
    assert state.waiting == {}
    assert shown[-1] == (True, [])
    assert (False, ["pieces.mrc"]) in shown
    for name, seed in {"a": 0, "pieces": 1, "b": 2}.items():
        expected = denoise(noise(seed=seed), 2.0, model, device="cpu", precision="fp32")
        np.testing.assert_array_equal(pixels(out / f"{name}.mrc"), expected)
    assert files(out) == ["a.mrc", "b.mrc", "pieces.mrc"]


def test_what_changes_is_done_again_and_a_second_watch_does_nothing(
    tmp_path, raw, model, monkeypatch
):
    micrograph(raw / "a.mrc")
    Script(monkeypatch, *[lambda: None] * 3, lambda: micrograph(raw / "a.mrc", seed=5))
    _, told, _ = run(raw, tmp_path / "out", model)
    assert told == [("a.mrc", "done")] * 2
    _, told, _ = run(raw, tmp_path / "out", model)
    assert told == [("a.mrc", "skipped")]


def test_a_star_file_that_comes_later(tmp_path, raw, model, monkeypatch):
    star = tmp_path / "micrographs.star"
    head = "data_micrographs\nloop_\n_rlnMicrographName #1\n"
    micrograph(raw / "a.mrc")
    micrograph(raw / "b.mrc", seed=1)
    Script(
        monkeypatch,
        lambda: star.write_text(head[:20]),
        lambda: star.write_text(f"{head}raw/a.mrc\n"),
        lambda: None,
        lambda: star.write_text(f"{head}raw/a.mrc\nraw/b.mrc\n"),
    )
    _, told, _ = run(star, tmp_path / "out", model)
    assert told == [("a.mrc", "done"), ("b.mrc", "done")]


def test_stop_ends_the_watch(tmp_path, raw, model, monkeypatch):
    stop = Stop()
    Script(monkeypatch, lambda: micrograph(raw / "a.mrc"), lambda: None, stop.request)
    state, told, _ = run(raw, tmp_path / "out", model, stop, idle_exit_s=None)
    assert told == [("a.mrc", "done")]
    assert state.over


def test_a_file_must_rest_between_two_looks(tmp_path):
    path = micrograph(tmp_path / "a.mrc")
    jobs, arrivals = plan_jobs(find_inputs([path]), tmp_path / "out", ""), Arrivals()
    assert arrivals.look(jobs) == []
    os.utime(path, ns=(1, 1))
    assert arrivals.look(jobs) == []
    assert arrivals.look(jobs) == jobs
    assert arrivals.look(jobs) == []


@pytest.fixture
def live(raw, model, monkeypatch):
    """Return a function that watches as the command does while events happen; gives the summary."""

    def run(out, *events, stop=None, on_result=lambda result: None):
        Script(monkeypatch, *events)
        given = Denoise(
            inputs=[str(raw)], output=out, settings=FP32, live=True, poll_s=1.0, idle_exit_s=2.5
        )
        denoise_live(given, CPU, model, Stop() if stop is None else stop, on_result)
        return told(out)

    return run


def told(out):
    """Return whether a summary says that it is finished, and what became of each."""
    results, about = read_summary(out / "summary.json")
    return about.finished, about.stopped, {r.input.name: r.status for r in results}


def nothing():
    pass


def test_summary_is_true_when_a_restart_is_stopped_or_killed(tmp_path, raw, live):
    out = tmp_path / "out"
    micrograph(raw / "a.mrc")
    micrograph(raw / "b.mrc", seed=1)
    assert live(out) == (True, None, {"a.mrc": "done", "b.mrc": "done"})

    stop = Stop()  # before anything was looked at
    micrograph(raw / "c.mrc", seed=2)
    whole = {"a.mrc": "done", "b.mrc": "done", "c.mrc": "left"}
    assert live(out, stop.request, stop=stop) == (True, "SIGTERM", whole)
    stop.request()
    assert live(out, stop=stop) == (True, "SIGTERM", {"a.mrc": "done", "b.mrc": "done"})

    def kill(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live(out, on_result=kill)
    assert told(out) == (False, None, whole)
    last = {"a.mrc": "skipped", "b.mrc": "skipped", "c.mrc": "done"}
    assert live(out) == (True, None, last)
    (out / "a.mrc").unlink()
    with pytest.raises(KeyboardInterrupt):
        live(out, on_result=kill)
    assert told(out)[2] == last | {"a.mrc": "left"}


def test_killed_at_first_a_watch_leaves_a_summary(tmp_path, raw, live):
    micrograph(raw / "a.mrc")

    def kill(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live(tmp_path / "out", on_result=kill)
    assert told(tmp_path / "out") == (False, None, {"a.mrc": "left"})


def test_what_is_removed_during_the_watch_has_failed(tmp_path, raw, live):
    out = tmp_path / "out"
    micrograph(raw / "a.mrc")
    _, _, statuses = live(out, nothing, nothing, lambda: (out / "a.mrc").unlink())
    assert statuses == {"a.mrc": "failed"}


def test_live_command(tmp_path, raw, model_file):
    """As a user sees it: page, status, summary and exit code."""
    out = tmp_path / "out"
    code = "from nt2c.cli.app import main; raise SystemExit(main())"
    options = ["--model", model_file, "--device", "cpu", "--live", "--poll", "0.2"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "denoise", raw, "-o", out, *options, "--idle-exit", "1.5"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    micrograph(raw / "a.mrc")
    (raw / "corrupt.mrc").write_bytes(b"")
    while not (out / "a.mrc").exists():
        assert process.poll() is None
        time.sleep(0.01)
    page = out / "live.html"
    shown, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"[1] {raw / 'a.mrc'}: done" in shown
    assert f"failed: {raw / 'corrupt.mrc'}: an empty file" in errors
    status = json.loads((out / "status.json").read_text())
    assert (status["over"], status["done"], status["failed"]) == (True, 1, 1)
    assert "an empty file" in status["failures"][str(raw / "corrupt.mrc")]
    text = page.read_text()
    assert "1 micrograph denoised, 1 failed. The watch has ended." in text
    assert "data:image/png;base64," in text
    assert "http-equiv" not in text
    record = json.loads((out / "summary.json").read_text())
    assert (record["finished"], record["counts"]) == (True, {"done": 1, "failed": 1})
    expected = denoise(noise(), 2.0, load_model(model_file), device="cpu", precision="fp32")
    assert np.corrcoef(pixels(out / "a.mrc").ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("option", [["--shard", "1/2"], ["--retry-failed"]])
def test_live_goes_not_with(tmp_path, raw, capsys, option):
    assert app.main(["denoise", str(raw), "-o", str(tmp_path / "out"), "--live", *option]) == 2
    assert "--live: not together with" in capsys.readouterr().err
