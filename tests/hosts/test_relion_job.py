"""`nt2c relion` in a made project: what it leaves, how it stops, goes on and fails."""

import os
import re
import shlex
from pathlib import Path

import gemmi
import numpy as np
import pytest
import starfile

from nt2c.batch.run import denoise_files
from nt2c.batch.summary import read_summary
from nt2c.cli.app import main
from nt2c.cli.relion_words import RELIONS_OWN
from nt2c.io.star_text import read_star_text
from tests.batch.make import pixels
from tests.hosts.project import STAR, make_project

COUNT = 40
JOB = Path("External/job012")
ENDS = {"RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, model_file):
    """The project after a job of 40 micrographs, and its names."""
    root = tmp_path_factory.mktemp("project")
    names = make_project(root, COUNT)
    before = Path.cwd()
    os.chdir(root)
    try:
        assert _relion(model_file) == 0
    finally:
        os.chdir(before)
    return root, names


@pytest.fixture
def done(made, monkeypatch):
    root, names = made
    monkeypatch.chdir(root)
    return names


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project; its jobs write no logfile.pdf, which takes a second."""
    monkeypatch.setattr("nt2c.report.logfile.write_logfile", lambda path, *_: path.touch())
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path, 5)


def _relion(model_file, *more, job=JOB):
    """Run the command as RELION writes it: a field left empty gives a bare label."""
    words = f"relion --o {job}/ --in_mics {STAR} --model {model_file} --note --device cpu --j 1"
    return main([*shlex.split(words), *more])


def _ends(job=JOB):
    return {path.name for path in job.iterdir()} & ENDS


def _output(name, job=JOB):
    return f"{job}/{name.removeprefix('MotionCorr/job002/')}"


def _stamps(job=JOB):
    return {path: path.stat().st_mtime_ns for path in job.rglob("*.mrc")}


def test_outputs_mirror_the_names_without_the_job(done):
    assert {str(path) for path in JOB.rglob("*.mrc")} == {_output(name) for name in done}
    assert _ends() == {"RELION_JOB_EXIT_SUCCESS"}


def test_lists_keep_every_byte_but_the_name(done):
    given = Path(STAR).read_bytes()
    expected = given
    for name in done:
        expected = expected.replace(b"\n" + name.encode(), b"\n" + _output(name).encode())
    assert (JOB / "micrographs.star").read_bytes() == expected
    assert (JOB / "micrographs_raw.star").read_bytes() == given


def test_nodes_are_written_last_but_the_end(done):
    lines = (JOB / "RELION_OUTPUT_NODES.star").read_text().split("\n")
    assert lines[3:10] == [
        "data_output_nodes",
        "",
        "loop_",
        "_rlnPipeLineNodeName #1",
        "_rlnPipeLineNodeTypeLabel #2",
        f"{JOB}/micrographs.star MicrographGroupMetadata.star.relion",
        f"{JOB}/micrographs_raw.star MicrographGroupMetadata.star.relion",
    ]
    assert lines[10] == f"{JOB}/logfile.pdf LogFile.pdf.relion"
    times = [
        (JOB / name).stat().st_mtime_ns
        for name in ("logfile.pdf", "RELION_OUTPUT_NODES.star", "RELION_JOB_EXIT_SUCCESS")
    ]
    assert times == sorted(times)
    assert (JOB / "logfile.pdf").read_bytes().startswith(b"%PDF")


def test_gemmi_and_starfile_read_what_was_given(done):
    names = gemmi.cif.read(str(JOB / "RELION_OUTPUT_NODES.star"))[0].find_values(
        "_rlnPipeLineNodeName"
    )
    nodes = starfile.read(JOB / "RELION_OUTPUT_NODES.star")
    assert list(nodes["rlnPipeLineNodeName"]) == list(names)
    assert all(Path(name).exists() for name in names)
    given = starfile.read(STAR)
    for name in ("micrographs.star", "micrographs_raw.star"):
        read = starfile.read(JOB / name)
        assert read["optics"].equals(given["optics"])
        labels = list(given["micrographs"].columns)
        assert list(read["micrographs"].columns) == labels
        assert read["micrographs"][labels[1:]].equals(given["micrographs"][labels[1:]])
        document = gemmi.cif.read(str(JOB / name))
        files = document.find_block("micrographs").find_values("_rlnMicrographName")
        assert len(files) == COUNT
        assert all(Path(file).exists() for file in files)


def test_continue_does_nothing_again(done, model_file):
    stamps = _stamps()
    lists = {name: (JOB / name).read_bytes() for name in ("micrographs.star",)}
    assert _relion(model_file) == 0
    assert _stamps() == stamps
    assert {name: (JOB / name).read_bytes() for name in lists} == lists


def test_abort_and_continue(project, model_file, monkeypatch):
    statuses = []

    def abort_after_two(*arguments, on_result, **options):
        def watch(result):
            statuses.append(result.status)
            if len(statuses) == 2:
                (JOB / "RELION_JOB_ABORT_NOW").touch()
            on_result(result)

        return denoise_files(*arguments, on_result=watch, **options)

    monkeypatch.setattr("nt2c.hosts.relion.denoise_files", abort_after_two)
    assert _relion(model_file) == 1
    assert _ends() == {"RELION_JOB_EXIT_ABORTED"}
    assert not (JOB / "RELION_JOB_ABORT_NOW").exists()
    told = len(statuses)
    assert statuses == ["done"] * told
    stamps = _stamps()
    assert 2 <= len(stamps) == told < len(project)  # what was at work was finished
    assert not (JOB / "RELION_OUTPUT_NODES.star").exists()
    _, about = read_summary(JOB / "summary.json")
    assert about.finished
    assert about.counts == {"done": told, "left": len(project) - told}

    assert _relion(model_file) == 0
    assert _ends() == {"RELION_JOB_EXIT_SUCCESS"}
    assert stamps.items() <= _stamps().items()
    assert statuses[told:].count("skipped") == len(stamps)


def test_do_at_most_then_the_rest(project, model_file):
    """No more than asked for, of those that can be denoised; the account is that of a whole run."""
    Path(project[0]).write_bytes(b"")

    def listed():
        table = read_star_text(JOB / "micrographs.star").table("rlnMicrographName")
        return table.column("rlnMicrographName")

    for most in (1, 3):
        assert _relion(model_file, "--do_at_most", str(most - len(_stamps()))) == 0
        assert listed() == [_output(name) for name in project[1 : 1 + most]]
        assert len(_stamps()) == most
        _, about = read_summary(JOB / "summary.json")
        assert about.finished
        assert about.counts["left"] == len(project) - 1 - most
    assert _relion(model_file) == 0
    assert listed() == [_output(name) for name in project[1:]]


def test_a_bad_micrograph_is_left_out_and_named(project, model_file, capsys):
    Path(project[1]).write_bytes(b"")
    assert _relion(model_file) == 0, "the mark and the code say the same"
    assert _ends() == {"RELION_JOB_EXIT_SUCCESS"}
    assert project[1] in capsys.readouterr().err
    for name in ("micrographs.star", "micrographs_raw.star"):
        table = read_star_text(JOB / name).table("rlnMicrographName")
        assert len(table.rows) == len(project) - 1
        assert Path(project[1]).name not in (JOB / name).read_text()


def test_the_pixel_size_is_that_of_the_optics_group(project, model_file):
    """The header says nothing; only the two groups of the STAR file tell the sizes apart."""
    import mrcfile

    for name in project:
        with mrcfile.open(name, "r+") as mrc:
            mrc.voxel_size = 0.0
    assert _relion(model_file) == 0
    for n, name in enumerate(project):
        with mrcfile.open(_output(name)) as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(2.0 + n % 2)


def test_parameters_are_used(project, model_file):
    other = Path("External/job013")
    more = ("--keep_background", "Yes", "--float16", "--pixel_size=2.5")
    assert _relion(model_file) == 0
    assert _relion(model_file, *more, job=other) == 0
    first, second = _output(project[0]), _output(project[0], other)
    assert pixels(first).dtype == np.float32
    assert pixels(second).dtype == np.float16
    assert not np.array_equal(pixels(first).astype(np.float16), pixels(second))


def test_unknown_parameters_are_noted(project, model_file, capsys):
    others = [word for name in RELIONS_OWN for word in (name, "x.star")]
    assert _relion(model_file, "--gpu", "0", "--pipeline_control", f"{JOB}/", *others) == 0
    out = capsys.readouterr().out
    assert "note: --gpu 0: not known, ignored" in out
    assert "note: --note: not known" in out
    assert "pipeline_control" not in out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--pixelsize 1.1", "--pixel-size"),
        ("--modle x", "--model"),
        ("--Float16", "--float16"),
        ("--keep_backgroud", "--keep-background"),
        ("--do_at_most1 5", "--do-at-most"),
        ("--devise cpu", "--device"),
    ],
)
def test_a_misspelt_label_fails(project, model_file, typed, meant, capsys):
    """What a user typed must not be ignored: the job would run with another value."""
    JOB.mkdir(parents=True)
    assert _relion(model_file, *typed.split()) == 2
    assert _ends() == {"RELION_JOB_EXIT_FAILURE"}
    assert f"did you mean {meant}?" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--in_mics missing.star", 1, "missing.star"),
        ("", 2, "--in_mics"),
        (f"--in_mics {STAR} --model nothing", 2, "nothing"),
        (f"--in_mics {STAR} --j two", 2, "--j"),
        (f"--in_mics {STAR} --pixel_size -1", 2, "--pixel-size -1: must be"),
        (f"--in_mics {STAR} --device cuda:77", 2, "cuda:77"),
    ],
)
def test_what_fails_tells_relion(project, words, code, said, capsys):
    JOB.mkdir(parents=True)  # RELION makes it
    (JOB / "RELION_JOB_EXIT_SUCCESS").touch()
    assert main(["relion", *shlex.split(words), "--o", f"{JOB}/"]) == code
    assert _ends() == {"RELION_JOB_EXIT_FAILURE"}
    assert re.search(said, capsys.readouterr().err)


def test_no_micrograph_at_all_is_a_failure(project, model_file, capsys):
    for name in project:
        Path(name).write_bytes(b"")
    assert _relion(model_file) == 1
    assert _ends() == {"RELION_JOB_EXIT_FAILURE"}
    assert "none of its 5 micrographs" in capsys.readouterr().err


def test_help_comes_without_a_job(capsys):
    assert main(["relion", "--help"]) == 0
    assert "--in_mics" in capsys.readouterr().out
