import os

import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.io.pixel_size import MoviePixelSize
from nt2c.io.star import (
    Defocus,
    Optics,
    read_coordinates_star,
    read_micrographs_star,
    read_optics_star,
    write_coordinates_star,
    write_micrographs_star,
)
from tests.io.make import DATA

# The heads of a corrected_micrographs.star of RELION 5 (beta-galactosidase tutorial).
RELION_5 = """
# version 50001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMtfFileName #3
_rlnMicrographOriginalPixelSize #4
_rlnVoltage #5
_rlnSphericalAberration #6
_rlnAmplitudeContrast #7
_rlnMicrographPixelSize #8
opticsGroup1            1 mtf_k2_200kV.star     0.885000   200.000000     1.400000     0.100000     1.770000
opticsGroup2            2 mtf_k2_200kV.star     0.885000   200.000000     1.400000     0.100000     0.885000


# version 50001

data_micrographs

loop_
_rlnCtfPowerSpectrum #1
_rlnMicrographName #2
_rlnMicrographMetadata #3
_rlnOpticsGroup #4
_rlnAccumMotionTotal #5
MotionCorr/job002/Movies/21_PS.mrc MotionCorr/job002/Movies/21.mrc MotionCorr/job002/Movies/21.star            2    16.429035
MotionCorr/job002/Movies/22_PS.mrc MotionCorr/job002/Movies/22.mrc MotionCorr/job002/Movies/22.star            1    15.429035

"""  # noqa: E501

RELION_3 = """
data_

loop_
_rlnMicrographName #1
_rlnDetectorPixelSize #2
_rlnMagnification #3
_rlnDefocusU #4
Micrographs/a.mrc     5.000000 37369.000000 21186.8
Micrographs/b.mrc     5.000000 50000.000000 21186.8
Micrographs/a.mrc     5.000000 37369.000000 21186.8
"""


def _project(tmp_path, text, *names, star="CtfFind/job003/micrographs.star"):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / star
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_relion_5_with_optics_groups(tmp_path):
    path = _project(tmp_path, RELION_5, "MotionCorr/job002/Movies/22.mrc")
    first, second = read_micrographs_star(path)
    assert first.name == "MotionCorr/job002/Movies/21.mrc"
    assert first.path == tmp_path / "MotionCorr/job002/Movies/21.mrc"
    assert (first.pixel_size_a, second.pixel_size_a) == (0.885, 1.77)


def test_relion_3_0_in_one_block(tmp_path):
    path = _project(tmp_path, RELION_3, "Micrographs/a.mrc", "Micrographs/b.mrc")
    first, second = read_micrographs_star(path)
    assert [first.name, second.name] == ["Micrographs/a.mrc", "Micrographs/b.mrc"]
    assert first.pixel_size_a == pytest.approx(1.33801, rel=1e-5)
    assert second.pixel_size_a == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("columns", "values", "pixel_size_a"),
    [
        ("_rlnMicrographPixelSize\n_rlnMicrographOriginalPixelSize", "2 1", 2.0),
        ("_rlnMicrographOriginalPixelSize", "1.25", 1.25),
        ("_rlnMicrographPixelSize\n_rlnMicrographOriginalPixelSize", "0 1", 1.0),
        ("_rlnVoltage", "300", None),
        ("_rlnMicrographPixelSize", "nan", None),
        ("_rlnMicrographPixelSize", "none", None),
        ("_rlnDetectorPixelSize", "5", None),
    ],
)
def test_columns_of_the_pixel_size(tmp_path, columns, values, pixel_size_a):
    text = f"data_\nloop_\n_rlnMicrographName\n{columns}\na.mrc {values}\n"
    (found,) = read_micrographs_star(_project(tmp_path, text, "a.mrc", star="x.star"))
    assert found.pixel_size_a == pixel_size_a


