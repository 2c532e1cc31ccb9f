"""Rows of TIFF, EER and MRC files against the real RELION, where it is installed."""

import shutil
import subprocess

import mrcfile
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from nt2c.io.frames import sum_frames
from nt2c.io.micrographs import open_micrograph, open_movie, write_micrograph
from tests.io.eer import write_eer
from tests.io.make import write_mrc

pytestmark = pytest.mark.skipif(
    not shutil.which("relion_preprocess"), reason="RELION is not installed"
)
OPTICS = """data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnMicrographPixelSize #4
_rlnVoltage #5
_rlnSphericalAberration #6
_rlnAmplitudeContrast #7
o1 1 1.0 1.0 300 2.7 0.1

data_{kind}

loop_
_rlnMicrograph{label} #1
_rlnOpticsGroup #2
{name} 1
"""


def _run(folder, *words):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _counts(frames=8, shape=(256, 192)):
    rng = np.random.default_rng(0)
    expected = np.clip(gaussian_filter(rng.normal(size=shape), 3) * 30 + 20, 1, 100)
    return rng.poisson(expected, (frames, *shape)).astype(np.int16)


def _electrons(frames=6, each=1500, side=4096):
    """Frames of the only size that RELION takes, with more electrons at one corner."""
    places = (np.random.default_rng(0).random((frames, each, 2)) ** 2 * side).astype(int)
    hits = np.zeros((frames, side, side), bool)
    for frame, (y, x) in zip(hits, places.transpose(0, 2, 1), strict=True):
        frame[y, x // 2] = True
    return hits


def _coarse(image, cells=32):
    rows, columns = (size // cells for size in image.shape)
    return image.reshape(cells, rows, cells, columns).mean((1, 3))


def _correlation(one, other):
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_a_tiff_that_relion_made_of_an_mrc_has_its_rows(tmp_path):
    values = _counts(1)[0]
    write_mrc(tmp_path / "a.mrc", values)
    _run(tmp_path, "relion_convert_to_tiff", "--i", "a.mrc", "--o", "tiff/")
    with open_micrograph(tmp_path / "tiff" / "a.tif", 1.0) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)


def test_picks_hold_in_the_tiff_that_relion_extracts_from(tmp_path):
    tifffile.imwrite(tmp_path / "raw.tif", _counts(1)[0])
    with open_micrograph(tmp_path / "raw.tif", 1.0) as micrograph:
        read = micrograph.read()
    write_micrograph(tmp_path / "picked_on.mrc", read, 1.0)
    picks = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n100 80\n60 190\n"
    (tmp_path / "raw.star").write_text(picks)
    (tmp_path / "micrographs.star").write_text(
        OPTICS.format(kind="micrographs", label="Name", name="raw.tif")
    )
    _run(
        tmp_path, "relion_preprocess", "--i", "micrographs.star", "--coord_dir", "./",
        "--coord_suffix", ".star", "--part_dir", "boxes/", "--part_star", "boxes/p.star",
        "--extract", "--extract_size", "64",
    )  # fmt: skip
    with mrcfile.open(tmp_path / "boxes" / "raw.mrcs", permissive=True) as boxes:
        for box, (x, y) in zip(boxes.data, [(100, 80), (60, 190)], strict=True):
            assert _correlation(box, read[y - 32 : y + 32, x - 32 : x + 32]) > 0.9999


@pytest.mark.parametrize("name", ["m.mrcs", "m.tif", pytest.param("m.eer", marks=pytest.mark.slow)])
def test_sums_have_the_rows_of_those_of_relion(tmp_path, name):
    counts = _counts()
    if name == "m.mrcs":
        write_mrc(tmp_path / name, counts)
    elif name == "m.tif":
        tifffile.imwrite(tmp_path / name, counts, photometric="minisblack")
    else:
        write_eer(tmp_path / name, _electrons())
    (tmp_path / "movies.star").write_text(
        OPTICS.format(kind="movies", label="MovieName", name=name)
    )
    _run(
        tmp_path, "relion_run_motioncorr", "--i", "movies.star", "--o", "mc/", "--use_own",
        "--angpix", "1", "--voltage", "300", "--dose_per_frame", "1", "--skip_defect",
        "--eer_grouping", "1",
    )  # fmt: skip
    with open_movie(tmp_path / name, 1.0) as movie:
        own = sum_frames(movie).whole
    with mrcfile.open(tmp_path / "mc" / "m.mrc", permissive=True) as theirs:
        assert _correlation(_coarse(own), _coarse(theirs.data.squeeze())) > 0.9
