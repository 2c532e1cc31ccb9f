"""The account of a run: always there, names what failed, and what failed can be done alone."""

import errno
import json
import os

import numpy as np
import pytest

from nt2c.batch import reading
from nt2c.batch import summary as summary_module
from nt2c.batch.merge import merge_summaries
from nt2c.batch.run import denoise_files
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import read_summary
from nt2c.cli import app
from nt2c.core.errors import InputError, SettingsError
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import Micrograph
from nt2c.report.sources import find_source
from tests.batch.make import files, micrograph, noise, random_model
from tests.io.make import write_mrc

FP32 = DenoiseSettings(precision="fp32")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, name in enumerate("abc"):
        micrograph(folder / f"{name}.mrc", seed)
    return folder


def run(raw, out, model, **options):
    calls = {name: options.pop(name) for name in ("stop", "on_result") if name in options}
    batch = BatchOptions(device="cpu", **options)
    return denoise_files(find_inputs([raw]), out, model, FP32, batch, **calls)


def test_summary_tells_what_became_of_each(tmp_path, raw, model):
    (raw / "bad.mrc").write_bytes(b"")
    out = tmp_path / "out"
    summary = run(raw, out, model)
    results, about = read_summary(out / "summary.json")
    assert results == list(summary.results)
    assert about.counts == summary.counts == {"done": 3, "failed": 1}
    assert (about.finished, about.stopped, about.model) == (True, None, "tiny")
    assert [r.message for r in results if r.status == "failed"] == [
        f"{raw / 'bad.mrc'}: an empty file (0 bytes); copy or make it again"
    ]


def test_summary_is_there_from_the_start_and_after_a_bug(tmp_path, raw, model, monkeypatch):
    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(model.network, "forward", bug)
    with pytest.raises(ZeroDivisionError):
        run(raw, tmp_path / "out", model)
    results, about = read_summary(tmp_path / "out" / "summary.json")
    assert not about.finished
    assert [result.status for result in results] == ["left"] * 3
    with pytest.raises(SettingsError, match="did not come to its end"):
        run(raw, tmp_path / "out", model, retry_failed=True)


def test_retry_failed_does_only_those(tmp_path, raw, model):
    out = tmp_path / "out"
    with pytest.raises(SettingsError, match=r"'retry_failed': .*summary\.json: no such file"):
        run(raw, out, model, retry_failed=True)
    write_mrc(raw / "b.mrc", noise() * float("nan"), 2.0)
    run(raw, out, model)
    (out / "a.mrc").unlink()  # an ordinary run would do this one again
    micrograph(raw / "b.mrc")
    again = run(raw, out, model, retry_failed=True)
    assert [(r.input.name, r.status) for r in again.results] == [("b.mrc", "done")]
    results, _ = read_summary(out / "summary.json")
    assert [(r.input.name, r.status) for r in results] == [(f"{n}.mrc", "done") for n in "abc"]
    assert run(raw, out, model, retry_failed=True).results == ()


def test_what_was_done_stands_while_model_and_settings_are_the_same(tmp_path, raw, model):
    out, stop = tmp_path / "out", Stop()
    run(raw, out, model)
    stop.request()
    again = run(raw, out, model, stop=stop)
    assert again.counts == {"left": 3}  # this run did nothing
    results, about = read_summary(out / "summary.json")
    assert (about.finished, about.stopped, about.counts) == (True, "SIGTERM", {"done": 3})
    assert [result.shape for result in results] == [(48, 56)] * 3
    (out / "b.mrc").unlink()
    run(raw, out, model, stop=stop)
    assert read_summary(out / "summary.json")[1].counts == {"done": 2, "left": 1}
    run(raw, out, random_model(seed=1), stop=stop)
    assert read_summary(out / "summary.json")[1].counts == {"left": 3}


def test_outputs_that_are_removed_during_the_run_have_failed(tmp_path, raw, model):
    out = tmp_path / "out"

    def remove(result):
        if result.input.name == "a.mrc":
            out.rename(tmp_path / "away")

    summary = run(raw, out, model, on_result=remove)
    gone = [r for r in summary.results if not (out / f"{r.input.stem}.mrc").is_file()]
    assert gone == summary.with_status("failed")
    assert summary.results[0].message == (
        f"{out / 'a.mrc'}: was written, and is not there any more; who removed it? Run again to "
        "make it anew"
    )
    assert read_summary(out / "summary.json")[0] == list(summary.results)
    assert run(raw, out, model).with_status("failed") == []


