"""RELION's STAR files: lists of micrographs and of coordinates.

RELION 3.0 keeps everything in one block; from 3.1 on, optics groups hold what micrographs share.
Files are written in the newer form with plain line ends.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nt2c.core.errors import InputError
from nt2c.core.robust import inliers, usual_range
from nt2c.core.words import plural
from nt2c.io.pixel_size import MoviePixelSize
from nt2c.io.star_text import (
    STAR_HEADER,
    StarTable,
    StarText,
    read_star_text,
    star_loop,
    write_star_text,
)

_ANGSTROM_PER_UM = 1e4
_OTHER_LISTS = {
    "particles": ("rlnCoordinateX", "rlnImageName"),
    "files of coordinates": ("rlnMicrographCoordinates",),
}


@dataclass(frozen=True)
class StarMicrograph:
    """A micrograph that a STAR file lists.

    Attributes
    ----------
    name : str
        As written, relative to the project folder.
    path : Path
        Where it is, or would be.
    project : Path
        The project folder, absolute; "/" for an absolute name.
    pixel_size_a : float or None
        Angstrom, None when the STAR file does not tell; a `MoviePixelSize` when it tells only that
        of the movie.
    """

    name: str
    path: Path
    project: Path
    pixel_size_a: float | None


@dataclass(frozen=True)
class Optics:
    """What the micrographs of an optics group share."""

    pixel_size_a: float
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float


@dataclass(frozen=True)
class Defocus:
    """Defocus of a micrograph, positive = underfocus; `angle_deg` is RELION's rlnDefocusAngle."""

    u_um: float
    v_um: float
    angle_deg: float = 0.0
    phase_shift_deg: float = 0.0


@dataclass(frozen=True)
class StarOptics:
    """What a STAR file tells of how its micrographs were imaged, None where it does not.

    Attributes
    ----------
    defocus_um : (float, float) or None
        Range of the micrographs' mean defocus, positive = underfocus, without failed and far-out
        fits and without the outermost hundredths.
    voltage_kv, spherical_aberration_mm : float or None
        Those of the first optics group.
    left_out : str
        Which fits of the CTF the range of the defocus is without; empty if none.
    """

    defocus_um: tuple[float, float] | None
    voltage_kv: float | None
    spherical_aberration_mm: float | None
    left_out: str = ""


def read_micrographs_star(path: Path | str) -> list[StarMicrograph]:
    """Return the micrographs that a STAR file lists, each once, in the order of the file.

    The pixel size is rlnMicrographPixelSize of the micrograph or its optics group, or else 1e4 x
    rlnDetectorPixelSize / rlnMagnification, or else that of the movie, as a `MoviePixelSize`:
    rlnMicrographOriginalPixelSize. Names are relative to the project folder: the nearest folder
    above the STAR file (or else the current one) in which any of the micrographs exists.

    Raises
    ------
    InputError
        The file is missing, not a STAR file, lists no micrographs or something else, or none of
        them exists; or a name is none, or a micrograph is of an optics group that the file does
        not have.
    """
    star = read_star_text(path)
    table = micrograph_table(star)
    names = table.column("rlnMicrographName")
    listed = dict(zip(reversed(names), reversed(_pixel_sizes(table)), strict=True))
    unique = dict.fromkeys(names)
    if nameless := [name for name in unique if not PurePath(name).name]:
        raise InputError(f"{star.path}: '{nameless[0]}' names no micrograph; mend that line")
    root = _project_folder(star.path, unique)
    projects = {True: Path("/"), False: root.absolute()}
    return [
        StarMicrograph(name, root / name, projects[os.path.isabs(name)], listed[name])
        for name in unique
    ]


def micrograph_table(star: StarText) -> StarTable:
    """Return the table of a STAR file that lists micrographs.

    Raises
    ------
    InputError
        There is none, or it lists particles or files of coordinates.
    """
    found = [table for table in star.tables if "rlnMicrographName" in table.labels and table.rows]
    labels = {label for table in star.tables for label in table.labels}
    if not found:
        movies = "rlnMicrographMovieName" in labels
        what = "it lists movies; motion-correct them first" if movies else "give a micrographs.star"
        raise InputError(f"{star.path}: no micrographs (rlnMicrographName) in it; {what}")
    table = next((table for table in found if table.block == "micrographs"), found[0])
    for others, columns in _OTHER_LISTS.items():
        if any(column in table.labels for column in columns):
            raise InputError(
                f"{star.path}: a list of {others}, not of micrographs; give the micrographs.star "
                "that they were picked from"
            )
    return table


