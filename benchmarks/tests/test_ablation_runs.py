"""Variants of the ablation differ in their noise alone, and what is recorded is not done again."""

import pytest
import torch
from benchmarks.ablation.chain import whole_fields
from benchmarks.ablation.run import Task
from benchmarks.ablation.variants import VARIANTS, Budget, Variant, recipe_of

from nt2c.core.random import stream
from nt2c.imaging.fourier import gaussian_lowpass, radial_power

BUDGET = Budget(steps=40, noise_steps=16)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "coarse"])
def test_every_variant_has_the_same_budget(variant: Variant) -> None:
    recipe = recipe_of(variant, BUDGET, seed=3)
    assert (recipe.seed, recipe.optimizer.steps) == (3, 40)
    assert recipe.synthesizer.optimizer.steps == 16
    pixels = recipe.pairs.batch * recipe.pairs.crop_px**2
    assert pixels == 8 * 192**2


def test_transferring_variants_differ_in_nothing_but_the_noise() -> None:
    variants: tuple[Variant, ...] = ("white", "coloured", "bootstrap", "wgan", "oracle")
    recipes = [recipe_of(v, BUDGET, 0) for v in variants]
    rest = {r.replace(name="", noise="white").model_dump_json() for r in recipes}
    assert len(rest) == 1
    assert [r.noise for r in recipes] == ["white", "coloured", "bootstrap", "wgan", "bootstrap"]


def test_recorrupted_variant_adds_the_micrographs_and_nothing_else() -> None:
    plain, more = recipe_of("wgan", BUDGET, 0), recipe_of("recorrupted", BUDGET, 0)
    assert plain.recorrupted.weight == 0 < more.recorrupted.weight
    same = {"name": plain.name, "recorrupted": plain.recorrupted}
    assert more.replace(**same) == plain


def test_paper_may_have_more_steps() -> None:
    longer = Budget(steps=40, noise_steps=16, paper_factor=3)
    assert recipe_of("paper", longer, 0).optimizer.steps == 120
    assert recipe_of("wgan", longer, 0).optimizer.steps == 40


def test_what_is_recorded_is_not_done_again() -> None:
    task = Task("ice", "wgan", 1, "abc")
    record = {"set": "ice", "variant": "wgan", "seed": 1, "key": "abc"}
    assert task.is_in([record], retry=True)
    assert not task.is_in([record | {"seed": 0}, record | {"key": "other"}], retry=False)
    failed = record | {"error": "too few windows"}
    assert task.is_in([failed], retry=False)
    assert not task.is_in([failed], retry=True)


def test_whole_fields_keep_variance_and_spectrum() -> None:
    fields = 5 + 3 * gaussian_lowpass(torch.randn(12, 96, 96, generator=stream(0, "fields")), 1.0)
    drawn = whole_fields(fields).sample((60, 64, 64), stream(0, "draws"))
    assert drawn.shape == (60, 64, 64)
    assert float(drawn.var()) == pytest.approx(1, abs=0.05)
    _, power = radial_power(drawn, 1.0, 8)
    _, wanted = radial_power(fields / fields.std(), 1.0, 8)
    # What is blended at the borders loses some of its correlation.
    torch.testing.assert_close(power.mean(0)[:4], wanted.mean(0)[:4], rtol=0.1, atol=0)
