"""Shards: each input in one part, whatever else is there; together they are the whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nt2c.batch.merge import merge_summaries
from nt2c.batch.run import denoise_files
from nt2c.cli import app
from nt2c.core.errors import InputError
from nt2c.denoising.denoiser import load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings, Shard
from nt2c.io.inputs import MicrographInput, find_inputs
from nt2c.io.star import read_micrographs_star
from tests.batch.make import files, micrograph, pixels

FP32 = DenoiseSettings(precision="fp32")
ROOT = Path(__file__).parents[2]


def inputs(count):
    return [MicrographInput(Path(f"{i}.mrc"), f"{i}.mrc") for i in range(count)]


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed in range(6):
        micrograph(folder / f"{seed}.mrc", seed)
    return folder


def do_part(raw, out, model, index, count, **options):
    found = find_inputs([raw])
    batch = BatchOptions(device="cpu", shard=Shard(index, count), **options)
    return denoise_files(found, out, model, FP32, batch)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_wrong_shards(text):
    with pytest.raises(ValueError, match="give i/n"):
        Shard.parse(text)


def test_each_input_is_in_one_part_and_stays_there():
    parts = [Shard.parse(f"{i}/3") for i in (1, 2, 3)]
    few, many = inputs(20), inputs(3000)
    assert all(sum(part.has(item) for part in parts) == 1 for item in many)
    where = {item.output_name: [part.has(item) for part in parts] for item in few}
    assert all(where[i.output_name] == [p.has(i) for p in parts] for i in many[:20])
    sizes = [sum(part.has(item) for item in many) for part in parts]
    assert all(abs(size - 1000) < 4 * (3000 * 1 / 3 * 2 / 3) ** 0.5 for size in sizes)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 11])
@pytest.mark.parametrize("step", [1, 2, 4, 10])
def test_numbered_names_are_dealt_out_in_turn(count, step):
    """Numbers in a row evenly, and others never worse than chance."""
    names = [f"a/mic_{number:04d}_DW.mrc" for number in range(3, 3 + 600 * step, step)]
    parts = [Shard(index, count) for index in range(1, count + 1)]

    def sizes(some):
        found = [MicrographInput(Path(name), name) for name in some]
        return [sum(part.has(item) for item in found) for part in parts]

    spread = 4 * (600 / count) ** 0.5
    assert all(abs(size - 600 / count) < spread for size in sizes(names))
    if step == 1:
        assert max(sizes(names[:10])) - min(sizes(names[:10])) <= 2
        assert max(sizes(names)) - min(sizes(names)) <= 2


def test_parts_and_merge_equal_the_whole(tmp_path, raw, model, capsys):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no summary"):
        merge_summaries(tmp_path)
    do_part(raw, out, model, 1, 2)
    half = merge_summaries(out)
    assert any("summary.shard-2-of-2.json: is not there" in text for text in half.problems)
    assert len(half.results) + half.unseen == 6
    assert half.unseen
    assert app.main(["merge", str(out)]) == 1
    assert f"{len(half.results)} done, 0 failed, {half.unseen} left" in capsys.readouterr().out
    (raw / "bad.mrc").write_bytes(b"")
    do_part(raw, out, model, 2, 2)
    do_part(raw, out, model, 1, 2)
    merged = merge_summaries(out)
    assert merged.problems == ()
    assert [r.input.name for r in merged.results if r.status != "failed"] == [
        f"{i}.mrc" for i in range(6)
    ]
    assert [r.input.name for r in merged.with_status("failed")] == ["bad.mrc"]
    denoise_files(find_inputs([raw]), tmp_path / "whole", model, FP32, BatchOptions(device="cpu"))
    assert files(out) == files(tmp_path / "whole")
    for name in files(out):
        np.testing.assert_array_equal(pixels(out / name), pixels(tmp_path / "whole" / name))


def test_merge_names_what_is_missing_or_was_killed(tmp_path, raw, model, capsys):
    out = tmp_path / "out"
    for index in (1, 2):
        do_part(raw, out, model, index, 2)
    assert app.main(["merge", str(out)]) == 0
    assert "6 done, 0 failed, 0 left" in capsys.readouterr().out
    (out / "3.mrc").unlink()
    (out / "4.mrc").write_bytes((out / "4.mrc").read_bytes()[:2000])
    assert app.main(["merge", str(out)]) == 1
    shown = capsys.readouterr()
    assert "4 done, 2 failed, 0 left" in shown.out
    assert f"failed: {out / '3.mrc'}: the output is missing or not whole" in shown.err
    assert f"failed: {out / '4.mrc'}: the output is missing or not whole" in shown.err
    record = json.loads((out / "summary.shard-1-of-2.json").read_text())
    (out / "summary.shard-1-of-2.json").write_text(json.dumps({**record, "finished": False}))
    assert app.main(["merge", str(out)]) == 1
    assert "was killed, or has not come to its end yet" in capsys.readouterr().err


@pytest.mark.parametrize("output_pixel_size_a", [None, 4.0])
def test_merge_lists_the_results_as_the_star_file_lists_the_inputs(
    tmp_path, raw, model, output_pixel_size_a
):
    star, out = tmp_path / "in.star", tmp_path / "denoised"
    rows = "".join(f"raw/{i}.mrc {1 + i % 2} 'a b' {i}.5\n" for i in range(3))
    star.write_text(
        "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n_rlnMicrographPixelSize #3\n"
        "1 300 2.0\n2 200 2.0\n\ndata_micrographs\nloop_\n_rlnMicrographName #1\n"
        f"_rlnOpticsGroup #2\n_rlnSomething #3\n_rlnDefocusU #4\n{rows}raw/bad.mrc 1 x 1\n"
    )
    settings = DenoiseSettings(precision="fp32", output_pixel_size_a=output_pixel_size_a)
    for index in (1, 2):
        denoise_files(
            find_inputs([star]), out, model, settings,
            BatchOptions(device="cpu", shard=Shard(index, 2), stars=(star,)),
        )  # fmt: skip
    merged = merge_summaries(out)
    assert merged.star == out / "micrographs.star"
    listed = read_micrographs_star(merged.star)
    assert [one.name for one in listed] == [f"denoised/raw/{i}.mrc" for i in range(3)]
    assert [one.pixel_size_a for one in listed] == [output_pixel_size_a or 2.0] * 3
    text = merged.star.read_text()
    assert "2 200 " in text  # the optics groups
    assert "denoised/raw/1.mrc 2 'a b' 1.5" in text
    assert find_inputs([merged.star])[0].path == out / "raw" / "0.mrc"


def test_merge_does_not_write_over_the_list_of_the_raw_micrographs(tmp_path, raw, model):
    star = raw / "micrographs.star"
    star.write_text("data_\nloop_\n_rlnMicrographName #1\n0.mrc\n")
    before = star.read_bytes()
    found = find_inputs([star])
    denoise_files(
        [replace(item, output_name=f"d/{item.output_name}") for item in found], raw, model, FP32,
        BatchOptions(device="cpu", shard=Shard(1, 1), stars=(star,)),
    )  # fmt: skip
    merged = merge_summaries(raw)
    assert merged.star is None
    assert "micrographs.star: is the list of the raw micrographs" in merged.problems[0]
    assert star.read_bytes() == before


def test_all_parts_compute_in_one_precision(tmp_path, raw, model, monkeypatch):
    """Whichever part comes first: the first of all inputs decides, not the first of the part."""
    monkeypatch.setattr("nt2c.denoising.denoiser.has_fast_bf16", lambda device: True)
    deviations = iter([0.0, 1.0, 1.0, 1.0])
    seen = []

    def deviation(network, image):
        seen.append(image.clone())
        return next(deviations)

    monkeypatch.setattr("nt2c.denoising.denoiser.bf16_deviation", deviation)
    found = find_inputs([raw])
    for index in (2, 1):
        batch = BatchOptions(device="cpu", shard=Shard(index, 2))
        denoise_files(found, tmp_path / f"{index}", model, options=batch)
    assert len(seen) == 2
    assert (seen[0] == seen[1]).all()
    batch = BatchOptions(device="cpu", shard=Shard(2, 2))
    again = denoise_files(found, tmp_path / "1", model, options=batch)
    assert {r.precision for r in again.results} == {"fp32"}  # as that folder's first output says
    assert len(seen) == 2 + (not Shard(1, 2).has(found[0]))


def start(raw, out, model_file, index):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.batch.batch", raw, out, model_file, f"{index}/2"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_parts_killed_twenty_times(tmp_path, model_file):
    """Every output is present, whole, and equal to that of an undisturbed run."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for seed in range(200):
        micrograph(raw / f"{seed}.mrc", seed, shape=(300, 320))
    chance = random.Random(0)
    kills = 0
    while kills < 20:
        parts = [start(raw, out, model_file, index) for index in (1, 2)]
        before = len(list(out.glob("*.mrc")))
        while len(list(out.glob("*.mrc"))) == before and any(p.poll() is None for p in parts):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.15))
        for part in parts:
            if part.poll() is None:
                kills += 1
                part.send_signal(signal.SIGKILL)
            part.wait()
        if all(part.returncode == 0 for part in parts):
            (next(out.glob("*.mrc"))).unlink()
    for index in (1, 2):
        assert start(raw, out, model_file, index).wait() == 0
    merged = merge_summaries(out)
    assert merged.problems == ()
    assert len(merged.results) == 200 == len(files(out))
    model = load_model(model_file)
    denoise_files(find_inputs([raw]), tmp_path / "whole", model, FP32, BatchOptions(device="cpu"))
    assert files(out) == files(tmp_path / "whole")
    for name in files(out):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
