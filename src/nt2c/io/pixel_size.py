"""Which pixel size counts when several sources give one."""

import math
from pathlib import Path

from nt2c.core.errors import InputError, SettingsError

_TOLERANCE = 0.01


def choose_pixel_size(
    path: Path, asked_a: float | None, star_a: float | None, header_a: float | None
) -> tuple[float, list[str]]:
    """Return the pixel size in angstrom and what to warn about.

    The user's value (`asked_a`) counts before the STAR file's, and that before the header's.

    Raises
    ------
    SettingsError
        The user's value is not a positive number.
    InputError
        No source knows the pixel size.
    """
    if asked_a is not None and not (math.isfinite(asked_a) and asked_a > 0):
        raise SettingsError(f"--pixel-size {asked_a:g}: must be a positive number of angstrom")
    sources = {"--pixel-size": asked_a, "the STAR file": star_a, "the header": header_a}
    known = {name: value for name, value in sources.items() if value is not None}
    if not known:
        raise InputError(
            f"{path}: the pixel size is not known (the header holds none that can be used); "
            "give it in angstrom with --pixel-size"
        )
    (chosen, size_a), *others = known.items()
    warnings = [
        f"{chosen} says {size_a:.6g} A/px, {name} {value:.6g}; {chosen} is used"
        for name, value in others
        if abs(value / size_a - 1.0) > _TOLERANCE
    ]
    if chosen == "the header" and size_a == 1.0:
        warnings.append(
            "the header says exactly 1 A/px, which many programs write when they do not know; "
            "give --pixel-size if it is wrong"
        )
    return size_a, warnings
