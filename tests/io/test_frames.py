"""`nt2c sum-frames`: one micrograph of a movie, and halves of its frames."""

import errno
import os

import mrcfile
import numpy as np
import pytest
import tifffile

from nt2c.cli.app import main
from nt2c.io import micrographs
from nt2c.io.mrc_writer import MrcWriter
from tests.io.make import write_mrc

COUNT = 5


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(3, 1, (COUNT, 30, 40)).astype(np.float32)


def _movie(path, frames):
    if path.suffix == ".tif":
        tifffile.imwrite(path, frames, resolution=(1e8 / 1.5, 1e8 / 1.5), resolutionunit=3)
    else:
        write_mrc(path, frames, 1.5)
    return str(path)


def _read(path):
    with mrcfile.open(path) as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(1.5)
        return mrc.data.copy()


@pytest.mark.parametrize("name", ["m.mrc", "m.mrcs", "m.tif"])
def test_sum_and_halves(tmp_path, frames, name):
    movie = _movie(tmp_path / name, frames)
    assert main(["sum-frames", movie, "-o", str(tmp_path / "out"), "--halves"]) == 0
    whole, even, odd = (_read(tmp_path / "out" / f"m{kind}.mrc") for kind in ("", "_EVN", "_ODD"))
    if name == "m.tif":  # the last row of a TIFF is the first of an MRC file
        frames = frames[:, ::-1]
    np.testing.assert_allclose(whole, frames.sum(0), rtol=1e-5)
    np.testing.assert_allclose(even, COUNT * frames[::2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(odd, COUNT * frames[1::2].mean(0), rtol=1e-5)


def test_no_halves_unless_asked(tmp_path, frames):
    assert main(["sum-frames", _movie(tmp_path / "m.mrcs", frames), "-o", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"m.mrcs", "m.mrc"}


@pytest.mark.parametrize(
    ("name", "dtype"), [("m.mrcs", np.int16), ("m.tif", np.uint8), ("m.mrc", np.float32)]
)
def test_frames_of_a_camera_are_refused(tmp_path, frames, name, dtype, capsys):
    movie = _movie(tmp_path / name, np.clip(frames, 0, 9).round().astype(dtype))
    assert main(["sum-frames", movie, "-o", str(tmp_path / "out")]) == 1
    assert "correct the motion first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["sum-frames", movie, "-o", str(tmp_path / "out"), "--aligned"]) == 0


def test_other_inputs_are_refused(tmp_path, frames, capsys):
    single = _movie(tmp_path / "single.mrc", frames[0])
    (tmp_path / "a.eer").write_bytes(b"II+\0")
    out = tmp_path / "out"
    assert main(["sum-frames", single, str(tmp_path / "a.eer"), "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "single.mrc: a single image" in said
    assert "a.eer: damaged TIFF file" in said


@pytest.mark.parametrize("link", [False, True])
def test_never_over_an_input_or_another_output(tmp_path, frames, link, capsys):
    movies, out = tmp_path / "in", tmp_path / "in"
    movies.mkdir()
    if link:
        out = tmp_path / "link"
        out.symlink_to(movies)
    whole, even = (_movie(movies / name, frames) for name in ("m.mrcs", "m_EVN.mrc"))
    before = {path: path.read_bytes() for path in movies.iterdir()}
    assert main(["sum-frames", whole, even, "-o", str(out)]) == 2
    assert "m_EVN.mrc: is an input and would be written over" in capsys.readouterr().err
    assert main(["sum-frames", whole, even, "-o", str(tmp_path / "out"), "--halves"]) == 2
    said = capsys.readouterr().err
    assert f"m_EVN.mrc: would hold the result of {whole} and of {even}" in said
    assert not (tmp_path / "out").exists()
    assert {path: path.read_bytes() for path in movies.iterdir()} == before


def test_sums_that_are_removed_during_the_run_are_told(tmp_path, frames, monkeypatch, capsys):
    movies = [_movie(tmp_path / name, frames) for name in ("a.mrcs", "b.mrcs")]
    out = tmp_path / "out"
    write = micrographs.write_micrograph

    def remove_and_write(path, *arguments, **options):
        for earlier in out.glob("*.mrc"):
            earlier.unlink()
        write(path, *arguments, **options)

    monkeypatch.setattr("nt2c.cli.sum_frames.write_micrograph", remove_and_write)
    assert main(["sum-frames", *movies, "-o", str(out)]) == 1
    assert f"{out / 'a.mrc'}: was written, and is not there any more" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "count"), [(errno.ENOSPC, 1), (errno.EACCES, 2)])
def test_what_cannot_be_written_is_named(tmp_path, frames, monkeypatch, capsys, code, count):
    """A full disk ends the command; other errors are those of one file."""

    def failing(self, section, image):
        raise OSError(code, os.strerror(code))  # writes tell no name

    monkeypatch.setattr(MrcWriter, "write", failing)
    movies = [_movie(tmp_path / name, frames) for name in ("a.mrcs", "b.mrcs")]
    assert main(["sum-frames", *movies, "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.splitlines()
    names = "ab"[:count]
    assert said == [f"nt2c: {tmp_path / 'out' / n}.mrc: {os.strerror(code)}" for n in names]
    assert list((tmp_path / "out").iterdir()) == []
