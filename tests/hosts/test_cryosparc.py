"""`nt2c cryosparc`: from and to .cs files, and as an external job of a made project."""

import contextlib
import inspect
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nt2c.cli import cryosparc as command
from nt2c.cli.app import main
from nt2c.hosts.cryosparc import SLOT, exposure_inputs, run_external_job
from nt2c.io.cs import read_cs
from nt2c.io.micrographs import write_micrograph
from tests.batch.make import micrograph, pixels

UIDS = [2**63 + 7, 12, 13]
PIXELS_A = [2.0, 2.0, 3.0]


@pytest.fixture
def project(tmp_path):
    """Folder of a project with three exposures; their headers tell nothing of the pixel size."""
    for n, name in enumerate(_names()):
        path = tmp_path / "CS-p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        micrograph(path, seed=n, pixel_size_a=None)
    return tmp_path / "CS-p"


def _names():
    """Two have one name, as in folders of two grids; the first has CryoSPARC's number."""
    return [f"J2/motioncorrected/{UIDS[0]}_a.mrc", "S1/b.mrc", "S2/b.mrc"]


@pytest.fixture
def dataset():
    """Return exposures as CryoSPARC has them, made by cryosparc-tools."""
    module = pytest.importorskip(
        "cryosparc.dataset", reason="cryosparc-tools is not installed (extra cryosparc)"
    )
    data = module.Dataset.allocate(
        3,
        [
            ("micrograph_blob/path", "O"),
            ("micrograph_blob/idx", "<u4"),
            ("micrograph_blob/shape", "<u4", (2,)),
            ("micrograph_blob/psize_A", "<f4"),
            ("micrograph_blob/format", "O"),
            ("ctf/df1_A", "<f4"),
        ],
    )
    data["uid"] = np.array(UIDS, np.uint64)
    data["micrograph_blob/path"] = _names()
    data["micrograph_blob/shape"] = np.tile(np.uint32([48, 56]), (3, 1))
    data["micrograph_blob/psize_A"] = np.float32(PIXELS_A)
    data["micrograph_blob/format"] = ["MRC/2"] * 3
    data["ctf/df1_A"] = np.float32([10000, 11000, 12000])
    return data


def _plain_cs(path):
    """Write the same without cryosparc-tools."""
    kinds = [("uid", "<u8"), ("micrograph_blob/path", "S80"), ("micrograph_blob/psize_A", "<f4")]
    with path.open("wb") as file:
        np.save(file, np.array(list(zip(UIDS, _names(), PIXELS_A, strict=True)), kinds))


def _run(project, model_file, *more, exposures="exposures.cs"):
    words = ["--exposures", str(project / exposures), "--project-dir", str(project), "-o"]
    words += [str(project / "J9"), "--model", str(model_file), "--device", "cpu"]
    return main(["cryosparc", *words, *more])


def test_dataset_to_dataset(project, dataset, model_file):
    from cryosparc.dataset import Dataset

    dataset.save(project / "exposures.cs")
    assert _run(project, model_file) == 0
    new = Dataset.load(project / "J9" / "denoised_exposures.cs")
    assert list(new["uid"]) == UIDS
    for field in dataset.fields():
        assert np.array_equal(new[field], dataset[field]), field
    assert len(set(new[f"{SLOT}/path"])) == 3
    for path, shape, size_a in zip(
        new[f"{SLOT}/path"], new[f"{SLOT}/shape"], new[f"{SLOT}/psize_A"], strict=True
    ):
        assert pixels(project / path).shape == tuple(shape) == (48, 56)
        assert size_a in (2.0, 3.0)
    assert list(new[f"{SLOT}/psize_A"]) == PIXELS_A
    assert set(new[f"{SLOT}/format"]) == {"MRC/2"}
    assert set(new[f"{SLOT}/is_background_subtracted"]) == {1}


def test_without_cryosparc_tools(project, model_file, capsys):
    _plain_cs(project / "exposures.cs")
    assert _run(project, model_file, "--output-pixel-size", "6", "--float16") == 0
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    path = project / new[f"{SLOT}/path"][0].decode()
    assert pixels(path).dtype == np.float16
    assert pixels(path).shape == tuple(new[f"{SLOT}/shape"][0]) == (16, 18)
    assert new[f"{SLOT}/psize_A"][0] == pytest.approx(6, rel=0.03)
    assert set(new[f"{SLOT}/format"]) == {b"MRC/12"}
    assert "3 exposures denoised, 0 failed" in capsys.readouterr().out


