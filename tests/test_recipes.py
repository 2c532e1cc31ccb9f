"""Every recipe that comes with the repository is one that `nt2c train` or `nt2c fit` takes."""

from pathlib import Path

import pytest

from nt2c.core.errors import SettingsError
from nt2c.io.recipes import read_settings
from nt2c.pipeline.settings import FIT_RECIPES, FitRecipe
from nt2c.training.settings import Recipe

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.toml"))


def kind(path):
    return FitRecipe if path.stem in FIT_RECIPES else Recipe


def test_there_are_recipes():
    assert {path.stem for path in RECIPES} == {"general", *FIT_RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_parses_and_bears_its_file_name(path):
    assert read_settings(path, kind(path)).name == path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_misspelled_key_is_refused_with_the_right_one(path, tmp_path):
    text = path.read_text()
    assert "steps = " in text
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace("\nsteps = ", "\nstepps = "))
    with pytest.raises(SettingsError, match=r"did you mean 'optimizer\.steps'"):
        read_settings(wrong, kind(path))