def test_a_pixel_size_of_the_micrograph_counts_before_its_group(tmp_path):
    text = (
        "data_optics\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 2.0\n\n"
        "data_micrographs\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\n"
        "_rlnMicrographPixelSize\na.mrc 1 3.0\nb.mrc 1 0\n"
    )
    first, second = read_micrographs_star(_project(tmp_path, text, "a.mrc", star="x.star"))
    assert (first.pixel_size_a, second.pixel_size_a) == (3.0, 2.0)


def test_a_single_row_without_a_loop(tmp_path):
    text = "data_\n\n_rlnMicrographName  a.mrc\n_rlnMicrographPixelSize 1.5\n"
    (found,) = read_micrographs_star(_project(tmp_path, text, "a.mrc", star="x.star"))
    assert (found.name, found.pixel_size_a) == ("a.mrc", 1.5)


def test_the_project_may_be_the_current_folder(tmp_path, monkeypatch):
    _project(tmp_path / "project", RELION_3, "Micrographs/a.mrc")
    star = _project(tmp_path / "elsewhere", RELION_3, star="a.star")
    with pytest.raises(InputError, match=r"a\.star: none of its micrographs.*Micrographs/a\.mrc"):
        read_micrographs_star(star)
    monkeypatch.chdir(tmp_path / "project")
    assert read_micrographs_star(star)[0].path.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "not a STAR file"),
        ("data_\nloop_\n_rlnMicrographName\n_b\n1\n", "line 5 has 1 values for 2 columns"),
        ("", "not a STAR file"),
        ("data_\nloop_\n_rlnMicrographMovieName\na.tif\n", "motion-correct them first"),
        ("data_\nloop_\n_rlnCoordinateX\n1\n", "no micrographs"),
        ("data_\nloop_\n_rlnMicrographName\n\n", "no micrographs"),
    ],
)
def test_other_files_are_named(tmp_path, text, words):
    path = _project(tmp_path, text, star="x.star")
    with pytest.raises(InputError, match=rf"x\.star: .*{words}"):
        read_micrographs_star(path)


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ("_rlnCoordinateX\n_rlnCoordinateY", "particles"),
        ("_rlnImageName\n_rlnClassNumber", "particles"),
        ("_rlnMicrographCoordinates\n_rlnVoltage", "files of coordinates"),
    ],
)
def test_another_list_is_refused_by_what_it_is(tmp_path, columns, what):
    text = f"data_particles\n\nloop_\n_rlnMicrographName\n{columns}\na.mrc 1 1\n"
    path = _project(tmp_path, text, "a.mrc", star="x.star")
    for read in (read_micrographs_star, read_optics_star):
        with pytest.raises(InputError, match=f"a list of {what}, not of micrographs"):
            read(path)


def test_optics_groups_that_do_not_exist_are_refused(tmp_path):
    bad = RELION_5.replace("21.star            2", "21.star            3")
    path = _project(tmp_path, bad, "MotionCorr/job002/Movies/22.mrc")
    with pytest.raises(InputError, match=r"line 29 is of optics group 3.*it has 1, 2"):
        read_micrographs_star(path)
    path.write_text(RELION_5.replace("21.star            2", "21.star            02"))
    assert read_micrographs_star(path)[0].pixel_size_a == 0.885


def test_the_size_of_the_movie_is_marked_and_counts_last(tmp_path):
    text = (
        "data_optics\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 2.0\n2 0\n\n"
        "data_micrographs\nloop_\n_rlnMicrographName\n_rlnOpticsGroup\n"
        "_rlnMicrographOriginalPixelSize\na.mrc 1 0.5\nb.mrc 2 0.5\n"
    )
    first, second = read_micrographs_star(_project(tmp_path, text, "a.mrc", star="x.star"))
    assert (first.pixel_size_a, second.pixel_size_a) == (2.0, 0.5)
    assert not isinstance(first.pixel_size_a, MoviePixelSize)
    assert isinstance(second.pixel_size_a, MoviePixelSize)


