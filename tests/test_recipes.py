"""Every recipe that comes with the repository is one that `nt2c train` or `nt2c fit` takes."""

from pathlib import Path

import pytest

from nt2c.core.errors import SettingsError
from nt2c.io.recipes import read_settings, recipe_folder
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


def test_a_recipe_with_a_base_says_only_what_differs(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('base = "quick"\nname = "own"\n[optimizer]\nsteps = 7\n')
    quick = read_settings(recipe_folder() / "quick.toml", FitRecipe)
    read = read_settings(own, FitRecipe)
    assert read == quick.replace(name="own", optimizer=quick.optimizer.replace(steps=7))
    other = tmp_path / "other.toml"
    other.write_text('base = "own.toml"\n[transfer]\nband_a = [9.0, 90.0]\n')
    read = read_settings(other, FitRecipe)
    assert (read.name, read.optimizer.steps, read.transfer.band_a) == ("own", 7, (9.0, 90.0))
    assert read.transfer.clean_fields == quick.transfer.clean_fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('base = "quik"', "neither a recipe that comes with nt2c nor a file beside it"),
        ("base = 3", "give the name of a recipe"),
        ('base = "own.toml"', "is its own base"),
        ('base = "quick"\nnoises = "wgan"', "did you mean 'noise'"),
        ('base = "quick"\noptimizer = 3', "'optimizer' = 3 cannot be used"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused(tmp_path, text, said):
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_settings(own, FitRecipe)
