"""What every record says of its making: versions, commit, date and machine."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from nt2c.core.version import __version__

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
OUTPUTS = ROOT / "benchmarks" / "outputs"
RESULTS = ROOT / "benchmarks" / "results"
GENERATED = ("benchmarks/results", "docs", "README.md")


def about(threads: int) -> dict[str, Any]:
    return {
        "version": __version__,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": threads},
    }


@cache
def commit() -> str | None:
    """The commit of the code, with -dirty if code differs from it; records do not count.

    Asked once, when the first set is done: near enough to what this process has loaded.
    """
    name = git("describe", "--always", "--exclude=*")
    changed = git("status", "--porcelain", "--", ".", *(f":!{path}" for path in GENERATED))
    return f"{name}-dirty" if name and changed else name or None


def git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def cpu_model() -> str:
    """Name of the processor as Linux tells it, or else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
