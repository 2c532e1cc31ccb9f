"""Each benchmark and script is of one piece with the package: what it names is there."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for folder in ("benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.parts and path.name != "__init__.py"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports(path: Path) -> None:
    specification = importlib.util.spec_from_file_location("looked_at", path)
    assert specification is not None
    assert specification.loader is not None
    specification.loader.exec_module(importlib.util.module_from_spec(specification))
