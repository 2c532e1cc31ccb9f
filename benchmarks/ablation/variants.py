"""The compared ways of making a denoiser, as recipes of equal budget."""

from typing import Any, Literal

from pydantic import Field

from nt2c.core.settings import Settings
from nt2c.pipeline.settings import FitRecipe, read_fit_recipe

Variant = Literal[
    "coarse",
    "simulated",
    "white",
    "coloured",
    "again",
    "bootstrap",
    "wgan",
    "recorrupted",
    "oracle",
    "paper",
]
VARIANTS: dict[Variant, str] = {
    "coarse": "the bundled model as it is",
    "simulated": "trained on with the simulator's own noise and contrast",
    "white": "transfer with white noise",
    "coloured": "transfer with a Gaussian field of the windows' spectrum",
    "again": "`coloured` once more from there, with windows that its model finds; twice the steps",
    "bootstrap": "transfer with the windows themselves",
    "wgan": "transfer with noise of the WGAN-GP",
    "recorrupted": "`wgan`, trained on recorrupted crops of the micrographs too",
    "oracle": "transfer with the true noise, drawn anew",
    "paper": "the published stages and hyper-parameters, from random weights",
}


class Budget(Settings):
    """What every variant may spend; the same for all that are trained.

    The paper's variant starts from random weights, and not from what the bundled model has learned
    in thousands of steps: `paper_factor` times the steps of both trainings are its share.
    """

    recipe: str = Field("quick", description="of all variants but the paper's")
    steps: int = Field(300, ge=1, description="of the final denoiser's training")
    noise_steps: int | None = Field(None, ge=1, description="of the WGAN; None: the recipe's")
    paper_factor: int = Field(1, ge=1)
    pool: int = Field(24, ge=1, description="fields kept, from which crops are drawn")


_NOISE = {
    "oracle": "bootstrap",
    "simulated": "white",
    "paper": "wgan",
    "again": "coloured",
    "recorrupted": "wgan",
}


def recipe_of(variant: Variant, budget: Budget, seed: int) -> FitRecipe:
    """Recipe of a variant: those that transfer noise differ in nothing but the noise."""
    own = read_fit_recipe(budget.recipe)
    recipe = read_fit_recipe("paper") if variant == "paper" else own
    factor = budget.paper_factor if variant == "paper" else 1
    values = recipe.model_dump()
    values |= {"name": f"ablation {variant}", "seed": seed}
    values["first_steps"] = 0  # `again` is what a first round is worth
    values["noise"] = _NOISE.get(variant, variant)
    noise_steps = budget.noise_steps or own.synthesizer.optimizer.steps
    _limit(values["optimizer"], factor * budget.steps, validations=1)
    _limit(values["synthesizer"]["optimizer"], factor * noise_steps, validations=8)
    # A short training starts sooner with fewer fields to draw crops from.
    values["pairs"]["pool"] = min(values["pairs"]["pool"], budget.pool)
    values["pairs"]["validation_fields"] = min(values["pairs"]["validation_fields"], 4)
    if values["recorrupted"]["weight"]:  # a fit without its micrographs has as many crops in a step
        values["pairs"]["batch"] += values["recorrupted"]["batch"]
    if variant != "recorrupted":
        values["recorrupted"]["weight"] = 0.0
    if variant == "simulated":
        values["transfer"]["simulated_share"] = 1.0
    return FitRecipe.parse(values, where=f"ablation {variant}")


def _limit(optimizer: dict[str, Any], steps: int, *, validations: int) -> None:
    """Set the number of steps, with a warm-up of at most a tenth, and of validations."""
    optimizer["steps"] = steps
    optimizer["warmup_steps"] = min(optimizer["warmup_steps"], steps // 10)
    optimizer["validate_every"] = max(1, steps // validations)
