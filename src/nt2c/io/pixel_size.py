"""Which pixel size counts when several sources give one."""

from pathlib import Path

from nt2c.core.advice import GIVE_PIXEL_SIZE
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.limits import PIXEL_SIZE_LIMITS_A

_TOLERANCE = 0.01


class MoviePixelSize(float):
    """A pixel size in angstrom that is known of the movie only (rlnMicrographOriginalPixelSize).

    That of the micrograph is a multiple of it where the motion correction binned, so it does not
    count before the micrograph's own header.
    """


def is_plausible(size_a: float) -> bool:
    """Tell whether a micrograph may have this pixel size, angstrom; not if it is not finite."""
    low, high = PIXEL_SIZE_LIMITS_A
    return low <= size_a <= high


def check_pixel_size(name: str, size_a: float | None) -> None:
    """Refuse a pixel size that a user gave by a name; None stands for not given.

    Raises
    ------
    SettingsError
        It is not plausible.
    """
    if size_a is None:
        return
    try:
        plausible, shown = is_plausible(size_a), f"{size_a:g}"
    except (TypeError, ValueError):  # from Python it may be anything
        plausible, shown = False, repr(size_a)
    if not plausible:
        raise SettingsError(f"{name} {shown}: {_between()}, such as 1.06")


def choose_pixel_size(
    path: Path, asked_a: float | None, star_a: float | None, header_a: float | None
) -> tuple[float, list[str]]:
    """Return the pixel size in angstrom and what to warn about.

    The user's value (`asked_a`) counts before the STAR file's, and that before the header's. Where
    the STAR file knows the movie only, the header counts, if the two agree.

    Raises
    ------
    SettingsError
        The user's value is not plausible.
    InputError
        No source knows the pixel size, that of the STAR file is not plausible, or the header
        contradicts that of the movie.
    """
    check_pixel_size("'pixel_size_a'", asked_a)
    if asked_a is None and star_a is not None and not is_plausible(star_a):
        raise InputError(
            f"{path}: the STAR file says {star_a:g} A/px: {_between()}; "
            f"mend the list, or give it with {GIVE_PIXEL_SIZE}"
        )
    if isinstance(star_a, MoviePixelSize) and asked_a is None:
        return _of_movie(path, star_a, header_a)
    sources = {"--pixel-size": asked_a, "the STAR file": star_a, "the header": header_a}
    known = {name: value for name, value in sources.items() if value is not None}
    if not known:
        raise InputError(
            f"{path}: the pixel size is not known (the header holds none that can be used); "
            f"give it in angstrom with {GIVE_PIXEL_SIZE}"
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
            f"if it is wrong, give {GIVE_PIXEL_SIZE}"
        )
    return size_a, warnings


def _of_movie(path: Path, movie_a: float, header_a: float | None) -> tuple[float, list[str]]:
    if header_a is None:
        return movie_a, [
            f"only the movie's pixel size is known (rlnMicrographOriginalPixelSize {movie_a:.6g} "
            f"A/px); if the motion correction binned, give {GIVE_PIXEL_SIZE}"
        ]
    if abs(movie_a / header_a - 1.0) > _TOLERANCE:
        raise InputError(
            f"{path}: the header says {header_a:.6g} A/px, the STAR file only that the movie had "
            f"{movie_a:.6g} (rlnMicrographOriginalPixelSize); add rlnMicrographPixelSize to the "
            f"STAR file or give {GIVE_PIXEL_SIZE}"
        )
    return header_a, []


def _between() -> str:
    low, high = PIXEL_SIZE_LIMITS_A
    return f"must be between {low:g} and {high:g} angstrom per pixel"