DEEP = "[" * 100_000 + "]" * 100_000
ROW = {"input": "/a.mrc", "output": "/b.mrc", "status": "done"}
SOUND = {"format": 1, "version": "1", "finished": True, "stars": [], "results": [ROW]}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"format": 1}', '{"results": [{}], "format": 1}', DEEP),
        json.dumps(SOUND).replace('"1"', DEEP),
        json.dumps({k: v for k, v in SOUND.items() if k != "finished"}),
        *(
            json.dumps(SOUND | wrong)
            for wrong in (
                *({"format": 2}, {"stars": None}, {"stars": [1, "a"]}, {"stars": [[1]]}),
                *({"seconds": "a"}, {"settings": 3}, {"results": None}, {"results": [1]}),
                {"results": [ROW | {"status": ["done"]}]},
                {"results": [ROW | {"input": 3}]},
                {"results": [ROW | {"warnings": [None]}]},
                {"results": [ROW | {"shape": "ab"}]},
            )
        ),
    ],
)
def test_what_is_no_summary_is_refused_and_stands_in_no_way(tmp_path, raw, model, text):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SOUND))
    read_summary(path)
    path.write_text(text)
    for read in (read_summary, lambda path: merge_summaries(path.parent), find_source_of):
        with pytest.raises(InputError, match=r"summary\.json"):
            read(path)
    run(raw, tmp_path, model)
    assert [result.status for result in read_summary(path)[0]] == ["done"] * 3


def test_what_a_later_version_adds_to_a_summary_is_no_hindrance(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SOUND | {"new": 1, "results": [ROW | {"newer": 2}]}))
    results, about = read_summary(path)
    assert (len(results), about.new) == (1, 1)


def find_source_of(path):
    return find_source(path.parent)


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 2)], ids=["end", "start"])
def test_summary_that_cannot_be_written_is_told(
    tmp_path, raw, model_file, monkeypatch, capsys, finished, code
):
    write = summary_module.write_json

    def full(path, record):
        if record["finished"] == finished:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, record)

    monkeypatch.setattr(summary_module, "write_json", full)
    line = ["denoise", str(raw), "-o", str(tmp_path / "out"), "--model", str(model_file)]
    assert app.main([*line, "--device", "cpu"]) == code
    assert "summary.json: cannot be written (No space left on device)" in capsys.readouterr().err


def during_read(monkeypatch, name, do):
    """Let something happen to a file while it is read."""
    read = Micrograph.read

    def disturbed(self, section=0):
        image = read(self, section)
        if self.path.name == name:
            do(self.path)
        return image

    monkeypatch.setattr(Micrograph, "read", disturbed)


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("do", [grow, lambda path: path.unlink()], ids=["grows", "vanishes"])
def test_input_that_changes_while_it_is_read(tmp_path, raw, model, monkeypatch, do):
    during_read(monkeypatch, "b.mrc", do)
    summary = run(raw, tmp_path / "out", model)
    assert [result.status for result in summary.results] == ["done", "failed", "done"]
    assert "b.mrc: changed while it was read" in summary.results[1].message
    assert files(tmp_path / "out") == ["a.mrc", "c.mrc"]


def test_input_that_the_disk_does_not_give(tmp_path, raw, model, monkeypatch):
    def broken(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    during_read(monkeypatch, "b.mrc", broken)
    summary = run(raw, tmp_path / "out", model)
    assert [result.status for result in summary.results] == ["done", "failed", "done"]
    assert f"{raw / 'b.mrc'}: cannot be read" in summary.results[1].message
    assert files(tmp_path / "out") == ["a.mrc", "c.mrc"]


def test_unreadable_folder_is_named(tmp_path, model_file, monkeypatch, capsys):
    folder = tmp_path / "locked"
    folder.mkdir()

    def locked(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(type(folder), "iterdir", locked)
    line = ["denoise", str(folder), "-o", str(tmp_path / "out"), "--model", str(model_file)]
    assert app.main([*line, "--device", "cpu"]) == 1
    assert f"{folder}: this folder cannot be read (Permission denied)" in capsys.readouterr().err


def test_error_of_reading_a_later_image_of_a_stack(tmp_path, raw, model, monkeypatch):
    write_mrc(raw / "b.mrc", np.stack([noise(seed=s) for s in range(3)]), 2.0)
    read, seen = Micrograph.read, []

    def disturbed(self, section=0):
        seen.append(section)
        if section == 1:
            raise InputError("torn")
        return read(self, section)

    monkeypatch.setattr(reading.Micrograph, "read", disturbed)
    summary = run(raw, tmp_path / "out", model)
    assert [result.status for result in summary.results] == ["done", "failed", "done"]
    assert summary.results[1].message == f"{raw / 'b.mrc'}: torn"
    assert files(tmp_path / "out") == ["a.mrc", "c.mrc"]