def test_a_missing_exposure_is_left_out(project, model_file, capsys):
    _plain_cs(project / "exposures.cs")
    (project / _names()[1]).unlink()
    assert _run(project, model_file) == 1
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    assert list(new["uid"]) == [UIDS[0], UIDS[2]]
    assert [path.decode().split("_")[-1] for path in new[f"{SLOT}/path"]] == ["a.mrc", "b.mrc"]
    assert "S1/b.mrc" in capsys.readouterr().err


class FakeJob:
    """Stands for an ExternalJobController; what is called must fit the real one."""

    uid = "J9"

    def __init__(self, exposures, fields):
        self.exposures, self.expected = exposures, fields
        self.calls, self.status, self.saved = [], "building", None

    def __getattr__(self, name):
        return lambda *args, **kwargs: self._call(name, args, kwargs)

    def _call(self, name, args, kwargs):
        from cryosparc.controllers.job import ExternalJobController
        from cryosparc.dataset import Dataset

        inspect.signature(getattr(ExternalJobController, name)).bind(self, *args, **kwargs)
        self.calls.append((name, args, kwargs))
        if name == "load_input":
            return self.exposures
        if name == "alloc_output":
            return Dataset({"uid": args[1]}).add_fields(self.expected)
        if name == "save_output":
            self.saved = args[1]
        if name == "run":
            return self._run()
        return None

    @contextlib.contextmanager
    def _run(self):
        self.status = "failed"
        yield self
        self.status = "completed"


class FakeProject:
    def __init__(self, folder, job):
        self.dir, self.job = folder, job

    def create_external_job(self, *args, **kwargs):
        from cryosparc.controllers.project import ProjectController

        inspect.signature(ProjectController.create_external_job).bind(self, *args, **kwargs)
        return self.job


@pytest.fixture
def server(project, dataset, monkeypatch):
    kinds = [("path", "O"), ("idx", "<u4"), ("shape", "<u4", (2,)), ("psize_A", "<f4")]
    kinds += [("format", "O"), ("is_background_subtracted", "<u4")]
    job = FakeJob(dataset, [(f"{SLOT}/{name}", *kind) for name, *kind in kinds])

    class Client:
        def find_project(self, uid):
            assert uid == "P3"
            return FakeProject(project, job)

    monkeypatch.setattr(command, "_client", Client)
    return job


def _serve(model_file):
    words = "cryosparc --project P3 --workspace W1 --job J5 --group accepted --device cpu --model"
    return main([*words.split(), str(model_file)])


def test_as_an_external_job(server, project, model_file, capsys):
    assert _serve(model_file) == 0
    assert server.status == "completed"
    names = [name for name, _, _ in server.calls]
    assert names == ["connect", "add_output", "run", "load_input", "alloc_output", "save_output"]
    assert server.calls[0][1] == ("exposures", "J5", "accepted")
    assert server.calls[1][2]["passthrough"] == "exposures"
    assert list(server.saved["uid"]) == UIDS
    for path in server.saved[f"{SLOT}/path"]:
        assert path.startswith("J9/denoised/")
        assert (project / path).is_file()
    assert list(server.saved[f"{SLOT}/psize_A"]) == PIXELS_A
    assert "job: P3 J9" in capsys.readouterr().out


def test_failures_of_an_external_job(server, project, model_file):
    (project / _names()[0]).unlink()
    assert _serve(model_file) == 1
    assert server.status == "completed"
    assert list(server.saved["uid"]) == UIDS[1:]
    assert server.calls[-1][0] == "log"
    assert server.calls[-1][2] == {"level": "warning"}
    for name in _names()[1:]:
        (project / name).unlink()
    assert _serve(model_file) == 1
    assert server.status == "failed"


