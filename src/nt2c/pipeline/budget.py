"""A fit within a given wall time: how many steps a training has.

They are decided once, from the measured time of a step, and kept: a fit that goes on has the same.
"""

from collections.abc import Callable
from pathlib import Path

from nt2c.core.errors import SettingsError
from nt2c.io.records import read_json, write_json
from nt2c.training.denoiser import Pace

STEPS = "steps.json"
LEAST_STEPS = 20
_FORWARD = 1 / 3  # of a step's time: the backward pass takes twice as long
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """Read a time such as "90s", "10m" or "1.5h".

    Raises
    ------
    SettingsError
        It is no such thing, or not above 0.
    """
    try:
        seconds = float(text[:-1]) * _UNITS[text[-1:]]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"--time {text}: give a time such as 90s, 10m or 1.5h")
    return seconds


def steps_within(seconds: float, pace: Pace, *, fields: int, judged_px: int, crops_px: int) -> int:
    """Steps that fit into a time, with what follows the training.

    Parameters
    ----------
    seconds : float
        Left for all of it.
    pace : Pace
        Measured times of a step and of a field.
    fields : int
        Fields simulated to judge and to show.
    judged_px : int
        Pixels that the network sees in judging.
    crops_px : int
        Pixels of the crops of a step.
    """
    per_px = _FORWARD * pace.step_s / crops_px
    left = seconds - fields * pace.field_s - judged_px * per_px
    return max(LEAST_STEPS, int(left / pace.step_s))


def decided_steps(folder: Path, decide: Callable[[], int]) -> int:
    """Steps that were decided for the training in `folder`, or else are now."""
    path = folder / STEPS
    if path.exists():
        return int(read_json(path)["steps"])
    steps = decide()
    write_json(path, {"steps": steps})
    return steps
