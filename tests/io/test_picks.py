"""Picks on denoised micrographs, for the raw ones: the spots must be where the new picks say."""

from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import starfile

from nt2c.cli.app import main
from nt2c.inference.batch import denoise_files
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.inputs import find_inputs
from tests.inference.make import identity_model, pixels
from tests.io.make import write_mrc

RAW = "MotionCorr/job002/Movies"
SHAPE = (246, 322)  # whose ratios to the sizes at 4 angstrom differ: 3.97 and 4.03
SIGMA_PX = 7.0
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
    denoise_files(inputs, folder, identity_model(), settings, device="cpu")
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
        ("a.json", "{}", [], "a.json"),
        ("a.cs", "{}", [], "exposures.cs"),
    ],
)
def test_what_cannot_be_rewritten_is_named(project, tmp_path, name, text, options, said, capsys):
    path = _text(tmp_path / name, text)
    words = ["picks-to-raw", str(path), "--raw", RAW, "-o", str(tmp_path / "new"), *options]
    assert main(words) == 1
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "new").glob("*"))


def test_numbers_tell_micrographs_apart(project, tmp_path):
    """FoilHole_1_2 is not FoilHole_1, though FoilHole_1_denoised is."""
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    targets = Targets(find_inputs([RAW]), scale=1.0)
    assert targets.find("other/FoilHole_1_DW_denoised.mrc").name == f"{RAW}/FoilHole_1.mrc"
    with pytest.raises(InputError, match="FoilHole_1_2"):
        targets.find("FoilHole_1_2")


def test_of_equal_names_the_folder_decides(tmp_path, monkeypatch):
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    monkeypatch.chdir(tmp_path)
    for square in ("GridSquare_1", "GridSquare_2"):
        (tmp_path / "raw" / square).mkdir(parents=True)
        write_mrc(tmp_path / "raw" / square / "a.mrc", np.ones((4, 6), np.float32))
    targets = Targets(find_inputs(["raw/*/*.mrc"]), scale=1.0)
    found = targets.find("External/job012/GridSquare_2/a.mrc")
    assert found.name == "raw/GridSquare_2/a.mrc"
    with pytest.raises(InputError, match=r"GridSquare_1/a\.mrc or"):
        targets.find("a.mrc")


def test_another_field_is_refused(project, tmp_path):
    from nt2c.core.errors import InputError
    from nt2c.io.pick_targets import Targets

    write_mrc(tmp_path / "FoilHole_1.mrc", np.ones((80, 62), np.float32))
    with pytest.raises(InputError, match="62 x 80"):
        Targets(find_inputs([RAW]), find_inputs([tmp_path])).find("FoilHole_1")


def test_headers_without_pixel_size_do(project):
    for name in NAMES:
        with mrcfile.open(f"{RAW}/{name}.mrc", "r+") as mrc:
            mrc.voxel_size = 0.0
    test_relion_autopick(project)
