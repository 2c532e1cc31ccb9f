"""Which pixel size counts when several sources give one."""

import math
from pathlib import Path

from nt2c.core.errors import InputError, SettingsError

_TOLERANCE = 0.01


def check_pixel_size(option: str, size_a: float | None) -> None:
    """Refuse a pixel size that a user gave with an option; None stands for not given.

    Raises
    ------
    SettingsError
        It is not a positive number.
    """
    if size_a is not None and not (math.isfinite(size_a) and size_a > 0):
        raise SettingsError(
            f"{option} {size_a:g}: must be a positive number of angstrom per pixel, such as 1.06"
        )


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
    check_pixel_size("--pixel-size", asked_a)
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
