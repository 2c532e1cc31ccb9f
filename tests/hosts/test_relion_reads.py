"""The rules of STAR files are RELION's: its own reader gives what ours gives."""

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from nt2c.cli.app import main
from nt2c.io.star import read_micrographs_star
from nt2c.io.star_outputs import write_outputs_star
from nt2c.io.star_text import read_star_text
from tests.io.make import write_mrc

pytestmark = pytest.mark.skipif(
    shutil.which("relion_star_handler") is None,
    reason="RELION is not installed (the package relion of Debian and Ubuntu is enough)",
)
HEAD = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
one 1 1.0 300 2.7 0.1
two 2 1.0 300 2.7 0.1

# version 30001

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
"""
STRANGE = ["a.mrc", "data_1.mrc", "_b.mrc", "save_x", ";c.mrc", "[d", "$e", "loop_", "it's.mrc"]
STRANGE += ["a#b.mrc"]


def relion_reads(path: Path) -> list[list[str]]:
    """Return the rows of micrographs as RELION writes them again."""
    out = path.with_name("again.star")
    words = ["relion_star_handler", "--combine", "--i", path.name, "--o", out.name]
    subprocess.run(words, cwd=path.parent, check=True, capture_output=True)
    table = read_star_text(out).table("rlnMicrographName")
    columns = [table.column(label) for label in ("rlnMicrographName", "rlnOpticsGroup")]
    return [list(row) for row in zip(*columns, strict=True)]


ROWS = [
    [f"{name} 1" for name in STRANGE],
    ["data_1.mrc 1", "b.mrc 1"],
    ["'q r.mrc' 1", "a.mrc 1 # said by hand"],
]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_rows_may_begin_with_anything(tmp_path, rows, begin):
    path = tmp_path / "in.star"
    path.write_text(begin + HEAD + "".join(f"{row}\n" for row in rows))
    ours = read_star_text(path).table("rlnMicrographName").column("rlnMicrographName")
    assert len(ours) == len(rows)
    assert relion_reads(path) == [[name, "1"] for name in ours]


def test_a_row_behind_the_empty_line_is_not_read_by_relion(tmp_path):
    """So ours refuses the file; see the tests of the parser."""
    path = tmp_path / "in.star"
    path.write_text(HEAD + "a.mrc 1\n\nb.mrc 1\n")
    assert relion_reads(path) == [["a.mrc", "1"]]


@pytest.mark.parametrize("size_a", [1.0, 4.0])
def test_the_list_of_results_is_read(tmp_path, size_a):
    """Also where a group has no micrograph left, and results with names that need quotes."""
    path = tmp_path / "in.star"
    path.write_text(HEAD + "".join(f"{name} 1\n" for name in STRANGE) + "z.mrc 2\n")
    for name in STRANGE:
        (tmp_path / name).touch()
    outputs = {
        one.path: (tmp_path / f"_out/{one.name}", size_a)
        for one in read_micrographs_star(path)
        if one.name != "z.mrc"
    }
    new = tmp_path / "new.star"
    assert write_outputs_star(new, path, outputs) == len(STRANGE)
    assert relion_reads(new) == [[f"_out/{name}", "1"] for name in STRANGE]
    (tmp_path / "_out").mkdir()
    (tmp_path / "_out/a.mrc").touch()
    sizes_a = {one.pixel_size_a for one in read_micrographs_star(new)}
    assert sizes_a == {size_a}


OPTICS = HEAD[: HEAD.index("one 1")]


def test_particles_for_the_raw_micrographs_are_extracted_in_the_middle(tmp_path, monkeypatch):
    """From a particles.star of micrographs of four times the pixel size."""
    monkeypatch.chdir(tmp_path)
    raw = np.random.default_rng(0).normal(100, 0.1, (256, 256)).astype(np.float32)
    y, x = np.mgrid[:256, :256]
    for column, row in ((60, 100), (160, 200)):
        raw -= 20 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 50).astype(np.float32)
    for folder in ("raw", "denoised"):
        (tmp_path / folder).mkdir()
    write_mrc(tmp_path / "raw/a.mrc", raw, 1.0)
    write_mrc(tmp_path / "denoised/a.mrc", raw[::4, ::4], 4.0)
    rows = "\n\ndata_{}\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n"
    group = "_rlnMicrographPixelSize #7\none 1 1.0 300 2.7 0.1 {}\n"
    list_star = OPTICS + group.format(1.0) + rows.format("micrographs") + "raw/a.mrc 1\n"
    Path("raw.star").write_text(list_star)
    group = group.replace("#7\n", "#7\n_rlnImagePixelSize #8\n_rlnImageSize #9\n")
    picks = OPTICS + group.format("4.0 4.0 16") + rows.format("particles")
    picks += "_rlnCoordinateX #3\n_rlnCoordinateY #4\n_rlnImageName #5\n"
    picks += "denoised/a.mrc 1 15 25 1@x.mrcs\ndenoised/a.mrc 1 40 50 2@x.mrcs\n"
    Path("particles.star").write_text(picks)
    assert main(["picks-to-raw", "particles.star", "--raw", "raw", "-o", "new"]) == 0
    words = "relion_preprocess --i raw.star --reextract_data_star new/particles.star --extract "
    words += "--part_star extracted.star --part_dir extracted/ --extract_size 64"
    subprocess.run(words.split(), check=True, capture_output=True)
    with mrcfile.open("extracted/raw/a.mrcs", permissive=True) as mrc:
        boxes = mrc.data
    for box in boxes:
        dark = np.clip(np.median(box) - box - 1, 0, None)
        own_y, own_x = np.mgrid[:64, :64]
        centre = (own_y * dark).sum() / dark.sum(), (own_x * dark).sum() / dark.sum()
        assert centre == pytest.approx((32, 32), abs=0.5)
    optics = read_star_text("extracted.star").table("rlnImagePixelSize")
    assert [float(text) for text in optics.column("rlnImagePixelSize")] == [1.0]
