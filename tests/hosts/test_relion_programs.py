"""Beside the real RELION: it runs the job, reads the lists, and cuts out what was picked.

Debian packages RELION 3.1 (`apt-get install relion`), which needs no GPU for this.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import tifffile
from numpy.typing import NDArray

from nt2c.cli.app import main

PIXEL_A = 2.0
SHAPE = (320, 384)
BOX_PX = 48
CENTRES_YX = [(50 + 80 * j + 9 * i, 60 + 85 * i) for j in range(3) for i in range(4)]
NAMES = [f"MotionCorr/job002/Movies/GridSquare_{n}/FoilHole_{n}.mrc" for n in range(2)]
STAR = "MotionCorr/job002/corrected_micrographs.star"

Image = NDArray[np.float32]

_HEAD = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnMicrographPixelSize #4
_rlnVoltage #5
_rlnSphericalAberration #6
_rlnAmplitudeContrast #7
opticsGroup1 1 {pixel_a} {pixel_a} 300.0 2.7 0.1


# version 30001

data_{table}

loop_
_rln{label} #1
_rlnOpticsGroup #2
"""
_JOB = f"""
data_job

_rlnJobType 99
_rlnJobIsContinue 0


data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
fn_exe "{sys.executable} -m nt2c relion"
in_mic {STAR}
param1_label device
param1_value cpu
do_queue No
nr_threads 1

"""
_AUTOPICK = """
data_coordinate_files

loop_
_rlnMicrographName #1
_rlnMicrographCoordinates #2
"""
_PIPELINE = "\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 12\n\n"


def relion(program: str, *words: str) -> str:
    """Run a program of RELION in the current folder; skip the test where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install relion)")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "ERROR: \n" not in said
    return said


def write_list(
    path: str, names: list[str], pixel_a: float = PIXEL_A, label: str = "MicrographName"
) -> None:
    """Write a list of micrographs, or of movies, in the form of RELION 3.1."""
    table = "movies" if label == "MicrographMovieName" else "micrographs"
    head = _HEAD.format(pixel_a=pixel_a, table=table, label=label)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(head + "".join(f"{name} 1\n" for name in names) + "\n")


def particles(seed: int) -> Image:
    """Dark blobs at `CENTRES_YX`, each with a texture that no turn or flip brings onto itself."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for place, (row, column) in enumerate(CENTRES_YX):
        r = np.hypot(y - row, x - column)
        texture = 1 + 0.4 * np.sin((x + 0.6 * y) / 4 + place) + (y - row) / 40
        image -= np.exp(-((r / 14) ** 4)) * texture
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    return (100 + 9 * image + 10 * noise).astype(np.float32)


def write_image(path: str, image: Image) -> None:
    """Write a micrograph or a movie as RELION reads it: the first row of a TIFF is the last."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".tif"):
        tifffile.imwrite(path, image[..., ::-1, :], photometric="minisblack")
        return
    with mrcfile.new(path) as mrc:
        mrc.set_data(image)
        mrc.voxel_size = PIXEL_A


def correlation(a: Image, b: Image) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an external job that RELION's pipeliner ran."""
    root = tmp_path_factory.mktemp("relion")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_list(STAR, NAMES)
        for seed, name in enumerate(NAMES):
            write_image(name, particles(seed))
        Path("job.star").write_text(_JOB)
        Path("default_pipeline.star").write_text(_PIPELINE)
        relion("relion_pipeliner", "--addJobFromStar", "job.star")
        words = ["--schedule", "once", "--sec_wait_after", "0"]
        relion("relion_pipeliner", "--RunJobs", "External/job012/", *words)
    return root / "External/job012"


def test_the_pipeliner_runs_the_job_and_knows_its_nodes(job: Path) -> None:
    assert (job / "RELION_JOB_EXIT_SUCCESS").is_file()
    pipeline = starfile.read(job.parent.parent / "default_pipeline.star")
    assert list(pipeline["pipeline_processes"]["rlnPipeLineProcessStatus"]) == [2]  # finished
    nodes = set(pipeline["pipeline_output_edges"]["rlnPipeLineEdgeToNode"])
    files = ("micrographs.star", "micrographs_raw.star", "logfile.pdf")
    assert nodes == {f"External/job012/{name}" for name in files}


