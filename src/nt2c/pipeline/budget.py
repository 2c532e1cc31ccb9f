"""A fit within a given wall time: how many steps a training has.

They are decided once, from the measured time of a step, and kept: a fit that goes on has the same.
"""

from collections.abc import Callable
from pathlib import Path

from nt2c.io.records import read_json, write_json
from nt2c.training.denoiser import Pace

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


def decided_steps(folder: Path, decide: Callable[[], int]) -> int:
    """Steps that were decided for the training in `folder`, or else are now."""
    path = folder / STEPS
    if path.exists():
        return int(read_json(path)["steps"])
    steps = decide()
    write_json(path, {"steps": steps})
    return steps
