"""Picks on denoised micrographs, for the raw ones: the spots must be where the new picks say."""

from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import starfile

from nt2c.batch.run import denoise_files
from nt2c.cli.app import main
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from nt2c.io.picks import X, Y
from tests.batch.make import identity_model, pixels
from tests.io.make import write_mrc

RAW = "MotionCorr/job002/Movies"
SHAPE = (246, 322)  # whose ratios to the sizes at 4 angstrom differ: 3.97 and 4.03
SIGMA_PX = 7.0
PICKS = Path("picks.star")
NAMES = ("FoilHole_1", "FoilHole_2")
BOX_PX = {1.0: 80, 4.0: 20}
SIZES = [1.0, 4.0]


def _grid(pixel_a):
    """Size of the micrographs that are picked on."""
    return SHAPE if pixel_a == 1.0 else (62, 80)


def _spots(name):
    """Where picks (x, y) are made, at 4 angstrom per pixel; whole numbers, off the middle."""
    return [(15, 20), (60, 41)] if name == NAMES[0] else [(33, 25)]


def _raw_spots(name):
    (rows, columns), (small_rows, small_columns) = SHAPE, _grid(4.0)
    return [(x * columns / small_columns, y * rows / small_rows) for x, y in _spots(name)]


def _picked(name, pixel_a):
    (rows, columns), (own_rows, own_columns) = SHAPE, _grid(pixel_a)
    return [(x * own_columns / columns, y * own_rows / rows) for x, y in _raw_spots(name)]


@pytest.fixture(scope="module", params=SIZES)
def made(request, tmp_path_factory):
    """A project with raw micrographs that hold dark spots, and denoised ones at a pixel size."""
    root = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    (root / RAW).mkdir(parents=True)
    for name in NAMES:
        image = rng.normal(100, 0.2, SHAPE)
        for spot_x, spot_y in _raw_spots(name):
            distance2 = (x - spot_x) ** 2 + (y - spot_y) ** 2
            image -= 10 * np.exp(-distance2 / (2 * SIGMA_PX**2))
        write_mrc(root / RAW / f"{name}.mrc", image.astype(np.float32), 1.0)
    settings = DenoiseSettings(output_pixel_size_a=request.param, precision="fp32")
    inputs = find_inputs([root / RAW])
    folder = root / "External/job012/Movies"
    denoise_files(inputs, folder, identity_model(), settings, BatchOptions(device="cpu"))
    return root, request.param


@pytest.fixture
def project(made, monkeypatch):
    root, pixel_a = made
    monkeypatch.chdir(root)
    return pixel_a


def _centroid(image, x, y, side):
    """Centre (x, y) of the dark spot in a box around a position, which is found, not assumed."""
    left, top = round(x - side / 2), round(y - side / 2)
    box = image[top : top + side, left : left + side]
    dark = np.clip(np.median(image) - box - 1, 0, None)
    rows, columns = np.mgrid[: box.shape[0], : box.shape[1]]
    return left + (columns * dark).sum() / dark.sum(), top + (rows * dark).sum() / dark.sum()


def _check(name, centres):
    """Extract a box around each pick from the raw micrograph: the spot is in its middle."""
    image = pixels(f"{RAW}/{name}.mrc")
    assert len(centres) == len(_spots(name))
    for x, y in centres:
        spot_x, spot_y = _centroid(image, float(x), float(y), 48)
        assert abs(spot_x - float(x)) <= 0.5
        assert abs(spot_y - float(y)) <= 0.5


def _run(*words):
    assert main(["picks-to-raw", *map(str, words), "-o", "picks_raw"]) == 0


def _write_relion(pixel_a):
    rows = []
    for name in NAMES:
        picks = "".join(f"{x:.6f} {y:.6f} 0.51\n" for x, y in _picked(name, pixel_a))
        path = f"AutoPick/job013/Movies/{name}_autopick.star"
        text = "\n# version 50001\n\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"
        _text(path, f"{text}_rlnAutopickFigureOfMerit #3\n{picks}\n")
        rows.append(f"External/job012/Movies/{name}.mrc {path}\n")
    head = "\n# version 50001\n\ndata_coordinate_files\n\nloop_\n_rlnMicrographName #1\n"
    _text("AutoPick/job013/autopick.star", f"{head}_rlnMicrographCoordinates #2\n{''.join(rows)}\n")