def test_bytes_that_are_no_utf8_name_a_file(tmp_path):
    name = b"caf\xe9.mrc"
    (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "x.star").write_bytes(b"data_\nloop_\n_rlnMicrographName\n" + name + b"\n")
    assert read_micrographs_star(tmp_path / "x.star")[0].path.exists()


def test_impossible_names_are_only_missing(tmp_path):
    text = f"data_\nloop_\n_rlnMicrographName\n{'a' * 5000}\nb.mrc\n"
    first, _ = read_micrographs_star(_project(tmp_path, text, "b.mrc", star="x.star"))
    assert first.name == "a" * 5000


def test_a_missing_star_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"x\.star: no such file"):
        read_micrographs_star(tmp_path / "x.star")


def test_coordinates_round_trip(tmp_path):
    centres = np.array([[1.25, 2.5], [1000.125, 0.0], [3.0, 4000.0]])
    path = tmp_path / "a.star"
    write_coordinates_star(path, centres)
    read = read_coordinates_star(path)
    assert read.dtype == np.float64
    np.testing.assert_allclose(read, centres, atol=5e-4)
    lines = path.read_bytes().split(b"\n")
    assert lines[lines.index(b"_rlnCoordinateX #1") + 2] == b"2.500 1.250", "x before y"
    assert b"\r" not in path.read_bytes()


def test_no_coordinates_round_trip(tmp_path):
    write_coordinates_star(tmp_path / "a.star", np.empty((0, 2)))
    assert read_coordinates_star(tmp_path / "a.star").shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_\nloop_\n_rlnCoordinateX\n1\n", "no rlnCoordinateX and rlnCoordinateY"),
        ("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 x\n", "not a number"),
    ],
)
def test_bad_coordinates_are_named(tmp_path, text, words):
    (tmp_path / "a.star").write_text(text)
    with pytest.raises(InputError, match=rf"a\.star: .*{words}"):
        read_coordinates_star(tmp_path / "a.star")


def test_real_coordinates():
    centres = read_coordinates_star(DATA / "empiar10146_coordinates.star")
    np.testing.assert_array_equal(centres[:2], [[32.3, 406.0], [36.9, 133.2]])
    assert centres.max(axis=0)[0] < 1200
    assert centres.max(axis=0)[1] < 1240


def test_written_micrographs_come_back_and_another_reader_agrees(tmp_path):
    starfile = pytest.importorskip("starfile")
    path = tmp_path / "micrographs.star"
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy/a.mrc").touch()
    micrographs = {
        "noisy/a.mrc": Defocus(1.5, 1.4, 30.0),
        "noisy/b.mrc": Defocus(2.0, 2.0, 0.0, phase_shift_deg=90.0),
    }
    write_micrographs_star(path, micrographs, Optics(1.25, 300.0, 2.7, 0.1))
    first, second = read_micrographs_star(path)
    assert (first.name, second.name) == tuple(micrographs)
    assert first.pixel_size_a == second.pixel_size_a == 1.25
    tables = starfile.read(path, always_dict=True)
    assert list(tables) == ["optics", "micrographs"]
    optics, rows = tables["optics"].iloc[0], tables["micrographs"]
    assert optics["rlnVoltage"] == 300.0
    assert optics["rlnSphericalAberration"] == 2.7
    assert optics["rlnAmplitudeContrast"] == 0.1
    assert optics["rlnMicrographPixelSize"] == 1.25
    assert list(rows["rlnDefocusU"]) == [15000.0, 20000.0], "angstrom"
    assert list(rows["rlnDefocusV"]) == [14000.0, 20000.0]
    assert list(rows["rlnDefocusAngle"]) == [30.0, 0.0]
    assert list(rows["rlnPhaseShift"]) == [0.0, 90.0]


