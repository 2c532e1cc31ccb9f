"""The speed benchmark runs what it says, as often as it says, and splits the time in stages."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.speed.runs import SIZES, Program, Size, measure, run, write_noise
from benchmarks.speed.stages import STAGES, stages


def test_a_round_is_a_warm_up_a_tiny_file_one_file_and_all_files(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "program"
    script.write_text(f'#!/bin/sh\necho "$OMP_NUM_THREADS $*" >> {log}\n')
    script.chmod(0o755)
    files = [tmp_path / f"{i}.mrc" for i in range(3)]
    timing = measure(Program("some", (str(script), "denoise"), 3), files, tmp_path / "tiny.mrc", 2)
    out = f"2 denoise -o {tmp_path / 'some'}"
    tiny, given = f"{out} {tmp_path / 'tiny.mrc'}", [str(file) for file in files]
    assert log.read_text().splitlines() == [
        tiny, tiny, f"{out} {given[0]}", f"{out} {' '.join(given)}"
    ]  # fmt: skip
    assert timing.startup_s > 0
    assert timing.whole_s > 0
    assert 0 < timing.peak_gb < 1


def test_the_memory_of_the_benchmark_is_not_that_of_the_program() -> None:
    held = np.ones(50_000_000)  # 0.4 GB
    _, peak_gb = run(["true"], 1)
    assert peak_gb < 0.1 < held.nbytes / 1e9


def test_a_program_that_fails_stops_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="failed: false"):
        run(["false"], 1)


def test_the_stages_are_those_of_a_micrograph(tmp_path: Path) -> None:
    seconds = stages(Size("small", (128, 160), 2.0, 1), "general", rounds=1)
    assert tuple(seconds) == STAGES
    assert all(value >= 0 for value in seconds.values())


def test_micrographs_have_the_shapes_of_the_cameras(tmp_path: Path) -> None:
    assert SIZES["K3"].shape == (4092, 5760)
    assert SIZES["K3-super"].shape == (8184, 11520)
    write_noise(tmp_path / "a.mrc", (6, 4), 1.0, 0)
    assert (tmp_path / "a.mrc").stat().st_size == 1024 + 6 * 4 * 4
