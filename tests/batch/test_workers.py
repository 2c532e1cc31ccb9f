"""One process for each device: together they do what one does."""

import signal
from functools import partial

import numpy as np
import pytest

from nt2c.batch import run as batch
from nt2c.batch.plan import plan_jobs
from nt2c.batch.run import denoise_files
from nt2c.batch.runner import Runner
from nt2c.batch.stopping import Stop
from nt2c.batch.workers import run_on_devices
from nt2c.core.device import split_device
from nt2c.core.errors import SettingsError
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from tests.batch.make import files, micrograph, pixels

FP32 = DenoiseSettings(precision="fp32")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed in range(5):
        micrograph(folder / f"{seed}.mrc", seed)
    (folder / "bad.mrc").write_bytes(b"")
    return folder


def test_cuda_all_is_every_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert split_device("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]
    assert split_device("cpu") == ["cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(SettingsError, match="no CUDA device is visible"):
        split_device("cuda:all")


def test_two_processes_do_what_one_does(tmp_path, raw, model, monkeypatch):
    monkeypatch.setattr(batch, "split_device", lambda device: ["cpu", "cpu"])
    told = []
    out = tmp_path / "out"
    summary = denoise_files(
        find_inputs([raw]), out, model, FP32, BatchOptions(device="cuda:all"), on_result=told.append
    )
    assert [r.input.name for r in summary.results] == [*(f"{i}.mrc" for i in range(5)), "bad.mrc"]
    assert [r.status for r in summary.results] == ["done"] * 5 + ["failed"]
    assert sorted(told, key=lambda r: r.input) == list(summary.results)
    monkeypatch.undo()
    denoise_files(find_inputs([raw]), tmp_path / "one", model, FP32, BatchOptions(device="cpu"))
    assert files(out) == files(tmp_path / "one")
    for name in files(out):
        np.testing.assert_array_equal(pixels(out / name), pixels(tmp_path / "one" / name))


def test_a_limit_is_dealt_out(tmp_path, raw, model):
    jobs = plan_jobs(find_inputs([raw]), tmp_path / "out", "")
    (tmp_path / "out").mkdir()
    stop = Stop(at_most=3)
    make = partial(Runner, model, DenoiseSettings(), BatchOptions())
    results = run_on_devices(["cpu", "cpu"], make, jobs, jobs, stop=stop)
    statuses = [result.status for result in results]
    assert (statuses.count("done"), len(files(tmp_path / "out"))) == (3, 3)


def test_stop_and_death_of_processes(tmp_path, raw, model, monkeypatch):
    """A request reaches the processes; what one that died had to do is told as failed."""
    jobs = plan_jobs(find_inputs([raw]), tmp_path / "out", "")
    make = partial(Runner, model, FP32, BatchOptions())
    stop = Stop()
    stop.request(signal.SIGTERM)
    results = run_on_devices(["cpu"], make, jobs, jobs, stop=stop)
    # It comes while the process starts, before it listens, or after.
    assert {r.status for r in results} <= {"left", "failed", "done"}
    assert len(results) == 6
    jobs = plan_jobs(find_inputs([raw]), tmp_path / "other", "")
    results = run_on_devices(["cpu", "cuda:99"], make, jobs, jobs)
    assert [r.status for r in results] == ["done", "failed", "done", "failed", "done", "failed"]
    assert "the process for cuda:99 ended with exit code 1" in results[1].message