def test_the_folder_must_be_here():
    project = FakeProject(Path("/not/here"), None)
    with pytest.raises(Exception, match="/not/here"):
        run_external_job(project, "W1", ("J5", "exposures"), lambda *_: None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "give --project"),
        ("--project P1 --workspace W1", "give --project"),
        ("--exposures a.cs", "--project-dir"),
        ("--project P1 --workspace W1 --job J1 -o out", "belong to --exposures"),
    ],
)
def test_wrong_usage(words, said, capsys):
    assert main(["cryosparc", *words.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\x95CSDAT", b"text"])
def test_other_files_are_refused(project, model_file, content, capsys):
    (project / "exposures.cs").write_bytes(content)
    assert _run(project, model_file) == 1
    assert "exposures.cs" in capsys.readouterr().err


def test_tiff_exposures_keep_the_rows_that_cryosparc_reads(project, model_file):
    raw = pixels(project / _names()[1])
    tifffile.imwrite(project / _names()[1], raw)  # known by its contents
    write_micrograph(project / _names()[2], raw, PIXELS_A[1])
    both = np.array([(1, _names()[1], 2.0), (2, _names()[2], 2.0)],
                    [("uid", "<u8"), ("micrograph_blob/path", "S80"),
                     ("micrograph_blob/psize_A", "<f4")])  # fmt: skip
    with (project / "exposures.cs").open("wb") as file:
        np.save(file, both)
    assert _run(project, model_file) == 0
    tiff, mrc = (
        pixels(project / path.decode())
        for path in read_cs(project / "J9" / "denoised_exposures.cs")[f"{SLOT}/path"]
    )
    np.testing.assert_array_equal(tiff, mrc)


def _save(path, rows, kinds):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, np.array(rows, kinds))


KINDS = [("uid", "<u8"), ("micrograph_blob/path", "S80"), ("micrograph_blob/psize_A", "<f4")]


def test_an_exported_dataset_has_its_files_beside_it(project, model_file, capsys):
    """CryoSPARC's Export puts ">" before paths that start at the folder of the dataset."""
    folder = project / "exports" / "groups" / "J2_exposures"
    beside = folder / "J2" / "a.mrc"
    beside.parent.mkdir(parents=True)
    (project / _names()[0]).rename(beside)
    rows = [(7, ">J2/a.mrc", 2.0), (8, f">{_names()[1]}", 2.0), (9, _names()[2], 3.0)]
    _save(folder / "exported.cs", rows, KINDS)
    assert _run(project, model_file, exposures="exports/groups/J2_exposures/exported.cs") == 0
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    first, second, third = (path.decode() for path in new["micrograph_blob/path"])
    assert third == _names()[2]
    for path, file in ((first, beside), (second, project / _names()[1])):
        assert path.startswith(">")
        assert (project / "J9" / path[1:]).resolve() == file, "from the new dataset's folder"
    for path in new[f"{SLOT}/path"]:
        assert (project / path.decode()).is_file()


def test_the_way_back_is_written(project, model_file, capsys):
    """A .csg file names the slots and the dataset for the job Import Result Group."""
    yaml = pytest.importorskip("yaml")
    _plain_cs(project / "exposures.cs")
    assert _run(project, model_file) == 0
    path = project / "J9" / "denoised_exposures.csg"
    assert f"Import Result Group with {path}" in capsys.readouterr().out
    group = yaml.safe_load(path.read_text())
    assert group["group"]["type"] == "exposure"
    slot = {
        "metafile": ">denoised_exposures.cs",
        "num_items": 3,
        "type": "exposure.micrograph_blob",
    }
    assert group["results"] == {"micrograph_blob": slot, SLOT: slot}


def test_outputs_of_two_exposures_never_meet(project, model_file):
    """Numbers that are part of a name, or of another number, are not the number of the exposure."""
    names = ["S1/x_12.mrc", "S2/x_12.mrc", "S1/1_a.mrc", "S2/1_a.mrc"]
    for n, name in enumerate(names):
        micrograph(project / name, seed=n, pixel_size_a=None)
    uids = [12, 2, 1, 21]
    _save(project / "exposures.cs", [(u, n, 2.0) for u, n in zip(uids, names, strict=True)], KINDS)
    assert _run(project, model_file) == 0
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    outputs = [project / path.decode() for path in new[f"{SLOT}/path"]]
    assert len({path.resolve() for path in outputs}) == len(names)
    for n, path in enumerate(outputs):
        alone = project / "alone" / str(n)
        _save(project / "one.cs", [(uids[n], names[n], 2.0)], KINDS)
        words = ["--exposures", project / "one.cs", "--project-dir", project, "-o", alone]
        words += ["--model", model_file, "--device", "cpu"]
        assert main(["cryosparc", *map(str, words)]) == 0
        np.testing.assert_array_equal(pixels(path), pixels(next(alone.glob("*.mrc"))))


def test_a_result_among_the_exposures_is_left_out_and_the_rows_stay_in_step(project, model_file):
    """`denoise` does not denoise its own results again; the others keep their own files."""
    _plain_cs(project / "exposures.cs")
    assert _run(project, model_file) == 0
    first = read_cs(project / "J9" / "denoised_exposures.cs")[f"{SLOT}/path"][0].decode()
    rows = [(UIDS[0], first, 2.0), *list(zip(UIDS[1:], _names()[1:], PIXELS_A[1:], strict=True))]
    raw = [(99, _names()[0], 2.0)]
    (project / first).rename(project / "J9" / f"{99:021d}_{Path(_names()[0]).stem}.mrc")
    rows[0] = (UIDS[0], f"J9/{99:021d}_{Path(_names()[0]).stem}.mrc", 2.0)
    _save(project / "exposures.cs", [*rows, *raw], KINDS)
    assert _run(project, model_file) == 1
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    assert list(new["uid"]) == [*UIDS[1:], 99]
    for row in new:
        assert Path(row[f"{SLOT}/path"].decode()).stem.endswith(
            Path(row["micrograph_blob/path"].decode()).stem
        )


@pytest.mark.parametrize(
    ("kinds", "row", "said"),
    [
        ([("uid", "S4"), *KINDS[1:]], (b"one", b"a.mrc", 2.0), "whole numbers"),
        ([*KINDS[:2], ("micrograph_blob/psize_A", "S4")], (1, b"a.mrc", b"two"), "of numbers"),
        ([*KINDS[:2], ("micrograph_blob/psize_A", "<f4", (2,))], (1, b"a", (1, 1)), "of numbers"),
        ([KINDS[0], ("micrograph_blob/path", "<f4"), KINDS[2]], (1, 2.0, 2.0), "of text"),
    ],
)
def test_fields_of_another_kind_are_named(project, model_file, kinds, row, said, capsys):
    _save(project / "exposures.cs", [row], kinds)
    assert _run(project, model_file) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "exposures.cs: " in err


def test_names_that_are_no_utf8_are_those_on_the_disk(tmp_path):
    table = np.array([(1, b">J2/caf\xe9.mrc", 2.0)], KINDS)
    (item,) = exposure_inputs(table, tmp_path, tmp_path / "x.cs")
    assert os.fsencode(item.path) == os.fsencode(tmp_path) + b"/J2/caf\xe9.mrc"


def test_two_rows_of_one_number_are_refused(project, model_file, capsys):
    _save(project / "exposures.cs", [(1, n, 2.0) for n in _names()[:2]], KINDS)
    assert _run(project, model_file) == 1
    assert "two rows have number 1" in capsys.readouterr().err
    assert not (project / "J9").exists()


@pytest.mark.parametrize("size_a", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_that_is_none_leaves_it_to_the_header(project, model_file, size_a):
    micrograph(project / "x.mrc", seed=5, pixel_size_a=2.5)
    _save(project / "exposures.cs", [(1, "x.mrc", size_a)], KINDS)
    assert _run(project, model_file) == 0
    new = read_cs(project / "J9" / "denoised_exposures.cs")
    assert new[f"{SLOT}/psize_A"][0] == pytest.approx(2.5)


def test_the_dataset_is_not_written_over(project, model_file, capsys):
    _plain_cs(project / "denoised_exposures.cs")
    before = (project / "denoised_exposures.cs").read_bytes()
    words = ["--exposures", project / "denoised_exposures.cs", "--project-dir", project]
    words += ["-o", project, "--model", model_file, "--device", "cpu"]
    assert main(["cryosparc", *map(str, words)]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert (project / "denoised_exposures.cs").read_bytes() == before