def optics_table(table: StarTable) -> StarTable | None:
    """Return the optics groups that the rows of a table refer to, None where they do not."""
    if "rlnOpticsGroup" not in table.labels:
        return None
    tables = table.file.tables
    return next((t for t in tables if t is not table and "rlnOpticsGroup" in t.labels), None)


def optics_groups(table: StarTable) -> list[str]:
    """Return the optics group of each row, as the table of the groups spells it.

    Raises
    ------
    InputError
        The table of the groups does not have it.
    """
    optics = optics_table(table)
    own = table.column("rlnOpticsGroup")
    if optics is None:
        return own
    known = {_number(group): group for group in optics.column("rlnOpticsGroup")}
    for group, row in zip(own, table.rows, strict=True):
        if _number(group) not in known:
            raise InputError(
                f"{table.file.path}: line {row + 1} is of optics group {group}, which the file "
                f"does not have (it has {', '.join(known.values())}); add it or mend the line"
            )
    return [known[_number(group)] for group in own]


def read_optics_star(path: Path | str) -> StarOptics:
    """Return what a list of micrographs tells of the imaging (rlnDefocusU, rlnVoltage, ...).

    Raises
    ------
    InputError
        The file is missing, not a STAR file, or lists no micrographs.
    """
    star = read_star_text(path)
    listed = micrograph_table(star)
    u_a, v_a = (_numbers(listed, f"rlnDefocus{axis}") for axis in "UV")
    means = [(u + v) / 2 / _ANGSTROM_PER_UM for u, v in zip(u_a or v_a, v_a or u_a, strict=True)]
    groups = [listed, *(table for table in star.tables if table is not listed)]
    shared = [
        [value for table in groups for value in _numbers(table, column)]
        for column in ("rlnVoltage", "rlnSphericalAberration")
    ]
    voltage_kv, aberration_mm = (
        next((value for value in values if np.isfinite(value)), None) for values in shared
    )
    defocus_um, left_out = _defocus_range(np.array(means))
    return StarOptics(defocus_um, voltage_kv, aberration_mm, left_out)


def _defocus_range(means_um: NDArray[np.float64]) -> tuple[tuple[float, float] | None, str]:
    """Range of the defocus of micrographs (n,), and which of them it is without, in words."""
    if not len(means_um):
        return None, ""
    finite = np.isfinite(means_um)
    under = finite & (means_um > 0)
    kept = under.copy()
    kept[under] = inliers(means_um[under])
    counts = {
        "no number": int((~finite).sum()),
        "no underfocus": int((finite & ~under).sum()),
        "far from the others": int((under & ~kept).sum()),
    }
    found = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
    if not kept.any():
        return None, f"no CTF fit gives a defocus ({found}); the recipe's defocus counts"
    low, high = usual_range(means_um[kept])
    text = (
        f"defocus from {low:.2f} to {high:.2f} um, without {len(kept) - int(kept.sum())} of "
        f"{plural(len(kept), 'CTF fit')} ({found})"
    )
    return (low, high), text if found else ""


def read_coordinates_star(path: Path | str) -> NDArray[np.float64]:
    """Return the coordinates in a STAR file: float64 (n, 2), (y, x), centres in pixels.

    Raises
    ------
    InputError
        The file is missing, not a STAR file, or has no rlnCoordinateX and rlnCoordinateY.
    """
    table = read_star_text(path).table("rlnCoordinateX", "rlnCoordinateY")
    if table is None:
        raise InputError(
            f"{path}: no rlnCoordinateX and rlnCoordinateY; give a file of coordinates"
        )
    columns = [table.column("rlnCoordinateY"), table.column("rlnCoordinateX")]
    try:
        return np.array(columns, np.float64).reshape(2, -1).T
    except ValueError as error:
        raise InputError(f"{path}: a coordinate is not a number ({error})") from None


def write_coordinates_star(path: Path | str, coordinates_yx_px: ArrayLike) -> None:
    """Write particle centres as RELION reads them, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write.
    coordinates_yx_px : array (n, 2)
        Centres (y, x) in pixels of the micrograph.
    """
    centres = np.asarray(coordinates_yx_px, np.float64).reshape(-1, 2)
    rows = [(f"{x:.3f}", f"{y:.3f}") for y, x in centres]
    write_star_text(path, STAR_HEADER + star_loop("", ["rlnCoordinateX", "rlnCoordinateY"], rows))


