"""Batches: what is done stays done, bad files do not stop the others, nothing is half written."""

import bz2
import errno
import gzip
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import torch

from nt2c.batch import reading as module
from nt2c.batch import writing
from nt2c.batch.run import denoise_files
from nt2c.batch.stamps import model_fingerprint
from nt2c.core import revision
from nt2c.core.advice import GIVE_PIXEL_SIZE
from nt2c.core.errors import SettingsError
from nt2c.denoising.denoiser import denoise, load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings, Shard
from nt2c.io import files as files_module
from nt2c.io.inputs import MicrographInput, find_inputs
from nt2c.io.mrc_writer import MrcWriter
from tests.batch.make import files, micrograph, noise, pixels, random_model
from tests.io.make import patch, write_mrc

FP32 = DenoiseSettings(precision="fp32")
CPU = {"device": "cpu", "precision": "fp32"}


def run(inputs, output, model, settings=FP32, **options):
    """Denoise into a folder; return status and message by name of the input."""
    found = find_inputs(inputs if isinstance(inputs, list) else [inputs])
    calls = {name: options.pop(name) for name in ("stop", "on_result") if name in options}
    batch = BatchOptions(device="cpu", **options)
    summary = denoise_files(found, output, model, settings, batch, **calls)
    return {result.input.name: (result.status, result.message) for result in summary.results}


def statuses(results) -> list[str]:
    return [status for status, _ in results.values()]


