"""A training or fit within a given wall time: how many steps a training has.

They are decided once, from the measured time of a step, and kept: one that goes on has the same.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

from nt2c.io.records import read_json, write_json
from nt2c.models.denoiser import DenoiserModel
from nt2c.training.denoiser import Material, Pace, measure_pace
from nt2c.training.processes import ALONE, Team, join
from nt2c.training.settings import Recipe

STEPS = "steps.json"
LEAST_STEPS = 20


def steps_within(
    seconds: float,
    pace: Pace,
    *,
    fields: int,
    judged_px: int,
    validated_px: int,
    validate_every: int,
) -> int:
    """Steps that fit into a time, with their validations and what follows the training.

    Parameters
    ----------
    seconds : float
        Left for all of it.
    pace : Pace
        Measured times.
    fields : int
        Fields simulated to validate, to judge and to show.
    judged_px : int
        Pixels that the network sees after the training.
    validated_px : int
        Pixels that it sees in each validation, of which one comes at the end.
    validate_every : int
        Steps from one to the next.
    """
    validation_s = validated_px * pace.pixel_s
    left = seconds - fields * pace.field_s - judged_px * pace.pixel_s - validation_s
    return max(LEAST_STEPS, int(left / (pace.step_s + validation_s / validate_every)))


def decided_steps(folder: Path, decide: Callable[[], int], team: Team = ALONE) -> int:
    """Steps that were decided for the training in `folder`, or else are now.

    All processes that train together decide, as they measure together; the first one's count.
    """
    path = folder / STEPS
    if not team.lead(path.exists):
        steps = decide()
        team.lead(lambda: write_json(path, {"steps": steps}))
    return team.lead(lambda: int(read_json(path)["steps"]))


def lasting(
    recipe: Recipe, seconds: float, folder: Path, *, device: str, start: DenoiserModel | None
) -> Recipe:
    """Return a recipe with as many steps as its training in `folder` has within a wall time."""

    def decide() -> int:
        started = time.monotonic()
        pace = measure_pace(recipe, Material(start=start), device=device)
        count = recipe.pairs.validation_fields
        return steps_within(
            seconds - (time.monotonic() - started),
            pace,
            fields=2 * count + recipe.pairs.pool,  # those that were made here are made again
            judged_px=0,
            validated_px=2 * count * math.prod(recipe.simulation.shape),
            validate_every=recipe.optimizer.validate_every,
        )

    steps = decided_steps(folder, decide, join(device))
    return recipe.replace(optimizer=recipe.optimizer.scaled_to(steps))