def write_micrographs_star(
    path: Path | str, micrographs: Mapping[str, Defocus], optics: Optics
) -> None:
    """Write a list of micrographs of one optics group (RELION 3.1 and later), whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write.
    micrographs : mapping of str to Defocus
        Names, relative to the project folder, without white space; and their defocus.
    optics : Optics
        What they share.

    Raises
    ------
    ValueError
        A name is empty or holds white space, which RELION cannot read.
    """
    for name in micrographs:
        if not name or len(name.split()) != 1:
            raise ValueError(f"micrograph name {name!r}: STAR files of RELION take no white space")
    columns = ["rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV"]
    columns += ["rlnCtfAstigmatism", "rlnDefocusAngle", "rlnPhaseShift"]
    rows = [(name, "1", *_defocus_fields(defocus)) for name, defocus in micrographs.items()]
    listed = star_loop("micrographs", columns, rows)
    write_star_text(path, STAR_HEADER + _optics_loop(optics) + "\n\n" + STAR_HEADER + listed)


def _pixel_sizes(table: StarTable) -> list[float | None]:
    """Return the pixel size of each row in angstrom."""
    own = _own_pixel_sizes(table)
    optics = optics_table(table)
    if optics is None:
        return own
    groups = optics.column("rlnOpticsGroup")
    shared = dict(zip(groups, _own_pixel_sizes(optics), strict=True))
    both = [(mine, shared[group]) for mine, group in zip(own, optics_groups(table), strict=True)]
    return [min(filter(None, each), key=_is_of_movie, default=None) for each in both]


def _own_pixel_sizes(table: StarTable) -> list[float | None]:
    current, original, detector_um, magnification = (
        [_positive_number(text) for text in table.column(label)]
        if label in table.labels
        else [None] * len(table.rows)
        for label in (
            "rlnMicrographPixelSize",
            "rlnMicrographOriginalPixelSize",
            "rlnDetectorPixelSize",
            "rlnMagnification",
        )
    )
    return [
        size_a
        or (_ANGSTROM_PER_UM * um / times if um and times else None)
        or (movie_a and MoviePixelSize(movie_a))
        for size_a, movie_a, um, times in zip(
            current, original, detector_um, magnification, strict=True
        )
    ]


def _is_of_movie(size_a: float) -> bool:
    return isinstance(size_a, MoviePixelSize)


def _numbers(table: StarTable, label: str) -> list[float]:
    """Numbers in a column, NaN where there is none; [] when there is no such column."""
    if label not in table.labels:
        return []
    values = []
    for text in table.column(label):
        try:
            values.append(float(text))
        except ValueError:
            values.append(float("nan"))
    return values


def _number(text: str) -> float | str:
    """Return a number, so that "1" and "01" are equal, or else the text."""
    try:
        return float(text)
    except ValueError:
        return text


def _positive_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < np.inf else None


def _project_folder(star: Path, names: Iterable[str]) -> Path:
    above = star.absolute().parents
    for folder in (*above, Path.cwd()):
        start = f"{folder}/"  # os.path is False for impossible names, and fast for many
        if any(os.path.exists(os.path.join(start, name)) for name in names):
            return folder
    raise InputError(
        f"{star}: none of its micrographs (such as {next(iter(names))}) exists in {above[0]} or "
        "any folder above it; put the STAR file back into its project or run in the project folder"
    )


def _defocus_fields(defocus: Defocus) -> tuple[str, ...]:
    u_a, v_a = defocus.u_um * _ANGSTROM_PER_UM, defocus.v_um * _ANGSTROM_PER_UM
    values = (u_a, v_a, abs(u_a - v_a), defocus.angle_deg, defocus.phase_shift_deg)
    return tuple(f"{value:.6f}" for value in values)


def _optics_loop(optics: Optics) -> str:
    values = {
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnOpticsGroup": "1",
        "rlnMicrographOriginalPixelSize": f"{optics.pixel_size_a:.6f}",
        "rlnVoltage": f"{optics.voltage_kv:.6f}",
        "rlnSphericalAberration": f"{optics.spherical_aberration_mm:.6f}",
        "rlnAmplitudeContrast": f"{optics.amplitude_contrast:.6f}",
        "rlnMicrographPixelSize": f"{optics.pixel_size_a:.6f}",
    }
    return star_loop("optics", list(values), [tuple(values.values())])
