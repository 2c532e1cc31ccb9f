"""Training by several processes is that of one with the same batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nt2c.core.errors import SettingsError
from nt2c.io.records import read_records
from nt2c.training.loop import LOG
from nt2c.training.processes import ALONE, Team, join
from tests.training import two_processes

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_losses_are_those_of_one_process(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    subprocess.run(
        [*TORCHRUN, "-m", "tests.training.two_processes", str(together)],
        cwd=ROOT,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    two_processes.train_both(alone)
    for kind in ("denoiser", "synthesizer"):
        logs = [read_records(folder / kind / LOG) for folder in (together, alone)]
        assert [record["step"] for record in logs[0]] == list(range(1, 21))
        for ours, expected in zip(*logs, strict=True):
            del ours["steps_per_s"], expected["steps_per_s"]
            assert ours == pytest.approx(expected, rel=1e-4), (kind, expected["step"])


def test_shares_make_up_the_batch() -> None:
    batch = torch.arange(12).reshape(6, 2)
    parts = [Team(rank, 3).share(batch) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat(parts), batch)
    assert torch.equal(ALONE.share(batch), batch)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"pairs\.batch: a batch of 4 .* 3 processes"):
        Team(0, 3).check_batch("pairs.batch", 4)


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join("cpu") == ALONE
    assert not torch.distributed.is_initialized()
