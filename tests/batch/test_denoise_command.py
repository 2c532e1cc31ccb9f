"""`nt2c denoise`: what it says, what it writes, how it exits."""

import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from nt2c.batch.summary import read_summary
from nt2c.cli import app
from nt2c.cli.progress import PlainConsole
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.denoising.denoiser import denoise, load_model
from tests.batch.make import files, micrograph, noise, pixels


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        micrograph(folder / f"{name}.mrc", seed)
    return folder


@pytest.fixture
def nt2c(tmp_path, model_file, capsys):
    """Return a function that runs the command and gives exit code, stdout and stderr."""

    def run(*arguments):
        words = [*map(str, arguments), "-o", str(tmp_path / "out"), "--device", "cpu"]
        code = app.main(["denoise", *words, "--model", str(model_file)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_run_and_rerun(tmp_path, raw, nt2c, model_file):
    code, out, err = nt2c(raw, "--precision", "fp32")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("device     cpu")
    assert lines[1] == f"model      {model_file} (tiny)"
    assert lines[2] == "precision  fp32"
    assert f"[2/2] {raw / 'b.mrc'}: done in " in out
    assert "2 done, 0 skipped (done before), 0 failed" in out
    assert " s per micrograph" in out
    assert f"results are in {tmp_path / 'out'}" in out
    assert lines[-1] == EXTRACT_FROM_RAW
    expected = denoise(noise(), 2.0, load_model(model_file), device="cpu", precision="fp32")
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "a.mrc"), expected)

    code, out, _ = nt2c(raw, "--precision", "fp32")
    assert code == 0
    assert "0 done, 2 skipped (done before), 0 failed" in out
    code, out, _ = nt2c(raw, "--precision", "fp32", "--overwrite")
    assert "2 done" in out


def test_failures_are_named_and_exit_code_is_1(tmp_path, raw, nt2c):
    (raw / "bad.mrc").write_bytes(b"")
    code, out, err = nt2c(raw, "--json", tmp_path / "did.json")
    assert code == 1
    assert "2 done, 0 skipped (done before), 1 failed" in out
    assert err == f"failed: {raw / 'bad.mrc'}: an empty file (0 bytes); copy or make it again\n"
    record = json.loads((tmp_path / "did.json").read_text())
    assert [r["status"] for r in record["results"]] == ["done", "done", "failed"]
    assert record["results"][0]["shape"] == [48, 56]
    assert record["results"][0]["pixel_size_a"] == 2.0
    assert record["results"][0]["precision"] in ("fp32", "bf16")
    assert "empty file" in record["results"][2]["message"]
    assert record["model"] == "tiny"
    assert record["settings"]["precision"] == "auto"