@pytest.mark.parametrize("name", ["a b.mrc", "", "a\n.mrc"])
def test_names_that_relion_cannot_read_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="white space"):
        write_micrographs_star(
            tmp_path / "a.star", {name: Defocus(1.0, 1.0)}, Optics(1.0, 300.0, 2.7, 0.1)
        )


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({}, ""),
        ({"far.mrc": 9.5}, "1 far from the others"),
        ({"failed.mrc": float("nan")}, "1 no number"),
        ({"over.mrc": -0.3}, "1 no underfocus"),
        ({"a": 0.0, "b": -0.3, "c": float("inf"), "d": 30.0, "e": 9.0},
         "1 no number, 2 no underfocus, 2 far from the others"),
    ],
)  # fmt: skip
def test_failed_fits_of_the_ctf_do_not_set_the_range_of_the_defocus(tmp_path, bad, told):
    good = {f"{i}.mrc": 1 + i / 499 for i in range(500)}
    listed = {name: Defocus(d, d) for name, d in (good | bad).items()}
    write_micrographs_star(tmp_path / "a.star", listed, Optics(1.0, 300.0, 2.7, 0.1))
    read = read_optics_star(tmp_path / "a.star")
    assert read.defocus_um == pytest.approx((1.0, 2.0), abs=0.02)
    assert told in read.left_out
    assert bool(read.left_out) == bool(bad)


def test_where_no_fit_of_the_ctf_worked_there_is_no_range(tmp_path):
    listed = {"a.mrc": Defocus(float("nan"), 1.0), "b.mrc": Defocus(-1.0, -1.0)}
    write_micrographs_star(tmp_path / "a.star", listed, Optics(1.0, 300.0, 2.7, 0.1))
    read = read_optics_star(tmp_path / "a.star")
    assert read.defocus_um is None
    assert read.left_out.startswith("no CTF fit gives a defocus (1 no number, 1 no underfocus)")


def test_optics_are_read_from_both_forms(tmp_path):
    optics = Optics(1.5, 200.0, 1.4, 0.1)
    listed = {"a.mrc": Defocus(1.0, 1.2), "b.mrc": Defocus(2.5, 2.1)}
    write_micrographs_star(tmp_path / "new.star", listed, optics)
    read = read_optics_star(tmp_path / "new.star")
    assert read.defocus_um == pytest.approx((1.1, 2.3))
    assert (read.voltage_kv, read.spherical_aberration_mm) == (200.0, 1.4)
    (tmp_path / "old.star").write_text(RELION_3)
    old = read_optics_star(tmp_path / "old.star")
    assert old.defocus_um == pytest.approx((2.11868, 2.11868))
    assert old.voltage_kv is None
    (tmp_path / "none.star").write_text(RELION_5)
    none = read_optics_star(tmp_path / "none.star")
    assert none.defocus_um is None
    assert (none.voltage_kv, none.spherical_aberration_mm) == (200.0, 1.4)


@pytest.mark.parametrize("axis", "UV")
def test_one_defocus_stands_for_both(tmp_path, axis):
    text = f"data_\nloop_\n_rlnMicrographName\n_rlnDefocus{axis}\na.mrc 10000\n"
    (tmp_path / "x.star").write_text(text)
    assert read_optics_star(tmp_path / "x.star").defocus_um == (1.0, 1.0)


@pytest.mark.parametrize("name", ["/", "''"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    path = tmp_path / "a.star"
    path.write_text(f"data_\n\nloop_\n_rlnMicrographName\n{name}\na.mrc\n")
    (tmp_path / "a.mrc").touch()
    with pytest.raises(InputError, match=r"a\.star: .* names no micrograph"):
        read_micrographs_star(path)


def test_empty_lines_cost_nothing(tmp_path):
    path = tmp_path / "a.star"
    path.write_text("\n" * 10**6)  # hours, were each tried with all that follow it
    with pytest.raises(InputError, match="no line begins with data_"):
        read_micrographs_star(path)