@pytest.fixture
def raw(tmp_path):
    """Return a folder with three micrographs."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, name in enumerate("abc"):
        micrograph(folder / f"{name}.mrc", seed)
    return folder


def test_each_output_is_the_denoised_input(tmp_path, raw, model):
    assert statuses(run(raw, tmp_path / "out", model)) == ["done"] * 3
    assert files(tmp_path / "out") == ["a.mrc", "b.mrc", "c.mrc"]
    for seed, name in enumerate("abc"):
        expected = denoise(noise(seed=seed), 2.0, model, device="cpu", precision="fp32")
        np.testing.assert_array_equal(pixels(tmp_path / "out" / f"{name}.mrc"), expected)


def test_header(tmp_path, model):
    source = tmp_path / "a.mrc"
    with mrcfile.new(source) as mrc:
        mrc.set_data(noise())
        mrc.voxel_size = 2.0
        mrc.header.origin = (30.0, 20.0, 0.0)
        mrc.add_label("from the camera")
        mrc.set_extended_header(np.frombuffer(b"kept" * 20, "V80"))
    run([source], tmp_path / "out", model)
    with mrcfile.open(tmp_path / "out" / "a.mrc") as mrc:
        labels = [str(label) for label in mrc.get_labels()]
        assert "from the camera" in labels
        assert "nt2c" in labels[-1]
        assert "fp32 tiny" in labels[-1]
        assert mrc.header.origin.item() == (30.0, 20.0, 0.0)
        assert mrc.voxel_size.x == mrc.voxel_size.y == 2.0
        assert mrc.extended_header.tobytes() == b"kept" * 20
        assert mrc.header.dmean == pytest.approx(mrc.data.mean(), rel=1e-6)


def test_second_run_does_nothing(tmp_path, raw, model, monkeypatch):
    run(raw, tmp_path / "out", model)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.mrc")}
    monkeypatch.setattr(writing, "create_output", None)
    assert statuses(run(raw, tmp_path / "out", model)) == ["skipped"] * 3
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.mrc")} == before


def test_what_changed_is_done_again(tmp_path, raw, model):
    run(raw, tmp_path / "out", model)
    micrograph(raw / "b.mrc", seed=9)
    assert statuses(run(raw, tmp_path / "out", model)) == ["skipped", "done", "skipped"]
    (tmp_path / "out" / "c.mrc").unlink()
    assert statuses(run(raw, tmp_path / "out", model)) == ["skipped", "skipped", "done"]


@pytest.mark.parametrize(
    "change",
    [
        {"pixel_size_a": 2.5},
        {"output_pixel_size_a": 4.0},
        {"precision": "bf16"},
        {"keep_background": True},
        {"float16": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_counts(tmp_path, raw, model, change):
    """Another value gives another result, and does the work again."""
    run(raw / "a.mrc", tmp_path / "out", model)
    with mrcfile.open(tmp_path / "out" / "a.mrc") as mrc:
        before = mrc.data.copy(), float(mrc.voxel_size.x)
    other = DenoiseSettings(**{"precision": "fp32", **change})
    assert statuses(run(raw / "a.mrc", tmp_path / "out", model, other)) == ["done"]
    with mrcfile.open(tmp_path / "out" / "a.mrc") as mrc:
        after = mrc.data.copy(), float(mrc.voxel_size.x)
    assert before[0].shape != after[0].shape or not np.array_equal(before[0], after[0])
    assert after[1] == {"pixel_size_a": 2.5, "output_pixel_size_a": 4.0}.get(next(iter(change)), 2)
    assert after[0].dtype == (np.float16 if "float16" in change else np.float32)


def test_another_model_or_version_does_it_again(tmp_path, raw, model, monkeypatch):
    run(raw / "a.mrc", tmp_path / "out", model)
    other = random_model(seed=1)
    assert model_fingerprint(other) != model_fingerprint(model)
    assert model_fingerprint(random_model()) == model_fingerprint(model)
    assert statuses(run(raw / "a.mrc", tmp_path / "out", other)) == ["done"]
    monkeypatch.setattr(revision, "__version__", "99")
    assert statuses(run(raw / "a.mrc", tmp_path / "out", other)) == ["done"]


def test_what_an_older_state_of_the_code_made_is_done_again(tmp_path, raw, model, monkeypatch):
    run(raw, tmp_path / "out", model)
    monkeypatch.setitem(revision.REVISIONS, "denoising", revision.REVISIONS["denoising"] + 1)
    assert statuses(run(raw, tmp_path / "out", model)) == ["done"] * 3


def test_results_are_those_of_their_revision(model):
    """If this fails, and should: raise the revision, and write the new figures here."""
    uneven = (noise((240, 260)) - 100) * np.linspace(0.7, 1.4, 260, dtype=np.float32) + 100
    result = denoise(uneven, 2.0, model, **CPU)
    figures = [result.mean(), result.std(), *result[60::60, 65::65].ravel()]
    assert revision.REVISIONS["denoising"] == 5
    assert figures == pytest.approx(
        [100.111, 8.762, 108.340, 105.025, 93.808, 101.120, 88.887, 120.637, 103.939, 95.068,
         73.254], rel=1e-4,
    )  # fmt: skip


def test_overwrite_does_all_again(tmp_path, raw, model):
    run(raw, tmp_path / "out", model)
    assert statuses(run(raw, tmp_path / "out", model, overwrite=True)) == ["done"] * 3


def test_files_of_others_are_left_alone(tmp_path, raw, model):
    (tmp_path / "out").mkdir()
    precious = micrograph(tmp_path / "out" / "b.mrc", seed=5).read_bytes()
    results = run(raw, tmp_path / "out", model)
    assert statuses(results) == ["done", "failed", "done"]
    assert "out/b.mrc: exists and was not written by nt2c;" in results["b.mrc"][1]
    assert (tmp_path / "out" / "b.mrc").read_bytes() == precious
    assert statuses(run(raw, tmp_path / "out", model, overwrite=True)) == ["done"] * 3
    assert (tmp_path / "out" / "b.mrc").read_bytes() != precious


@pytest.mark.parametrize("overwrite", [False, True])
def test_never_over_an_input(tmp_path, raw, model, overwrite):
    before = {p: p.read_bytes() for p in raw.iterdir()}
    (tmp_path / "link").symlink_to(raw)
    for output in (raw, tmp_path / "link"):
        with pytest.raises(SettingsError, match="is an input and would be written over"):
            run(raw, output, model, overwrite=overwrite)
    assert {p: p.read_bytes() for p in raw.iterdir()} == before


def test_equal_outputs_are_refused_before_anything_is_written(tmp_path, raw, model):
    """Whoever made up the names: a caller, or links that make two folders one."""
    first, second = (MicrographInput(raw / f"{n}.mrc", "x.mrc") for n in "ab")
    with pytest.raises(SettingsError, match=r"would hold the result of .*a\.mrc and of .*b"):
        denoise_files([first, second], tmp_path / "out", model, FP32, BatchOptions(device="cpu"))
    assert not (tmp_path / "out").exists()
    out = tmp_path / "out"
    (out / "p").mkdir(parents=True)
    (out / "q").symlink_to(out / "p")
    linked = [replace(first, output_name="p/x.mrc"), replace(second, output_name="q/x.mrc")]
    with pytest.raises(SettingsError, match="would hold the result of"):
        denoise_files(linked, out, model, FP32, BatchOptions(device="cpu"))
    assert files(out) == []


def test_suffix_beside_the_inputs(tmp_path, raw, model):
    assert statuses(run(raw, raw, model, suffix="_denoised")) == ["done"] * 3
    assert files(raw) == sorted(f"{n}{s}.mrc" for n in "abc" for s in ("", "_denoised"))
    # The folder now holds the outputs too: they are no inputs.
    again = run(raw, raw, model, suffix="_denoised")
    assert again == {f"{n}.mrc": ("skipped", "") for n in "abc"}
    with pytest.raises(SettingsError, match="holds '/'"):
        run(raw, raw, model, suffix="/x")


def test_denoising_twice_is_warned_of(tmp_path, raw, model):
    run(raw / "a.mrc", tmp_path / "once", model)
    found = find_inputs([tmp_path / "once" / "a.mrc"])
    result = denoise_files(
        found, tmp_path / "twice", model, FP32, BatchOptions(device="cpu")
    ).results[0]
    assert any("denoised micrograph already" in warning for warning in result.warnings)


@pytest.mark.parametrize(("pixel_size_a", "warned"), [(12.4, True), (12.5, False)])
def test_an_implausibly_small_field_is_warned_of(tmp_path, model, pixel_size_a, warned):
    source = micrograph(tmp_path / "a.mrc", shape=(120, 140))
    settings = DenoiseSettings(precision="fp32", pixel_size_a=pixel_size_a)
    found = find_inputs([source])
    result = denoise_files(
        found, tmp_path / "out", model, settings, BatchOptions(device="cpu")
    ).results[0]
    small = (
        f"the field is only 1488 A wide: is the pixel size right? If not, give {GIVE_PIXEL_SIZE}"
    )
    assert (small in result.warnings) == warned
    assert any("the field is only" in warning for warning in result.warnings) == warned


def test_stack_float16_tiff_gz_bz2_and_star(tmp_path, model):
    stack = np.stack([noise(seed=s) for s in range(3)])
    sources = [write_mrc(tmp_path / "s.mrcs", stack, 2.0)]
    plain = micrograph(tmp_path / "plain.mrc").read_bytes()
    (tmp_path / "g.mrc.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "b.mrc.bz2").write_bytes(bz2.compress(plain))
    tifffile.imwrite(tmp_path / "t.tif", noise()[::-1], resolution=(5e7, 5e7), resolutionunit=3)
    write_mrc(tmp_path / "listed.mrc", noise(seed=4), 1.0)
    (tmp_path / "micrographs.star").write_text(
        "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 2.0\n\n"
        "data_micrographs\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\nlisted.mrc 1\n"
    )
    sources += [tmp_path / n for n in ("g.mrc.gz", "b.mrc.bz2", "t.tif", "micrographs.star")]
    out = tmp_path / "out"
    assert statuses(run(sources, out, model)) == ["done"] * 5
    assert files(out) == ["b.mrc", "g.mrc", "listed.mrc", "s.mrcs", "t.mrc"]

    def expected(seed):
        return denoise(noise(seed=seed), 2.0, model, device="cpu", precision="fp32")

    np.testing.assert_array_equal(pixels(out / "s.mrcs"), np.stack([expected(s) for s in range(3)]))
    for name in "gbt":
        np.testing.assert_array_equal(pixels(out / f"{name}.mrc"), expected(0))
    np.testing.assert_array_equal(pixels(out / "listed.mrc"), expected(4))
    with mrcfile.open(out / "listed.mrc") as mrc:
        assert mrc.voxel_size.x == 2.0


def test_output_pixel_size_of_odd_fields_keeps_the_field_of_view(tmp_path, model):
    source = micrograph(tmp_path / "a.mrc", shape=(75, 75))
    run([source], tmp_path / "out", model, DenoiseSettings(output_pixel_size_a=4.0))
    with mrcfile.open(tmp_path / "out" / "a.mrc") as mrc:
        assert mrc.data.shape == (38, 38)
        assert mrc.header.cella.x == pytest.approx(75 * 2.0, rel=1e-6)
        assert mrc.voxel_size.x == pytest.approx(75 * 2.0 / 38, rel=1e-6)


def spoilt(path, value):
    values = noise()
    values[2, 3] = value
    write_mrc(path, values, 2.0)


BAD = {
    "truncated": (lambda p: p.write_bytes(micrograph(p).read_bytes()[:-1]), "truncated"),
    "empty": (lambda p: p.write_bytes(b""), "empty file"),
    "constant": (lambda p: write_mrc(p, np.full((48, 56), 7, "f4"), 2.0), "every pixel is 7"),
    "nan": (lambda p: spoilt(p, np.nan), "not finite"),
    "infinite": (lambda p: spoilt(p, np.inf), "not finite"),
    "complex": (lambda p: write_mrc(p, noise().astype(np.complex64), 2.0), "complex"),
    "no_pixel_size": (lambda p: write_mrc(p, noise(), 0.0), "--pixel-size"),
    "stamp": (lambda p: patch(micrograph(p), 212, b"\x11\x11\0\0"), "wrong machine stamp"),
    "text": (lambda p: p.write_text("not a micrograph\n" * 100), "not an MRC file"),
    "second_image": (
        lambda p: write_mrc(p, np.stack([noise(), noise() * np.nan]), 2.0),
        "image 2: 2688 pixels are not finite",
    ),
    "missing": (lambda p: None, "no such file"),
    "tiny": (lambda p: write_mrc(p, noise((3, 3)), 2.0), "too small"),
}


def test_bad_files_are_named_and_the_others_done(tmp_path, raw, model):
    for kind, (make, _) in BAD.items():
        make(raw / f"bad_{kind}.mrc")
    results = run([raw, raw / "bad_missing.mrc"], tmp_path / "out", model)
    assert files(tmp_path / "out") == ["a.mrc", "b.mrc", "c.mrc"]
    for kind, (_, words) in BAD.items():
        status, message = results[f"bad_{kind}.mrc"]
        assert status == "failed"
        assert str(raw / f"bad_{kind}.mrc") in message
        assert words in message
    assert [results[f"{name}.mrc"] for name in "abc"] == [("done", "")] * 3
    micrograph(raw / "bad_nan.mrc")  # mended
    again = run([raw, raw / "bad_missing.mrc"], tmp_path / "out", model)
    assert [name for name, (status, _) in again.items() if status == "done"] == ["bad_nan.mrc"]


def test_value_beyond_float16_is_an_error(tmp_path, raw, model):
    write_mrc(raw / "b.mrc", noise(mean=1e6), 2.0)
    results = run(raw, tmp_path / "out", model, DenoiseSettings(precision="fp32", float16=True))
    assert statuses(results) == ["done", "failed", "done"]
    assert "write float32" in results["b.mrc"][1]
    assert str(raw / "b.mrc") in results["b.mrc"][1]
    assert "partial" not in results["b.mrc"][1]
    assert files(tmp_path / "out") == ["a.mrc", "c.mrc"]


def fail_writing(monkeypatch, code, name):
    """Let writing of one micrograph fail as the system would."""
    write = MrcWriter.write

    def failing(self, section, image):
        write(self, section, image)
        if name in self._path.name:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(MrcWriter, "write", failing)


def test_full_disk_stops_the_batch_and_leaves_nothing_partial(tmp_path, raw, model, monkeypatch):
    with monkeypatch.context() as full:
        fail_writing(full, errno.ENOSPC, "b.mrc")
        results = run(raw, tmp_path / "out", model)
    assert statuses(results) == ["done", "failed", "failed"]
    assert "out/b.mrc: cannot be written (No space left on device)" in results["b.mrc"][1]
    assert "no space left" in results["c.mrc"][1]
    assert files(tmp_path / "out") == ["a.mrc"]
    assert statuses(run(raw, tmp_path / "out", model)) == ["skipped", "done", "done"]


def test_forbidden_output_is_named_and_the_others_done(tmp_path, raw, model, monkeypatch):
    fail_writing(monkeypatch, errno.EACCES, "b.mrc")
    results = run(raw, tmp_path / "out", model)
    assert statuses(results) == ["done", "failed", "done"]
    assert "out/b.mrc: cannot be written (Permission denied)" in results["b.mrc"][1]


def test_output_folder_that_cannot_be(tmp_path, raw, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used as folder"):
        run(raw, tmp_path / "file" / "out", model)
    with pytest.raises(SettingsError, match="file: a file; give a folder"):
        run(raw, tmp_path / "file", model)


def test_too_little_memory_is_named(tmp_path, raw, model, monkeypatch):
    def exhausted(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model.network, "forward", exhausted)
    results = run(raw / "a.mrc", tmp_path / "out", model)
    assert "not enough memory" in results["a.mrc"][1]


def test_a_bug_is_not_hidden_and_leaves_nothing_partial(tmp_path, raw, model, monkeypatch):
    def bug(self, section, image):
        raise ZeroDivisionError

    monkeypatch.setattr(MrcWriter, "write", bug)
    with pytest.raises(ZeroDivisionError):
        run(raw, tmp_path / "out", model)
    assert files(tmp_path / "out") == []


def test_interrupt_leaves_only_whole_outputs(tmp_path, raw, model):
    def interrupt(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(raw, tmp_path / "out", model, on_result=interrupt)
    left = files(tmp_path / "out")
    assert left[0] == "a.mrc"
    for name in left:  # the next ones were at work when it came
        expected = denoise(noise(seed="abc".index(name[0])), 2.0, model, **CPU)
        np.testing.assert_array_equal(pixels(tmp_path / "out" / name), expected)


def test_precision_stays_that_of_the_folder(tmp_path, raw, model, monkeypatch):
    """A batch that goes on uses what was decided at its start, not what the next file would say."""
    monkeypatch.setattr("nt2c.denoising.denoiser.has_fast_bf16", lambda device: True)
    monkeypatch.setattr("nt2c.denoising.denoiser.bf16_deviation", lambda *_: 0.0)
    run(raw / "a.mrc", tmp_path / "out", model, DenoiseSettings())
    monkeypatch.setattr("nt2c.denoising.denoiser.bf16_deviation", lambda *_: 1.0)
    found = find_inputs([raw])
    results = denoise_files(
        found, tmp_path / "out", model, options=BatchOptions(device="cpu")
    ).results
    assert [r.precision for r in results] == [None, "bf16", "bf16"]
    fresh = denoise_files(
        found, tmp_path / "fresh", model, options=BatchOptions(device="cpu")
    ).results
    assert [r.precision for r in fresh] == ["fp32"] * 3


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, model, monkeypatch):
    """Raw images alive while another is read: at most the one at work, however many files."""
    import weakref

    alive: list[weakref.ref] = []
    counts = []
    read = module.Micrograph.read

    def counted(self, section=0):
        counts.append(sum(ref() is not None for ref in alive))
        image = read(self, section)
        alive.append(weakref.ref(image))
        return image

    monkeypatch.setattr(module.Micrograph, "read", counted)
    sources = [micrograph(tmp_path / f"{i}.mrc", i) for i in range(12)]
    run(sources, tmp_path / "out", model)
    assert len(counts) == 12
    assert max(counts) <= 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_bound_below_a_single_image_still_lets_one_at_a_time_through(tmp_path, raw, model, count):
    """Bounded or not, alone or in a part: nothing waits for ever, and the results are equal."""
    write_mrc(raw / "s.mrcs", np.stack([noise(seed=s) for s in range(3)]), 2.0)
    (raw / "bad.mrc").write_bytes(b"")
    for index in range(1, count + 1):
        run(raw, tmp_path / "out", model, max_memory_gb=1e-6, shard=Shard(index, count))
    run(raw, tmp_path / "whole", model)
    assert files(tmp_path / "out") == files(tmp_path / "whole") != []
    for name in files(tmp_path / "out"):
        np.testing.assert_array_equal(
            pixels(tmp_path / "out" / name), pixels(tmp_path / "whole" / name)
        )


def test_kill_leaves_only_whole_outputs_and_the_rerun_does_the_rest(tmp_path, model_file):
    raw, out, model = tmp_path / "raw", tmp_path / "out", load_model(model_file)
    raw.mkdir()
    count = 40
    for i in range(count):
        micrograph(raw / f"{i:02d}.mrc", i, shape=(200, 220))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.batch.batch", raw, out, model_file],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 300
    while len(list(out.glob("*.mrc"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # A writer killed in the middle of a file, whether or not the signal came just then:
    host = files_module._host()
    (out / f".39.mrc.nt2c-{host}-{process.pid}-abcdef.partial").write_bytes(b"half")

    left = sorted(p.name for p in out.glob("*.mrc"))
    assert 2 <= len(left) < count
    run(raw, tmp_path / "undisturbed", model)
    whole = {p.name: pixels(p) for p in (tmp_path / "undisturbed").glob("*.mrc")}
    for name in left:
        np.testing.assert_array_equal(pixels(out / name), whole[name])

    results = run(raw, out, model)
    assert [name for name, (status, _) in results.items() if status == "skipped"] == left
    assert files(out) == sorted(whole)
    for name, expected in whole.items():
        np.testing.assert_array_equal(pixels(out / name), expected)