def test_nothing_done_is_not_called_a_result(raw, nt2c):
    (raw / "bad.mrc").write_bytes(b"")
    code, out, _ = nt2c(raw / "bad.mrc")
    assert code == 1
    assert "results are in" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--precision", "fp8"], "--precision fp8: use auto, fp32 or bf16"),
        (["--pixel-size", "0"], "--pixel-size 0: must be between 0.1 and 15 angstrom per pixel"),
        (["--output-pixel-size", "-1"], "--output-pixel-size -1: must be between"),
        (["--output-pixel-size", "nan"], "--output-pixel-size nan: must be between"),
        (["--device", "abacus"], "use auto, cpu, cuda"),
        (["--suffix", "a/b"], "holds '/'"),
        (["--retry-failed", "--overwrite"], "not together with --overwrite"),
        (["--idle-exit", "5"], "only with --live"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_2(tmp_path, raw, model_file, capsys, arguments, words):
    line = ["denoise", str(raw), "-o", str(tmp_path / "out"), "--model", str(model_file)]
    assert app.main([*line, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_over_the_inputs_is_wrong_usage(raw, model_file, capsys):
    assert app.main(["denoise", str(raw), "-o", str(raw), "--model", str(model_file)]) == 2
    assert "would be written over" in capsys.readouterr().err


def test_options_reach_the_result(tmp_path, raw, nt2c):
    options = ["--pixel-size", 2.5, "--output-pixel-size", 5, "--float16", "--suffix", "_d"]
    code, _, _ = nt2c(raw / "a.mrc", *options, "--keep-background", "--json", tmp_path / "j")
    assert code == 0
    assert files(tmp_path / "out") == ["a_d.mrc"]
    with mrcfile.open(tmp_path / "out" / "a_d.mrc") as mrc:
        assert mrc.data.shape == (24, 28)
        assert mrc.data.dtype == np.float16
        assert mrc.voxel_size.x == 5
    assert json.loads((tmp_path / "j").read_text())["settings"] == {
        "pixel_size_a": 2.5,
        "output_pixel_size_a": 5.0,
        "precision": "auto",
        "keep_background": True,
        "float16": True,
        "sum_frames": False,
        "tiff_top_first": False,
    }


def test_a_warning_is_shown_once(tmp_path, nt2c):
    for name in "abc":
        micrograph(tmp_path / f"{name}.mrc", pixel_size_a=1.0)
    _, out, _ = nt2c(*(tmp_path / f"{name}.mrc" for name in "abc"))
    assert out.count("the header says exactly 1 A/px") == 2
    assert f"warning: {tmp_path / 'a.mrc'}: the header says" in out
    assert "warning: 2 more files: the header says" in out
    assert out.count("the field is only 48 A wide") == 2


def test_other_results_of_the_folder_stay_in_the_summary(tmp_path, raw, nt2c):
    nt2c(raw)
    code, out, _ = nt2c(raw / "b.mrc", "--output-pixel-size", "8")
    assert code == 0
    assert f"warning: {raw / 'b.mrc'}: its earlier result" in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    named = {result["input"]: result["shape"] for result in summary["results"]}
    whole, small = (named[str(raw / name)] for name in ("a.mrc", "b.mrc"))
    assert small[0] < whole[0]
    assert summary["counts"] == {"done": 2}

    (tmp_path / "out" / "a.mrc").unlink()  # a result that is gone is not told of any more
    _, out, _ = nt2c(raw / "b.mrc", "--output-pixel-size", "8")
    assert "earlier result" not in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [result["input"] for result in summary["results"]] == [str(raw / "b.mrc")]


def test_what_was_done_before_takes_one_line(raw, nt2c):
    nt2c(raw)
    micrograph(raw / "c.mrc", 2)
    lines = nt2c(raw)[1].splitlines()
    assert lines[3] == "[2/3] 2 micrographs skipped (done before)"
    assert f"[3/3] {raw / 'c.mrc'}: done in" in "\n".join(lines)
    assert "[3/3] 3 micrographs skipped (done before)" in nt2c(raw)[1].splitlines()


STRANGE = [
    os.fsdecode(b"caf\xe9.mrc"),  # Latin-1
    "\x1b[2Jgone\x07.mrc",
    "[red]b.mrc",  # markup to rich
    "\u202egpj.mrc",  # right to left
]


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def start(request, tmp_path, raw, model_file):
    """Return a function that runs the command in a process of its own; gives what it showed."""

    def run(*options, env=None):
        words = ["-o", tmp_path / "out", "--model", model_file, "--device", "cpu", *options]
        ours, theirs = pty.openpty() if request.param else os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "nt2c", "denoise", raw, *words],
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "300", "OMP_NUM_THREADS": "1"}
            | (env or {}),
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
        return process.wait(), shown

    run.terminal = request.param
    return run


@pytest.mark.parametrize("live", [[], ["--live", "--poll", "0.1", "--idle-exit", "0.2"]])
def test_strange_names_are_denoised_and_shown_not_obeyed(tmp_path, raw, start, live):
    for seed, name in enumerate(STRANGE):
        micrograph(raw / name, seed)
        (raw / f"bad_{name}").write_bytes(b"")
    code, shown = start(*live, env={"PYTHONIOENCODING": "utf-8:strict"})
    assert (code, b"Traceback" in shown) == (1, False)
    assert files(tmp_path / "out", but=("live.html", "status.json")) == sorted(
        ["a.mrc", "b.mrc", *STRANGE]
    )
    text = shown.decode()
    for told in (r"bad_caf\udce9.mrc", r"bad_\x1b[2Jgone\x07.mrc", r"bad_\u202egpj.mrc"):
        assert f"{told}: an empty file" in text
    assert "bad_[red]b.mrc: an empty file" in text
    for raw_bytes in (b"\xe9", b"\x1b[2J", b"\x07", "\u202e".encode()):
        assert raw_bytes not in shown
    results, _ = read_summary(tmp_path / "out" / "summary.json")
    assert {r.input.name for r in results if r.status == "done"} == {"a.mrc", "b.mrc", *STRANGE}
    if live:
        assert "bad_[red]b.mrc" in (tmp_path / "out" / "live.html").read_text()


def test_bar_on_a_terminal(start):
    """On a terminal a bar takes the place of the lines per file."""
    code, shown = start()
    assert code == 0
    assert (b"2/2" in shown, b"[2/2]" in shown) == (True, not start.terminal)
    assert EXTRACT_FROM_RAW.encode() in shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["models", "--version"])
def test_output_that_gets_lost_is_one_line_and_exit_code_1(command):
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "nt2c", command],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 1
    (line,) = process.stderr.decode().splitlines()
    assert line.startswith("nt2c: ")
    assert line.endswith(os.strerror(errno.ENOSPC))


def test_a_log_that_the_disk_does_not_take_does_not_stop_the_work(tmp_path, raw, nt2c, monkeypatch):
    def full(self, *objects, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PlainConsole, "print", full)
    assert nt2c(raw)[0] == 0
    assert files(tmp_path / "out") == ["a.mrc", "b.mrc"]
