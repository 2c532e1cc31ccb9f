"""The package as a whole: what imports, what it needs, and that documents name real paths."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nt2c

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(info.name for info in pkgutil.walk_packages(nt2c.__path__, prefix="nt2c."))

# What a machine that only trains may lack.
ABSENT_FOR_TRAINING = ("gemmi", "mrcfile", "tifffile", "imagecodecs", "matplotlib", "typer", "rich")
NEEDED_FOR_TRAINING = ("nt2c.training", "nt2c.simulation", "nt2c.models", "nt2c.imaging")
NEEDED_FOR_TRAINING_IO = ("nt2c.io.weights", "nt2c.io.records", "nt2c.io.recipes")


@pytest.mark.parametrize("name", MODULES)
def test_imports(name):
    importlib.import_module(name)


def test_training_imports_on_a_bare_machine():
    names = [name for name in MODULES if name.startswith(NEEDED_FOR_TRAINING)]
    names += [name for name in MODULES if name in NEEDED_FOR_TRAINING_IO]
    assert len(names) > 10
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({ABSENT_FOR_TRAINING!r}))\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_version_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert f"version: {nt2c.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {nt2c.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_pins_cover_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    missing = [need for need in wanted if re.split(r"[<>=!~\[]", need)[0].lower() not in pins]
    assert missing == []
    assert not pins & {"torchvision", "torchaudio"}


def _named_paths():
    """Yield (document, path) for each path in backticks or a relative link of a document."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in sorted(documents):
        text = document.read_text()
        folders = r"(?:src|docs|tests|recipes|benchmarks|scripts|\.ci)/"
        for path in re.findall(rf"`({folders}[\w./-]+)`", text):
            yield document.relative_to(ROOT), ROOT / path
        for path in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
            yield document.relative_to(ROOT), document.parent / path


def test_paths_named_in_documents_exist():
    named = list(_named_paths())
    assert named
    missing = [f"{document}: {path}" for document, path in named if not path.exists()]
    assert missing == []
