"""`nt2c relion fit`: what it asks of the pipeline, and how it stops."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nt2c.cli.app import main
from nt2c.hosts.relion_end import ABORT_NOW
from nt2c.io.inputs import find_inputs
from nt2c.pipeline.fit import FitResult
from tests.hosts.project import STAR, make_project

JOB = Path("External/job011")


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """A project in which fits take no time; the list of jobs they were asked to do."""
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, 3)
    asked = []

    def fit(job, watch):
        asked.append(job)
        watch.begin("windows", 3)
        for done in range(3):
            watch.advance(done)
        model = job.folder / "model.safetensors"
        model.touch()
        windows = SimpleNamespace(verdict="7 windows", failed=("a.mrc: damaged",))
        return FitResult(model, SimpleNamespace(stages={"windows": windows}, windows=windows))

    monkeypatch.setattr("nt2c.workflows.fit.do_stages", fit)
    return asked


def _fit(*more):
    words = ["relion", "fit", "--o", f"{JOB}/", "--in_mics", STAR, "--device", "cpu", "--j", "1"]
    return main([*words, *more])


def _names():
    return {path.name for path in JOB.iterdir() if not path.name.startswith(".")}


def test_a_model_and_a_logfile(jobs, model_file, capsys):
    more = ("--recipe", "quick", "--noise", "coloured", "--pixel_size", "2.5")
    assert _fit(*more, "--in_3dref", STAR, "--model", str(model_file)) == 0
    assert _names() == {
        "model.safetensors",
        "logfile.pdf",
        "RELION_OUTPUT_NODES.star",
        "RELION_JOB_EXIT_SUCCESS",
    }
    nodes = (JOB / "RELION_OUTPUT_NODES.star").read_text().split("\n")[8:]
    assert nodes == [f"{JOB}/logfile.pdf LogFile.pdf.relion", "", ""]
    (job,) = jobs
    assert job.inputs == tuple(find_inputs([STAR]))
    assert job.folder == JOB
    assert (job.recipe.name, job.recipe.noise) == ("quick", "coloured")
    assert (job.pixel_size_a, job.structures, job.device) == (2.5, (Path(STAR),), "cpu")
    assert job.coarse.metadata["name"] == "tiny"
    said = capsys.readouterr()
    assert f"{JOB}/model.safetensors" in said.out
    assert "nt2c: " in said.err, "one micrograph was damaged, which is no failure of the job"


def test_abort(jobs, monkeypatch):
    from nt2c.cli.watch import ConsoleWatch

    monkeypatch.setattr(ConsoleWatch, "begin", lambda *_: (JOB / ABORT_NOW).touch())
    assert _fit() == 1
    assert _names() == {"RELION_JOB_EXIT_ABORTED"}


def test_a_mode_that_there_is_not(jobs, capsys):
    assert main(["relion", "train", "--o", str(JOB), "--in_mics", STAR]) == 2
    assert "mode train: use denoise, fit or pick" in capsys.readouterr().err
    assert _names() == {"RELION_JOB_EXIT_FAILURE"}
