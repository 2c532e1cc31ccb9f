"""`nt2c denoise --sum-frames`: movies are taken for the sum of their frames, unless these moved."""

import json

import numpy as np
import pytest
import tifffile
import torch

from nt2c.cli.app import main
from nt2c.denoising.movies import open_sum
from nt2c.imaging.drift import measure_drift
from tests.batch.make import noise, pixels
from tests.io.eer import write_eer
from tests.io.make import write_mrc

SHAPE, PIXEL_A = (160, 176), 4.0


def specimen(seed=0) -> np.ndarray:
    """Return structure of about 30 to 200 A, standard deviation 1."""
    rng = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(SHAPE[0]), np.fft.fftfreq(SHAPE[1]), indexing="ij"))
    spectrum = np.fft.fft2(rng.normal(size=SHAPE)) * np.exp(-((k * 9) ** 2))
    image = np.fft.ifft2(spectrum).real
    return image / image.std()


def moving(shift_px: float, count: int) -> np.ndarray:
    """Return noiseless frames (n, y, x) of a specimen that moves by `shift_px` columns in all."""
    spectrum, kx = np.fft.fft2(specimen()), np.fft.fftfreq(SHAPE[1])
    steps = shift_px * np.arange(count) / (count - 1)
    return np.array([np.fft.ifft2(spectrum * np.exp(-2j * np.pi * kx * s)).real for s in steps])


def movie(shift_px=0.0, count=6, strength=0.5) -> np.ndarray:
    """Return frames of real numbers."""
    noisy = np.random.default_rng(1).normal(10, 1, (count, *SHAPE))
    return (noisy + strength * moving(shift_px, count)).astype(np.float32)


def counts(shift_px=0.0, count=20) -> np.ndarray:
    """Return frames of zeros and ones."""
    rate = 0.1 * (1 + 0.3 * moving(shift_px, count))
    return (np.random.default_rng(2).random(rate.shape) < rate).astype(np.uint8)


def write(path, frames):
    if path.suffix == ".eer":
        write_eer(path, frames)
    elif path.suffix == ".tif":
        size = 1e8 / PIXEL_A
        tifffile.imwrite(path, frames, resolution=(size, size), resolutionunit=3)
    else:
        write_mrc(path, frames, PIXEL_A)
    return path


def run(model_file, output, *words) -> int:
    given = [*map(str, words), "-o", str(output), "--model", str(model_file), "--device", "cpu"]
    return main(["denoise", *given])


@pytest.mark.parametrize("shift", [0.0, 2.5, 9.0])
def test_drift_is_measured(shift):
    frames = torch.from_numpy(movie(shift, 20))
    drift = measure_drift(frames[:10].sum(0), frames[10:].sum(0), PIXEL_A)
    assert drift.certain
    assert drift.distance_a == pytest.approx(shift * PIXEL_A * 10 / 19, abs=2.0)


def test_unlike_images_have_no_drift():
    pairs = [torch.from_numpy(noise((2, *SHAPE), seed)) for seed in range(50)]
    assert not any(measure_drift(*pair, PIXEL_A).certain for pair in pairs)


def test_the_pattern_of_a_camera_is_no_proof():
    rng = np.random.default_rng(0)
    gain = 1 + 0.1 * rng.normal(size=(256, 256))
    first, second = (torch.from_numpy(rng.poisson(50 * gain)).float() for _ in range(2))
    assert not measure_drift(first, second, 1.0).certain


@pytest.mark.parametrize("name", ["m.mrc", "m.mrcs", "m.tif", "m.eer"])
def test_a_movie_gives_what_its_sum_gives(tmp_path, model_file, name):
    frames = counts() if name == "m.eer" else movie()
    path = write(tmp_path / name, frames[:, ::-1] if name == "m.tif" else frames)
    whole = write(tmp_path / "sum" / "m.mrc", frames.sum(0, dtype=np.float32))
    given = ("--pixel-size", PIXEL_A)
    assert run(model_file, tmp_path / "out", path, "--sum-frames", *given) == 0
    assert run(model_file, tmp_path / "expected", whole, *given) == 0
    found, expected = (pixels(tmp_path / f / "m.mrc") for f in ("out", "expected"))
    assert found.shape == SHAPE
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.fixture(autouse=True)
def _folders(tmp_path):
    (tmp_path / "sum").mkdir()


