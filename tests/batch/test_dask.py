"""A batch on workers of dask: what the runner does, joined as nt2c merge joins it."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nt2c.batch.dask import denoise_on_dask
from nt2c.batch.run import denoise_files
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from tests.batch.make import micrograph, pixels, random_model

distributed = pytest.importorskip("distributed", reason="needs the extra: pip install nt2c[dask]")

pytestmark = pytest.mark.filterwarnings("default")  # of dask's own making
FP32 = DenoiseSettings(precision="fp32")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    for number in range(6):
        micrograph(tmp_path / "raw" / f"{number}.mrc", seed=number)
    (tmp_path / "raw" / "bad.mrc").write_bytes(b"nonsense")
    return find_inputs(["raw"])


@pytest.fixture
def client() -> Iterator[Any]:
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


def test_equals_a_run_without_dask(raw: list[Any], client: Any) -> None:
    told: Counter[str] = Counter()
    merged = denoise_on_dask(
        client, raw, "out", random_model(), FP32, BatchOptions(device="cpu"), parts=3,
        on_result=lambda result: told.update([result.status]),
    )  # fmt: skip
    assert told == {"done": 6, "failed": 1}
    assert not merged.problems
    (failed,) = merged.with_status("failed")
    assert failed.input.name == "bad.mrc"
    denoise_files(raw, "alone", random_model(), FP32, BatchOptions(device="cpu"))
    for number in range(6):
        name = f"{number}.mrc"
        assert np.array_equal(pixels(f"out/{name}"), pixels(f"alone/{name}"))


def test_a_second_run_skips_what_is_done(raw: list[Any], client: Any) -> None:
    for expected in ("done", "skipped"):
        merged = denoise_on_dask(
            client, raw, "out", random_model(), FP32, BatchOptions(device="cpu"), parts=2
        )  # fmt: skip
        assert len(merged.with_status(expected)) == 6


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(raw: list[Any]) -> None:
    killed: list[int] = []

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill_one(result: Any) -> None:
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        merged = denoise_on_dask(
            client,
            raw,
            "out",
            random_model(),
            FP32,
            BatchOptions(device="cpu"),
            parts=7,
            on_result=kill_one,
        )
    assert killed
    assert not merged.problems
    assert len(merged.results) == 7
    assert len(merged.with_status("failed")) == 1
