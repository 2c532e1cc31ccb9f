"""RELION's STAR files: lists of micrographs and of coordinates.

RELION 3.0 keeps everything in one block; from 3.1 on, optics groups hold what micrographs share.
Files are written in the newer form with plain line ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path

_ANGSTROM_PER_UM = 1e4
_HEADER = "# version 50001\n\n"


@dataclass(frozen=True)
class StarMicrograph:
    """A micrograph that a STAR file lists.

    Attributes
    ----------
    name : str
        As written, relative to the project folder.
    path : Path
        Where it is, or would be.
    pixel_size_a : float or None
        Angstrom, None when the STAR file does not tell.
    """

    name: str
    path: Path
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
        Least and greatest of the micrographs' mean defocus, positive = underfocus.
    voltage_kv, spherical_aberration_mm : float or None
        Those of the first optics group.
    """

    defocus_um: tuple[float, float] | None
    voltage_kv: float | None
    spherical_aberration_mm: float | None


class _Table:
    """A block of a STAR file as columns of text; a block of single values is a table of one row."""

    def __init__(self, block: Any) -> None:
        self.name: str = block.name.strip()
        self._block = block

    def __contains__(self, column: str) -> bool:
        return bool(self._block.find_values("_" + column))

    def column(self, name: str) -> list[str]:
        """Return the text in a column, [] when there is no such column."""
        from gemmi import cif

        return [cif.as_string(value) for value in self._block.find_values("_" + name)]


def read_micrographs_star(path: Path | str) -> list[StarMicrograph]:
    """Return the micrographs that a STAR file lists, each once, in the order of the file.

    The pixel size is rlnMicrographPixelSize, or else rlnMicrographOriginalPixelSize, of the
    micrograph or its optics group, or else 1e4 x rlnDetectorPixelSize / rlnMagnification.
    Names are relative to the project folder: the nearest folder above the STAR file (or else the
    current one) in which any of the micrographs exists.

    Raises
    ------
    InputError
        The file is missing, not a STAR file, lists no micrographs, or none of them exists.
    """
    path = Path(path)
    tables = _read_tables(path)
    table = _micrograph_table(path, tables)
    names = table.column("rlnMicrographName")
    sizes = _pixel_sizes(table, tables, len(names))
    listed = dict(zip(reversed(names), reversed(sizes), strict=True))
    unique = dict.fromkeys(names)
    root = _project_folder(path, unique)
    return [StarMicrograph(name, root / name, listed[name]) for name in unique]


def read_optics_star(path: Path | str) -> StarOptics:
    """Return what a list of micrographs tells of the imaging (rlnDefocusU, rlnVoltage, ...).

    Raises
    ------
    InputError
        The file is missing, not a STAR file, or lists no micrographs.
    """
    path = Path(path)
    tables = _read_tables(path)
    listed = _micrograph_table(path, tables)
    u_a, v_a = (_numbers(listed, f"rlnDefocus{axis}") for axis in "UV")
    means = [(u + v) / 2 / _ANGSTROM_PER_UM for u, v in zip(u_a, v_a or u_a, strict=True)]
    groups = [listed, *(table for table in tables if table is not listed)]
    shared = [
        [value for table in groups for value in _numbers(table, column)]
        for column in ("rlnVoltage", "rlnSphericalAberration")
    ]
    voltage_kv, aberration_mm = (values[0] if values else None for values in shared)
    return StarOptics((min(means), max(means)) if means else None, voltage_kv, aberration_mm)


def read_coordinates_star(path: Path | str) -> NDArray[np.float64]:
    """Return the coordinates in a STAR file: float64 (n, 2), (y, x), centres in pixels.

    Raises
    ------
    InputError
        The file is missing, not a STAR file, or has no rlnCoordinateX and rlnCoordinateY.
    """
    path = Path(path)
    for table in _read_tables(path):
        if "rlnCoordinateX" in table and "rlnCoordinateY" in table:
            try:
                return np.array(
                    [table.column("rlnCoordinateY"), table.column("rlnCoordinateX")], np.float64
                ).T
            except ValueError as error:
                raise InputError(f"{path}: a coordinate is not a number ({error})") from None
    raise InputError(f"{path}: no rlnCoordinateX and rlnCoordinateY; give a file of coordinates")


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
    _write(path, _loop("", ["rlnCoordinateX", "rlnCoordinateY"], rows))


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
    _write(path, _optics_loop(optics) + "\n\n" + _HEADER + _loop("micrographs", columns, rows))


def _read_tables(path: Path) -> list[_Table]:
    from gemmi import cif

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return [_Table(block) for block in cif.read_string(text, check_level=0)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a STAR file ({error}); write it again") from None


def _micrograph_table(path: Path, tables: Iterable[_Table]) -> _Table:
    found = [table for table in tables if table.column("rlnMicrographName")]
    if not found:
        movies = any("rlnMicrographMovieName" in table for table in tables)
        what = "it lists movies; motion-correct them first" if movies else "give a micrographs.star"
        raise InputError(f"{path}: no micrographs (rlnMicrographName) in this STAR file; {what}")
    return next((table for table in found if table.name == "micrographs"), found[0])


def _pixel_sizes(table: _Table, tables: Iterable[_Table], count: int) -> list[float | None]:
    """Return one pixel size in angstrom for each row of `table`."""
    own = _own_pixel_sizes(table, count)
    optics = next((t for t in tables if t is not table and "rlnOpticsGroup" in t), None)
    if optics is None or "rlnOpticsGroup" not in table:
        return own
    groups = optics.column("rlnOpticsGroup")
    shared = dict(zip(groups, _own_pixel_sizes(optics, len(groups)), strict=True))
    return [
        mine or shared.get(group)
        for mine, group in zip(own, table.column("rlnOpticsGroup"), strict=True)
    ]


def _own_pixel_sizes(table: _Table, count: int) -> list[float | None]:
    current, original, detector_um, magnification = (
        _positive(table, name, count)
        for name in (
            "rlnMicrographPixelSize",
            "rlnMicrographOriginalPixelSize",
            "rlnDetectorPixelSize",
            "rlnMagnification",
        )
    )
    return [
        a or b or (_ANGSTROM_PER_UM * um / times if um and times else None)
        for a, b, um, times in zip(current, original, detector_um, magnification, strict=True)
    ]


def _positive(table: _Table, column: str, count: int) -> list[float | None]:
    if column not in table:
        return [None] * count
    return [_positive_number(text) for text in table.column(column)]


def _numbers(table: _Table, column: str) -> list[float]:
    """Finite numbers in a column; [] when there is none, or when one is missing."""
    try:
        values = [float(text) for text in table.column(column)]
    except ValueError:
        return []
    return values if np.isfinite(values).all() else []


def _positive_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < np.inf else None


def _project_folder(star: Path, names: Iterable[str]) -> Path:
    above = star.absolute().parents
    for folder in (*above, Path.cwd()):
        if any((folder / name).exists() for name in names):
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
    return _loop("optics", list(values), [tuple(values.values())])


def _loop(block: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"data_{block}", "", "loop_"]
    lines += [f"_{column} #{number}" for number, column in enumerate(columns, start=1)]
    lines += [" ".join(row) for row in rows]
    return "\n".join(lines) + "\n"


def _write(path: Path | str, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(_HEADER + text, encoding="utf-8", newline="\n")
