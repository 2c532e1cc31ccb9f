"""`nt2c fit` in two processes: the model is that of one, and the first process alone writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nt2c.io.weights import read_weights
from tests import fitting
from tests.test_fit import TINY, make_micrographs

ROOT = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_fit_as_one_does(tmp_path: Path) -> None:
    raw, recipe = make_micrographs(tmp_path / "raw"), tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    alone, together = tmp_path / "alone", tmp_path / "together"
    subprocess.run(
        [*TORCHRUN, "-m", "tests.fitting", raw, together, recipe],
        cwd=ROOT,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert fitting.fit(raw, alone, recipe) == 0
    files = [sorted(p.relative_to(f) for p in f.rglob("*")) for f in (alone, together)]
    assert files[0] == files[1]
    for name in ("model.safetensors", "noise/sampler.safetensors"):
        expected, ours = (read_weights(folder / name)[0] for folder in (alone, together))
        assert expected.keys() == ours.keys()
        for key, tensor in expected.items():
            # A weight near 0 differs by the rounding of sums that are not near 0.
            scale = float(tensor.abs().max())
            torch.testing.assert_close(ours[key], tensor, rtol=0, atol=1e-4 * scale)
    written = [(tmp_path / f"written_{rank}").read_text() for rank in (0, 1)]
    assert "model.safetensors" in written[0]
    assert written[1] == ""
