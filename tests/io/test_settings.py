import pytest
from pydantic import Field, ValidationError, model_validator

from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings
from nt2c.io.recipes import read_settings


class Optimiser(Settings):
    learning_rate: float = Field(1e-3, gt=0)
    steps: int = 10


class Recipe(Settings):
    optimiser: Optimiser = Optimiser()
    seed: int
    patch_px: int = 64

    @model_validator(mode="after")
    def _check(self):
        if self.patch_px % 4:
            raise ValueError("patch_px must be a multiple of 4")
        return self


def _read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_settings(path, Recipe)


def test_values_and_defaults(tmp_path):
    recipe = _read(tmp_path, "seed = 3\n[optimiser]\nsteps = 7\n")
    assert recipe == Recipe(seed=3, optimiser=Optimiser(steps=7))
    assert recipe.optimiser.learning_rate == 1e-3


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe(seed=1).seed = 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = 1\nsed = 1", ["unknown key 'sed'", "did you mean 'seed'?"]),
        (
            "seed = 1\n[optimiser]\nlearnin_rate = 1",
            ["unknown key 'optimiser.learnin_rate'", "did you mean 'optimiser.learning_rate'?"],
        ),
        ("seed = 1\nsteps = 2", ["unknown key 'steps'", "did you mean 'optimiser.steps'?"]),
        ("seed = 1\nzzz = 2", ["unknown key 'zzz'", "known here: optimiser, seed, patch_px"]),
        ("patch_px = 8", ["'seed' is missing"]),
        ("seed = 'x'", ["'seed' = 'x' cannot be used", "integer"]),
        ("seed = 1\n[optimiser]\nlearning_rate = -1", ["'optimiser.learning_rate' = -1"]),
        ("seed = 1\npatch_px = 6", ["patch_px must be a multiple of 4"]),
        ("seed = ", ["not a TOML file"]),
        ("sed = 1\nzzz = 2", ["'sed'", "'zzz'", "'seed' is missing"]),
    ],
)
def test_a_mistake_is_named_with_file_key_and_remedy(tmp_path, text, words):
    with pytest.raises(SettingsError) as caught:
        _read(tmp_path, text)
    message = str(caught.value)
    for word in [*words, "recipe.toml"]:
        assert word in message


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"absent\.toml: no such file"):
        read_settings(tmp_path / "absent.toml", Recipe)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 900 + "]" * 900,
        "a = " + "[\n" * 5000 + "]\n" * 5000,
        "a = " + "{a=" * 5000 + "1" + "}" * 5000,
        ".".join("a" * 20_000) + " = 1",
        "seed = " + "9" * 100_000,
        "".join(f"k{i} = 1\n" for i in range(5_000)),
        "".join(f"k{i} = 1\n" for i in range(100_000)),
        "name = 'µ'".encode("latin-1"),
        "name = 'a\0b'",
    ],
    ids=range(9),
)
def test_hostile_recipes_are_refused_by_name_and_in_few_words(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=r"recipe\.toml") as caught:
        read_settings(path, Recipe)
    assert len(str(caught.value)) < 5000


def test_of_many_mistakes_some_are_told():
    with pytest.raises(SettingsError, match=r"\d+ more of the kind") as caught:
        Recipe.parse({f"k{i}": 1 for i in range(499)})
    assert len(str(caught.value).splitlines()) == 21