@pytest.mark.parametrize("name", ["m.mrcs", "m.tif", "m.eer"])
def test_frames_that_moved_are_refused(tmp_path, model_file, name, capsys):
    frames = counts(6) if name == "m.eer" else movie(6)
    path = write(tmp_path / name, frames)
    assert run(model_file, tmp_path / "out", path, "--sum-frames", "--pixel-size", PIXEL_A) == 1
    said = capsys.readouterr().err
    assert "not aligned" in said
    assert "correct the motion first" in said
    shift = int(said.split("is shifted by ")[1].split(" A ")[0])
    assert shift == pytest.approx(6 * PIXEL_A * 0.55, abs=5)
    assert not (tmp_path / "out" / "m.mrc").exists()


def test_what_cannot_be_measured(tmp_path, model_file, capsys):
    faint = write(tmp_path / "faint.mrcs", movie(strength=0.0))
    assert run(model_file, tmp_path / "out", faint, "--sum-frames") == 0
    assert "too faint to see whether they are aligned" in capsys.readouterr().out
    dark = np.random.default_rng(0).poisson(1.0, (6, *SHAPE)).astype(np.int16)
    assert run(model_file, tmp_path / "out", write(tmp_path / "c.mrcs", dark), "--sum-frames") == 1
    assert "frames of whole numbers are those of a camera" in capsys.readouterr().err


def test_without_the_option(tmp_path, model_file, capsys):
    stack = write(tmp_path / "m.mrcs", movie())
    eer = write(tmp_path / "e.eer", counts())
    assert run(model_file, tmp_path / "out", stack, eer, "--pixel-size", PIXEL_A) == 1
    said = "".join(capsys.readouterr())
    assert "6 images are denoised one by one" in said
    assert "EER files are movies" in said
    assert said.count("sum-frames") == 2
    assert pixels(tmp_path / "out" / "m.mrcs").shape == (6, *SHAPE)


def test_like_any_other_input(tmp_path, model_file, capsys):
    folder = tmp_path / "movies"
    folder.mkdir()
    write(folder / "a.eer", counts())
    write(folder / "b.tif", movie())
    write(folder / "c.mrcs", movie(6))
    write_mrc(folder / "d.mrc", movie()[0], PIXEL_A)  # its own sum
    output, given = tmp_path / "out", ("--pixel-size", PIXEL_A)
    shards = [run(model_file, output, folder, "--sum-frames", *given, "--shard", f"{i}/2")
              for i in (1, 2)]  # fmt: skip
    assert sorted(shards) == [0, 1]
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.mrc")}
    assert {path.name for path in before} == {"a.mrc", "b.mrc", "d.mrc"}
    assert run(model_file, output, folder, "--sum-frames", *given) == 1
    states = {row["input"].rsplit("/")[-1]: row["status"] for row in summary(output)}
    assert states == {
        "a.eer": "skipped",
        "b.tif": "skipped",
        "c.mrcs": "failed",
        "d.mrc": "skipped",
    }
    assert before == {path: path.stat().st_mtime_ns for path in output.glob("*.mrc")}
    capsys.readouterr()
    assert run(model_file, output, folder / "b.tif", *given) == 0  # other settings: made again
    assert pixels(output / "b.mrc").shape == (6, *SHAPE)


def summary(output):
    return json.loads((output / "summary.json").read_text())["results"]


def test_the_sum_that_an_eer_file_begins_with_is_passed_over(tmp_path):
    frames = counts(count=4)
    path = write_eer(tmp_path / "m.eer", frames, integrated=True)
    with open_sum(path, PIXEL_A) as opened:
        opened.reader._movie.pixel_size_a = 1e6  # nothing to be measured
        with pytest.raises(Exception, match="those of a camera"):
            opened.read()
        np.testing.assert_array_equal(opened.reader._movie.read(0), frames[0])
        assert opened.reader._movie.sections == 4