def test_star_handler_reads_the_lists(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job.parent.parent)
    for name in ("micrographs.star", "micrographs_raw.star"):
        words = ["--select_by_str", "rlnMicrographName", "--select_include", "FoilHole_1"]
        relion("relion_star_handler", "--i", f"External/job012/{name}", "--o", "one.star", *words)
        given, kept = starfile.read(f"External/job012/{name}"), starfile.read("one.star")
        assert kept["optics"].equals(given["optics"])
        assert kept["micrographs"].equals(given["micrographs"][1:].reset_index(drop=True))


def _picks_of(name: str) -> str:
    return name.replace("External/job012", "AutoPick/job013").replace(".mrc", "_autopick.star")


@pytest.mark.parametrize("coarse", [1, 2])
@pytest.mark.parametrize("ending", [".mrc", ".tif"])
def test_what_is_picked_on_denoised_is_extracted_from_raw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, coarse: int
) -> None:
    """Pick on denoised micrographs, of coarser pixels too; extract from the raw ones.

    RELION 3.1 lists no coordinate files; that of RELION 4 and 5 is made here.
    """
    monkeypatch.chdir(tmp_path)
    names = [name.replace(".mrc", ending) for name in NAMES]
    images = {name: particles(seed) for seed, name in enumerate(names)}
    write_list(STAR, names)
    for name, image in images.items():
        write_image(name, image)
    grid_a = str(coarse * PIXEL_A)
    options = ["-o", "External/job012", "--device", "cpu", "--output-pixel-size", grid_a]
    assert main(["denoise", STAR, *options]) == 0
    denoised = [str(path) for path in Path("External").rglob("*.mrc")]
    write_list("denoised.star", denoised, coarse * PIXEL_A)
    words = ["--LoG_diam_min", "50", "--LoG_diam_max", "70", "--angpix", grid_a]
    relion("relion_autopick", "--LoG", "--i", "denoised.star", "--odir", "AutoPick/job013/", *words)
    rows = [f"{name} {_picks_of(name)}\n" for name in denoised]
    Path("autopick.star").write_text(_AUTOPICK + "".join(rows) + "\n")
    known = ["--raw", STAR, "--denoised", "denoised.star"]
    assert main(["picks-to-raw", "autopick.star", *known, "-o", "picks_raw"]) == 0
    made = ["--part_dir", "Extract/job014/", "--part_star", "Extract/job014/particles.star"]
    given = ["--i", STAR, "--coord_dir", "picks_raw/", "--coord_suffix", "_autopick.star"]
    relion("relion_preprocess", "--extract", "--extract_size", str(BOX_PX), *given, *made)

    extracted = starfile.read("Extract/job014/particles.star")["particles"]
    assert set(extracted["rlnMicrographName"]) == set(names)
    for name, image in images.items():
        rows = extracted[extracted["rlnMicrographName"] == name]
        for centre in CENTRES_YX:
            away = np.hypot(rows["rlnCoordinateY"] - centre[0], rows["rlnCoordinateX"] - centre[1])
            assert away.min() < 8
            row = rows.loc[away.idxmin()]
            index, stack = row["rlnImageName"].split("@")
            box = mrcfile.read(stack)[int(index) - 1]
            y, x = (int(row[f"rlnCoordinate{axis}"]) - BOX_PX // 2 for axis in "YX")
            assert correlation(box, image[y : y + BOX_PX, x : x + BOX_PX]) > 0.999


@pytest.mark.parametrize("ending", [".mrcs", ".tif"])
def test_sums_are_those_of_motion_correction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Frames that did not move: RELION's own motion correction has nothing to do but to sum."""
    monkeypatch.chdir(tmp_path)
    still = np.stack([particles(0)] * 4)
    still += np.random.default_rng(1).normal(0, 2, still.shape)
    name = f"Movies/movie{ending}"
    write_image(name, still.astype(np.float32))
    write_list("movies.star", [name], label="MicrographMovieName")
    words = ["--use_own", "--skip_defect", "--i", "movies.star", "--o", "MotionCorr/job002/"]
    relion("relion_run_motioncorr", *words)
    size = ["--pixel-size", str(PIXEL_A)]
    assert main(["sum-frames", name, "-o", "summed", "--aligned", *size]) == 0
    theirs, ours = (
        mrcfile.read(next(Path(f).rglob("movie.mrc"))) for f in ("MotionCorr", "summed")
    )
    assert correlation(theirs, ours) > 0.999


def test_picks_of_the_job_are_extracted_and_refined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's own coordinates: every particle in the middle of a box, and RELION averages them.

    A coordinate file lies where RELION 3.1 looks for it, and in the list that later ones read.
    """
    monkeypatch.chdir(tmp_path)
    write_list(STAR, NAMES)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for seed, name in enumerate(NAMES):
        image = np.random.default_rng(seed).normal(100, 10, SHAPE)
        for row, column in CENTRES_YX:
            image -= 9 * np.exp(-((np.hypot(y - row, x - column) / 14) ** 4))
        write_image(name, image.astype(np.float32))
    job = ["--o", "External/job012/", "--in_mics", STAR, "--diameter", "56", "--device", "cpu"]
    assert main(["relion", "pick", *job, "--pipeline_control", "External/job012/"]) == 0
    assert Path("External/job012/RELION_JOB_EXIT_SUCCESS").is_file()
    nodes = starfile.read("External/job012/RELION_OUTPUT_NODES.star")
    assert "MicrographCoordsGroup.star.relion.autopick" in set(nodes["rlnPipeLineNodeTypeLabel"])
    listed = starfile.read("External/job012/autopick.star")
    assert list(listed["rlnMicrographName"]) == NAMES
    assert all(Path(path).is_file() for path in listed["rlnMicrographCoordinates"])
    selected = starfile.read("External/job012/micrographs_selected.star")["micrographs"]
    assert list(selected["rlnMicrographName"]) == NAMES

    made = ["--part_dir", "Extract/job014/", "--part_star", "Extract/job014/particles.star"]
    given = ["--i", STAR, "--coord_dir", "External/job012/", "--coord_suffix", "_autopick.star"]
    size = ["--extract_size", str(BOX_PX), "--norm", "--bg_radius", "20", "--invert_contrast"]
    relion("relion_preprocess", "--extract", *size, *given, *made)
    extracted = starfile.read("Extract/job014/particles.star")["particles"]
    assert "rlnAutopickFigureOfMerit" in extracted
    for name in NAMES:
        rows = extracted[extracted["rlnMicrographName"] == name]
        away = [
            np.hypot(rows["rlnCoordinateY"] - row, rows["rlnCoordinateX"] - column).min()
            for row, column in CENTRES_YX
        ]
        assert np.mean(away) <= 1.5
        assert max(away) <= 3  # of 28 px particles in noise as strong as they are
        assert len(rows) == len(CENTRES_YX)
        boxes = mrcfile.read(rows["rlnImageName"].iloc[0].split("@")[1])
        mean = boxes.mean(0).clip(1)  # white now
        grid = np.arange(BOX_PX) - BOX_PX / 2
        assert abs((mean.sum(0) * grid).sum() / mean.sum()) < 1
        assert abs((mean.sum(1) * grid).sum() / mean.sum()) < 1
    Path("Class2D").mkdir()
    words = ["--i", "Extract/job014/particles.star", "--o", "Class2D/run", "--K", "1", "--iter"]
    words += ["1", "--particle_diameter", "80", "--psi_step", "90", "--offset_range", "2"]
    relion("relion_refine", *words, "--offset_step", "2", "--norm", "--scale", "--j", "1")
    average = mrcfile.read("Class2D/run_it001_classes.mrcs").reshape(BOX_PX, BOX_PX)
    assert average[18:30, 18:30].mean() > average[:6].mean() + 0.5
