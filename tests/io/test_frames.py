"""`nt2c sum-frames`: one micrograph of a movie, and halves of its frames."""

import mrcfile
import numpy as np
import pytest
import tifffile

from nt2c.cli.app import main
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
    own = _movie(tmp_path / "m.mrc", frames)
    (tmp_path / "a.eer").write_bytes(b"II+\0")
    assert main(["sum-frames", single, own, str(tmp_path / "a.eer"), "-o", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "single.mrc: a single image" in said
    assert "m.mrc: would be written over" in said
    assert "a.eer: damaged TIFF file" in said
