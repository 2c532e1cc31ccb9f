"""Every recipe that comes with the repository is one that `nt2c train` takes."""

from pathlib import Path

import pytest

from nt2c.core.errors import SettingsError
from nt2c.io.recipes import read_settings
from nt2c.training.settings import Recipe

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.toml"))


def test_there_are_recipes():
    assert "general" in {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_parses_and_bears_its_file_name(path):
    assert read_settings(path, Recipe).name == path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_misspelled_key_is_refused_with_the_right_one(path, tmp_path):
    text = path.read_text()
    assert "steps = " in text
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace("\nsteps = ", "\nstepps = ", 1))
    with pytest.raises(SettingsError, match=r"did you mean 'optimizer\.steps'"):
        read_settings(wrong, Recipe)