def _text(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def test_spots_lie_where_they_are_said_to_be_picked(project):
    for name in NAMES:
        image = pixels(f"External/job012/Movies/{name}.mrc")
        assert image.shape == _grid(project)
        for x, y in _picked(name, project):
            found = _centroid(image, x, y, round(48 / project))
            assert np.allclose(found, (x, y), atol=0.5 / project)


def test_relion_autopick(project):
    _write_relion(project)
    _run("AutoPick/job013/autopick.star", "--raw", RAW)
    listed = starfile.read("picks_raw/autopick.star")
    assert list(listed["rlnMicrographName"]) == [f"{RAW}/{name}.mrc" for name in NAMES]
    for name, path in zip(NAMES, listed["rlnMicrographCoordinates"], strict=True):
        assert path == f"picks_raw/Movies/{name}_autopick.star"
        block = gemmi.cif.read(path)[0]
        _check(name, block.find(["_rlnCoordinateX", "_rlnCoordinateY"]))
        assert set(block.find_values("_rlnAutopickFigureOfMerit")) == {"0.51"}


def test_one_coordinate_file_and_its_folder(project):
    _write_relion(project)
    given = f"AutoPick/job013/Movies/{NAMES[0]}_autopick.star"
    _run(given, "--raw", RAW, "--denoised", "External/job012/Movies")
    found = starfile.read(f"picks_raw/{NAMES[0]}_autopick.star", always_dict=True)[""]
    _check(NAMES[0], found[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy())


def test_particles_star(project):
    rows = [
        f"{x:.4f} External/job012/Movies/{name}.mrc {y:.4f} 1\n"
        for name in NAMES
        for x, y in _picked(name, project)
    ]
    head = "data_particles\n\nloop_\n_rlnCoordinateX\n_rlnMicrographName\n_rlnCoordinateY\n"
    _text("particles.star", head + "_rlnOpticsGroup\n" + "".join(rows))
    _run("particles.star", "--raw", RAW)
    found = starfile.read("picks_raw/particles.star")
    for name in NAMES:
        mine = found[found["rlnMicrographName"] == f"{RAW}/{name}.mrc"]
        _check(name, mine[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy())


def test_topaz(project):
    rows = [
        f"{name}_denoised\t{round(x)}\t{round(y)}\t2.5\n"
        for name in NAMES
        for x, y in _picked(name, project)
    ]
    _text("topaz.txt", "image_name\tx_coord\ty_coord\tscore\n" + "".join(rows))
    _run("topaz.txt", "--raw", RAW, "--denoised", "External/job012/Movies")
    lines = [line.split("\t") for line in Path("picks_raw/topaz.txt").read_text().splitlines()]
    assert lines[0] == ["image_name", "x_coord", "y_coord", "score"]
    assert {line[3] for line in lines[1:]} == {"2.5"}
    for name in NAMES:
        _check(name, [line[1:3] for line in lines if line[0] == name])


def test_a_scale_stands_for_the_sizes(project):
    _text("topaz_scale.txt", f"image_name\tx_coord\ty_coord\n{NAMES[0]}\t10\t20\n")
    _run("topaz_scale.txt", "--raw", RAW, "--scale", "2.5")
    assert Path("picks_raw/topaz_scale.txt").read_text().splitlines()[1] == f"{NAMES[0]}\t25\t50"


def test_eman_box(project):
    side = BOX_PX[project]
    for name in NAMES:
        picks = [
            f"{round(x - side / 2)}\t{round(y - side / 2)}\t{side}\t{side}\n"
            for x, y in _picked(name, project)
        ]
        path = _text(f"{name}.box", "".join(picks))
        _run(path, "--raw", RAW, "--denoised", "External/job012/Movies")
        lines = [
            line.split("\t") for line in Path(f"picks_raw/{name}.box").read_text().splitlines()
        ]
        centres = [(int(x) + int(w) / 2, int(y) + int(h) / 2) for x, y, w, h in lines]
        _check(name, centres)
        assert {int(value) for line in lines for value in line[2:]} <= {80, 82}


def test_cryolo_cbox(project):
    side = BOX_PX[project]
    labels = "CoordinateX CoordinateY CoordinateZ Width Height Depth EstWidth EstHeight Confidence"
    head = "\ndata_global\n\n_cbox_format_version 1.0\n\ndata_cryolo\n\nloop_\n"
    head += "".join(f"_{label} #{n}\n" for n, label in enumerate(labels.split(), 1))
    for name in NAMES:
        rows = [
            f"{x - side / 2} {y - side / 2} <NA> {side} {side} 1 {side * 0.9} <NA> 0.7\n"
            for x, y in _picked(name, project)
        ]
        path = _text(f"{name}.cbox", head + "".join(rows))
        _run(path, "--raw", RAW, "--denoised", "External/job012/Movies")
        text = Path(f"picks_raw/{name}.cbox").read_text()
        assert text.startswith(head)
        block = gemmi.cif.read_string(text).find_block("cryolo")
        table = block.find(["_CoordinateX", "_CoordinateY", "_Width", "_Height", "_EstHeight"])
        _check(
            name, [(float(x) + float(w) / 2, float(y) + float(h) / 2) for x, y, w, h, _ in table]
        )
        assert {row[4] for row in table} == {"<NA>"}


def _dataset(rows, dtype, path):
    with open(path, "wb") as file:
        np.save(file, np.array(rows, np.dtype(dtype)))


def test_cryosparc(project):
    rows, columns = _grid(project)
    exposures = [
        (100 + n, f"J2/motioncorrected/{10**20 + n}_{name}.mrc", SHAPE, 1.0)
        for n, name in enumerate(NAMES)
    ]
    blob = "micrograph_blob"
    kinds = [("uid", "<u8"), (f"{blob}/path", "S80"), (f"{blob}/shape", "<u4", (2,))]
    _dataset(exposures, [*kinds, (f"{blob}/psize_A", "<f4")], "exposures.cs")
    picks = [
        (n, 100 + n, f"J9/x/{name}.mrc", (rows, columns), project, x / columns, y / rows)
        for n, name in enumerate(NAMES)
        for x, y in _picked(name, project)
    ]
    place = "location"
    kinds = [
        ("uid", "<u8"),
        (f"{place}/micrograph_uid", "<u8"),
        (f"{place}/micrograph_path", "S20"),
        (f"{place}/micrograph_shape", "<u4", (2,)),
        (f"{place}/micrograph_psize_A", "<f4"),
        (f"{place}/center_x_frac", "<f4"),
        (f"{place}/center_y_frac", "<f4"),
    ]
    for number in (0, 5000):  # found by number, and, with others, by name
        _dataset([(p[0], p[1] + number, *p[2:]) for p in picks], kinds, "picks.cs")
        _run("picks.cs", "--raw", "exposures.cs")
        new = np.load("picks_raw/picks.cs")
        assert set(new[f"{place}/micrograph_psize_A"]) == {1.0}
        for n, name in enumerate(NAMES):
            mine = new[new[f"{place}/micrograph_uid"] == 100 + n]
            assert set(mine[f"{place}/micrograph_path"]) == {exposures[n][1].encode()}
            height, width = mine[f"{place}/micrograph_shape"][0]
            x, y = (mine[f"{place}/center_{axis}_frac"] for axis in "xy")
            _check(name, list(zip(x * width, y * height, strict=True)))


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("a.txt", "image_name\tx_coord\ty_coord\nFoilHole_3\t1\t1\n", [], "FoilHole_3"),
        ("a.txt", "image_name\tx_coord\ty_coord\nFoilHole_1\t1\t1\n", [], "--denoised"),
        ("a.txt", "image_name\tx_coord\ty_coord\nFoilHole_1\tone\t1\n", ["--scale", "2"], "one"),
        ("a.txt", "x y\n1 1\n", [], "topaz"),
        ("FoilHole_1.box", "1 2\n", ["--scale", "2"], "FoilHole_1.box"),
        ("a.star", "data_\nloop_\n_rlnMicrographName\nx\n", [], "rlnCoordinateX"),
        ("a.txt", "image_name\tx_coord\ty_coord\n\t1\t1\n", [], "none of the raw"),
        ("a.txt", "image_name\tx_coord\ty_coord\nFoilHole_1\tnan\t1\n", ["--scale", "2"], "nan"),
        ("a.txt", "image_name\tx_coord\ty_coord\nFoilHole_1\tinf\t1\n", ["--scale", "2"], "inf"),
        ("FoilHole_1.star", f"data_\nloop_\n_{X}\n_{Y}\n1 nan\n", ["--scale", "1"], "nan"),
        ("a.json", "{}", [], "a.json"),
        ("a.cs", "{}", [], "exposures.cs"),
    ],
)
def test_what_cannot_be_rewritten_is_named(project, tmp_path, name, text, options, said, capsys):
    path = _text(tmp_path / name, text)
    words = ["picks-to-raw", str(path), "--raw", RAW, "-o", str(tmp_path / "new"), *options]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert said in err
    assert name in err
    assert not list((tmp_path / "new").glob("*"))


def test_numbers_tell_micrographs_apart(project, tmp_path):
    """FoilHole_1_2 is not FoilHole_1, though FoilHole_1_denoised is."""
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    targets = Targets(find_inputs([RAW]), scale=1.0)
    assert targets.find("other/FoilHole_1_DW_denoised.mrc", PICKS).name == f"{RAW}/FoilHole_1.mrc"
    with pytest.raises(InputError, match="FoilHole_1_2"):
        targets.find("FoilHole_1_2", PICKS)


def test_of_equal_names_the_folder_decides(tmp_path, monkeypatch):
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    monkeypatch.chdir(tmp_path)
    for square in ("GridSquare_1", "GridSquare_2"):
        (tmp_path / "raw" / square).mkdir(parents=True)
        write_mrc(tmp_path / "raw" / square / "a.mrc", np.ones((4, 6), np.float32))
    targets = Targets(find_inputs(["raw/*/*.mrc"]), scale=1.0)
    found = targets.find("External/job012/GridSquare_2/a.mrc", PICKS)
    assert found.name == "raw/GridSquare_2/a.mrc"
    with pytest.raises(InputError, match=r"GridSquare_1/a\.mrc or"):
        targets.find("a.mrc", PICKS)


def test_another_field_is_refused(project, tmp_path):
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    write_mrc(tmp_path / "FoilHole_1.mrc", np.ones((80, 62), np.float32))
    with pytest.raises(InputError, match="62 x 80"):
        Targets(find_inputs([RAW]), find_inputs([tmp_path])).find("FoilHole_1", PICKS)


def test_headers_without_pixel_size_do(project):
    for name in NAMES:
        with mrcfile.open(f"{RAW}/{name}.mrc", "r+") as mrc:
            mrc.voxel_size = 0.0
    test_relion_autopick(project)


PARTICLES = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnMicrographOriginalPixelSize #2
_rlnMicrographPixelSize #3
_rlnImagePixelSize #4
1 0.5 4.000000 8.000000
2 0.5 4.000000 4.000000

data_particles

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
_rlnCoordinateX #3
_rlnCoordinateY #4
_rlnImageName #5
"""


@pytest.fixture
def coarse(tmp_path, monkeypatch):
    """A project whose denoised micrographs have pixels four times as large."""
    monkeypatch.chdir(tmp_path)
    for folder, shape in (("raw", (80, 120)), ("denoised", (20, 30))):
        Path(folder).mkdir()
        for name in "ab":
            write_mrc(
                Path(folder, f"{name}.mrc"), np.arange(np.prod(shape), dtype="f4").reshape(shape)
            )
    return tmp_path


def _raw(*words):
    return main(["picks-to-raw", *map(str, words), "--raw", "raw", "-o", "new"])


def _autopick(*rows):
    head = "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
    return _text("autopick.star", head + "".join(f"denoised/{row}\n" for row in rows))


COORDINATES = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10 5\n"


def test_a_listed_file_that_is_not_there_is_told_with_the_list(coarse, capsys):
    _autopick("a.mrc nowhere.star")
    assert _raw("autopick.star") == 1
    assert "autopick.star: lists nowhere.star: no such file" in capsys.readouterr().err


def test_pixel_sizes_become_those_of_the_raw_micrographs(coarse, capsys):
    """Of groups in use; what is said of the movie stays."""
    _text("p.star", PARTICLES + "denoised/a.mrc 1 10 5 1@x.mrcs\n")
    assert _raw("p.star") == 0
    new = PARTICLES.replace("1 0.5 4.000000 8.000000", "1 0.5 1.000000 2.000000")
    assert Path("new/p.star").read_text() == new + "raw/a.mrc 1 40 20 1@x.mrcs\n"
    assert "extract particles anew" in capsys.readouterr().out


def test_pixel_sizes_of_rows_and_of_relion_3_0(coarse):
    labels = "MicrographName CoordinateX CoordinateY MicrographPixelSize DetectorPixelSize"
    head = "data_\n\nloop_\n" + "".join(f"_rln{name}\n" for name in labels.split())
    _text("p.star", head + "_rlnMagnification\ndenoised/a.mrc 10 5 4.0 20.0 50000\n")
    assert _raw("p.star") == 0
    row = Path("new/p.star").read_text().splitlines()[-1]
    assert row == "raw/a.mrc 40 20 1.000000 5.000000 50000"


def test_a_group_of_two_samplings_is_refused(coarse, capsys):
    write_mrc(Path("denoised/b.mrc"), np.arange(2400, dtype="f4").reshape(40, 60))
    rows = "denoised/a.mrc 1 10 5 1@x.mrcs\ndenoised/b.mrc 1 10 5 1@x.mrcs\n"
    _text("p.star", PARTICLES + rows)
    assert _raw("p.star") == 1
    assert "sampled differently" in capsys.readouterr().err
    _text("p.star", PARTICLES + rows.replace("b.mrc 1", "b.mrc 3"))
    assert _raw("p.star") == 1
    assert "optics group 3, which the file does not have" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("folder", "picks"),
    [
        (".", ["list.star"]),  # which lists picks/a.star
        (".", ["picks/a.star", "a.star"]),
        ("picks", ["picks/a.star"]),
        ("picks", ["picks/a_denoised.box", "picks/a.box"]),  # both are named a.box when written
    ],
)
def test_no_input_is_written_over(coarse, folder, picks, capsys):
    """Nor are picks scaled twice by a second run."""
    for name in ("a.star", "picks/a.star"):
        _text(name, COORDINATES)
    for name in ("picks/a.box", "picks/a_denoised.box"):
        _text(name, "1 1 4 4\n")
    _autopick("a.mrc picks/a.star").rename("list.star")
    before = {path: path.read_bytes() for path in coarse.rglob("*") if path.is_file()}
    for _ in range(2):
        words = ["picks-to-raw", *picks, "--raw", "raw", "--denoised", "denoised", "-o", folder]
        assert main(words) == 2
        assert "would be written over" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in coarse.rglob("*") if path.is_file()} == before


def test_two_files_of_one_output_are_refused(coarse, capsys):
    for folder in ("AutoPick/job001", "ManualPick/job002", "one", "two"):
        _text(f"{folder}/x/a.star", COORDINATES)
    _autopick("a.mrc AutoPick/job001/x/a.star", "b.mrc ManualPick/job002/x/a.star")
    assert _raw("autopick.star") == 2
    assert _raw("one/x/a.star", "two/x/a.star", "--denoised", "denoised") == 2
    assert capsys.readouterr().err.count("would hold the result of") == 2
    _autopick("a.mrc one/x/a.star", "b.mrc one/x/a.star")
    assert _raw("autopick.star") == 1
    assert "lists one/x/a.star twice" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize("way", ["../", "sub/../../", "AutoPick/job001/../../../"])
def test_nothing_is_written_outside_of_the_folder(coarse, way, capsys, monkeypatch):
    (coarse / "deep/AutoPick/job001").mkdir(parents=True)
    (coarse / "deep/sub").mkdir()
    _text(coarse / "a.star", COORDINATES)
    _autopick(f"a.mrc {way}a.star").rename("deep/autopick.star")
    (coarse / "deep/denoised").symlink_to(coarse / "denoised")
    (coarse / "deep/raw").symlink_to(coarse / "raw")
    monkeypatch.chdir(coarse / "deep")
    before = sorted(coarse.rglob("*"))
    assert _raw("autopick.star") == 1
    assert "leads out of the folder" in capsys.readouterr().err
    assert sorted(coarse.rglob("*")) == before


def test_nor_through_a_link(coarse, capsys):
    _text("x/a.star", COORDINATES)
    _autopick("a.mrc x/a.star")
    Path("new").mkdir()
    Path("new/x").symlink_to(coarse / "x")
    assert _raw("autopick.star") == 1
    assert "leads out of the folder" in capsys.readouterr().err
    assert Path("x/a.star").read_text() == COORDINATES


OUTSIDE = {
    "a.star": COORDINATES.replace("10 5", "10 5\n31 5"),
    "p.star": PARTICLES + "denoised/a.mrc 1 10 -2 1@x.mrcs\n",
    "a.box": "28 5 8 8\n",
    "t.txt": "image_name\tx_coord\ty_coord\na\t10\t21\n",
    "a.cbox": "data_\nloop_\n_CoordinateX\n_CoordinateY\n_Width\n_Height\n31 1 4 4\n",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_picks_outside_of_the_micrograph_are_refused(coarse, name, capsys):
    _text(name, OUTSIDE[name])
    for how in (["--denoised", "denoised"], ["--scale", "4"]):
        assert _raw(name, *how) == 1
        assert "would lie outside of the raw micrographs" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize("name", ["a.cbox", "a.box"])
def test_boxes_may_reach_over_the_border(coarse, name):
    labels = "data_\nloop_\n_CoordinateX\n_CoordinateY\n_Width\n_Height\n"
    _text(name, (labels if name == "a.cbox" else "") + "-9 11 20 18\n")
    assert _raw(name, "--denoised", "denoised") == 0


def test_a_scale_that_the_sizes_contradict_is_refused(coarse, capsys):
    _text("p.star", PARTICLES + "denoised/a.mrc 1 10 5 1@x.mrcs\n")
    assert _raw("p.star", "--scale", "2") == 1
    assert "--scale 2, but raw/a.mrc has 4 times its pixels" in capsys.readouterr().err
    assert _raw("p.star", "--scale", "4") == 0


def test_picks_on_the_raw_micrographs_are_not_scaled_again(coarse, capsys):
    _text("p.star", PARTICLES + "denoised/a.mrc 1 10 5 1@x.mrcs\n")
    assert _raw("p.star") == 0
    for how in (["--denoised", "denoised"], ["--scale", "4"]):
        words = ["picks-to-raw", "new/p.star", "--raw", "raw", "-o", "again", *how]
        assert main(words) == 1
        assert "raw/a.mrc" in capsys.readouterr().err
    assert main(["picks-to-raw", "new/p.star", "--raw", "raw", "-o", "again"]) == 0
    assert Path("again/p.star").read_bytes() == Path("new/p.star").read_bytes()


def test_patterns_in_quotes(coarse, capsys):
    for name in "ab":
        _text(f"boxes/{name}.box", "1 1 4 4\n")
    assert _raw("boxes/*.box", "--denoised", "denoised") == 0
    assert sorted(path.name for path in Path("new").iterdir()) == ["a.box", "b.box"]
    assert _raw("boxes/*.star") == 1
    assert "boxes/*.star: no file of picks matches" in capsys.readouterr().err
