"""What is killed leaves whole files or none, and the rerun does the rest; see `kills`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kill(folder, *options):
    """Run the killer in a process of its own: it forks, and must not have computed anything."""
    words = [sys.executable, "-m", "tests.robustness.kills", "--work", str(folder), *options]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_killed_commands_leave_nothing_half_written(tmp_path):
    kill(tmp_path, "--kills", "4", "--seed", "1", "--scenarios", "denoise,sum-frames")


@pytest.mark.slow
def test_a_thousand_kills(tmp_path):
    kill(tmp_path / "all", "--kills", "970", "--seed", "1")
    kill(tmp_path / "long", "--kills", "30", "--seed", "1", "--scenarios", "train,fit")
