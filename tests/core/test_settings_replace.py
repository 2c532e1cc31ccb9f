"""Settings are changed in one way, which checks them as a recipe is checked."""

import ast
from pathlib import Path

import pytest
from pydantic import Field

import nt2c
from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class Inner(Settings):
    length_a: float = Field(1.0, gt=0)
    width_a: float = 2.0


class Outer(Settings):
    name: str
    inner: Inner = Inner()


def test_what_is_changed_is_checked():
    assert Inner().replace(length_a=3.0) == Inner(length_a=3.0)
    with pytest.raises(SettingsError, match=r"list\.star: 'length_a' = -5.0 cannot be used"):
        Inner().replace(where="list.star", length_a=-5.0)
    with pytest.raises(SettingsError, match="did you mean 'length_a'"):
        Inner().replace(lenght_a=3.0)
    with pytest.raises(SettingsError, match="finite"):
        Inner().replace(width_a=float("nan"))


def test_the_rest_stays_and_what_was_not_set_is_still_not_set():
    outer = Outer(name="a", inner=Inner(width_a=5.0)).replace(name="b")
    assert outer == Outer(name="b", inner=Inner(width_a=5.0))
    assert outer.inner.model_fields_set == {"width_a"}
    assert Outer(name="a").replace(name="b").model_fields_set == {"name"}


def test_nothing_copies_settings_without_a_check():
    for folder in (Path(nt2c.__file__).parent, ROOT / "benchmarks", ROOT / "tests"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = node.attr if isinstance(node, ast.Attribute) else None
                assert name not in ("model_copy", "model_construct"), f"{path}:{node.lineno}"
