"""Keys of the stages of a fit: each setting of the recipe is in one, and keys are stable."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nt2c.core import revision
from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings
from nt2c.pipeline import fit
from nt2c.pipeline.job import FitJob
from nt2c.pipeline.settings import FitRecipe
from nt2c.pipeline.stages import Outcome

RECIPE = FitRecipe.parse({"name": "a", "first_steps": 2, "network": {"widths": [4], "blocks": [1]}})


@pytest.fixture(scope="module")
def coarse() -> DenoiserModel:
    with torch.no_grad():
        network = UNet(UNetSettings(widths=(4,), blocks=(1,)))
    return DenoiserModel(network, 4.0, {"name": "coarse"})


def keys(recipe: FitRecipe, coarse: DenoiserModel) -> list[str]:
    """Keys of the stages of both rounds."""
    made: list[str] = []
    job = FitJob((), Path("out"), recipe, coarse)
    for one in (replace(job, recipe=recipe.first_round()), job) if recipe.first_steps else (job,):
        windows = Outcome(fit._windows_stage(one).key, {}, 0.0, reused=False)
        contrast = Outcome(fit._contrast_stage(one, windows).key, {}, 0.0, reused=False)
        noise = Outcome(fit._noise_stage(one, windows).key, {}, 0.0, reused=False)
        made += [windows.key, contrast.key, noise.key]
        made.append(fit._training_stage(one, [windows, noise, contrast]).key)
    return made


def leaves(settings: Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def others(value: Any) -> Iterator[Any]:
    """Values to try in place of one."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield from ("other", "coloured", "least_squares")
    elif isinstance(value, int | float):
        yield from (value * 2, value / 2, value + 1, value * 4, value + 0.5)
    elif value is None:
        yield from (1.0, (1.0, 2.0), {"widths": [4, 4], "blocks": [1, 1]})
    elif isinstance(value, tuple):
        yield value[:-1]
        for index, old in enumerate(value):
            for new in others(old):
                yield (*value[:index], new, *value[index + 1 :])


def with_leaf(recipe: FitRecipe, path: tuple[str, ...], value: Any) -> FitRecipe:
    values = recipe.model_dump()
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return FitRecipe.parse(values)


@pytest.mark.parametrize("path", list(leaves(RECIPE)), ids=".".join)
def test_another_value_of_any_setting_is_another_key(
    path: tuple[str, ...], coarse: DenoiserModel
) -> None:
    old = RECIPE.model_dump()
    for name in path:
        old = old[name]
    for value in (new for new in others(old) if new != old):
        try:
            changed = with_leaf(RECIPE, path, value)
        except SettingsError:
            continue
        assert keys(changed, coarse) != keys(RECIPE, coarse), (path, value)
        return
    pytest.fail(f"no other value of {path} was found that a recipe takes")


@pytest.mark.parametrize("part", [part for part in revision.REVISIONS if part != "picking"])
def test_another_revision_of_any_part_is_another_key(
    part: str, coarse: DenoiserModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(RECIPE, coarse)
    monkeypatch.setitem(revision.REVISIONS, part, 99)
    after = keys(RECIPE, coarse)
    changed = [old != new for old, new in zip(before, after, strict=True)]
    first = {"denoising": 0, "windows": 0, "contrast": 1, "noise": 2, "training": 3}[part]
    assert changed.index(True) == first
    assert changed[3]  # the training depends on all
