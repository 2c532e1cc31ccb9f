"""The wheel holds the package, all of it, and nothing else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 10e6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    [path] = folder.glob("*.whl")
    assert path.stat().st_size < MOST_BYTES
    with zipfile.ZipFile(path) as file:
        yield file


def test_files(wheel):
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "src/nt2c", "recipes"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    expected = {
        name.removeprefix("src/") if name.startswith("src/") else f"nt2c/{name}" for name in tracked
    }
    assert found == expected
    assert {
        "nt2c/py.typed",
        "nt2c/weights/general.safetensors",
        "nt2c/napari/napari.yaml",
        "nt2c/report/templates/page.html",
        "nt2c/recipes/general.toml",
    } <= found


def test_metadata(wheel):
    info = {name.rsplit("/")[-1]: name for name in wheel.namelist() if ".dist-info/" in name}
    said = wheel.read(info["METADATA"]).decode()
    for line in ("Name: nt2c", "License-Expression: BSD-3-Clause", "Requires-Python: >=3.11"):
        assert f"\n{line}\n" in said
    assert "# nt2c" in said
    assert not re.search(
        r"^Requires-Dist: (torchvision|napari|distributed)(?!.*extra ==)", said, re.M
    )
    points = wheel.read(info["entry_points.txt"]).decode()
    assert "nt2c = nt2c.cli.app:main" in points
    assert "[napari.manifest]\nnt2c = nt2c.napari:napari.yaml" in points
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
