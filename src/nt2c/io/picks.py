"""Picks made on denoised micrographs, rewritten for the raw ones.

Files keep their format and everything in them but positions, box sizes and names of micrographs.
RELION and topaz give centres; EMAN and crYOLO the first corner of a box; all count pixels from 0.
RELION cuts the fraction off a position when it extracts, so scaled ones are rounded before.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path
from nt2c.io.inputs import split_ending
from nt2c.io.pick_targets import Target, Targets
from nt2c.io.star_text import StarTable, read_star_text, write_star_text

_JOB = re.compile(r"^[^/]+/job\d{3,}/")
X, Y = "rlnCoordinateX", "rlnCoordinateY"


def rewrite_picks(path: Path, targets: Targets, folder: Path) -> int:
    """Write the picks of a file for the raw micrographs into a folder.

    Parameters
    ----------
    path : Path
        RELION's autopick.star (with the files that it lists), a STAR file of coordinates or of
        particles, a topaz table (.txt, .tsv), a .cbox of crYOLO or a .box of EMAN.
    targets : Targets
        Finds the raw micrographs.
    folder : Path
        Receives a file of the same name; what an autopick.star lists keeps its folders without
        "JobType/jobNNN/".

    Returns
    -------
    int
        Number of picks.

    Raises
    ------
    InputError
        The file cannot be read or is none of these, or a micrograph is not found.
    """
    writers: dict[str, Callable[[Path, Targets, Path], int]] = {
        ".star": _star,
        ".cbox": _cbox,
        ".box": _box,
        ".txt": _topaz,
        ".tsv": _topaz,
    }
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: not a known kind of picks; give {' '.join(writers)} or .cs")
    output = folder / path.name
    if output.exists() and path.exists() and output.samefile(path):
        raise InputError(f"{path}: would be written over; give another folder with -o")
    return writer(path, targets, output)


def _star(path: Path, targets: Targets, output: Path) -> int:
    star = read_star_text(path)
    listing = star.table("rlnMicrographName", "rlnMicrographCoordinates")
    if listing is not None:
        return _listing(listing, targets, output)
    table = star.table(X, Y)
    if table is None:
        raise InputError(f"{path}: no {X} and {Y}, and no rlnMicrographCoordinates; give picks")
    if "rlnMicrographName" not in table.labels:
        return _coordinates(table, targets.find(_relion_name(path)), output)
    found = [targets.find(name) for name in table.column("rlnMicrographName")]
    names = {"rlnMicrographName": [target.name for target in found]}
    write_star_text(output, table.replaced(names | _scaled(table, found)))
    return len(found)


def _listing(table: StarTable, targets: Targets, output: Path) -> int:
    names, files, picks = [], [], 0
    columns = (table.column("rlnMicrographName"), table.column("rlnMicrographCoordinates"))
    for name, listed in zip(*columns, strict=True):
        target = targets.find(name)
        file = output.parent / _JOB.sub("", PurePosixPath(listed).as_posix()).lstrip("/")
        found = read_star_text(_listed_file(listed, table.file.path)).table(X, Y)
        if found is None:  # nothing was picked there
            continue
        picks += _coordinates(found, target, file)
        names.append((name, target.name))
        files.append((listed, file.as_posix()))
    new_name, new_file = dict(names), dict(files)
    keep = [listed in new_file for listed in columns[1]]
    changes = {
        "rlnMicrographName": [new_name.get(name, name) for name in columns[0]],
        "rlnMicrographCoordinates": [new_file.get(file, file) for file in columns[1]],
    }
    write_star_text(output, table.replaced(changes, keep))
    return picks


def _listed_file(name: str, listing: Path) -> Path:
    """Return a file by its name in the project, which the list is part of."""
    places = [Path.cwd(), *listing.absolute().parents]
    return next((place / name for place in places if (place / name).is_file()), Path(name))


def _relion_name(path: Path) -> str:
    return _JOB.sub("", path.with_suffix("").as_posix())


def _coordinates(table: StarTable, target: Target, output: Path) -> int:
    write_star_text(output, table.replaced(_scaled(table, [target] * len(table.rows))))
    return len(table.rows)


def _scaled(
    table: StarTable,
    targets: Sequence[Target],
    x: Sequence[str] = (X,),
    y: Sequence[str] = (Y,),
    digits: int = 0,
) -> dict[str, list[str]]:
    """Return the columns of positions and lengths along x and y at the scale of the targets."""
    scaled = {}
    for labels, axis in ((x, "scale_x"), (y, "scale_y")):
        for label in set(labels) & set(table.labels):
            scaled[label] = [
                _times(text, getattr(target, axis), digits, table.file.path)
                for text, target in zip(table.column(label), targets, strict=True)
            ]
    return scaled


def _times(text: str, scale: float, digits: int, path: Path) -> str:
    unchanged = scale == 1 or text == "<NA>"
    return text if unchanged else f"{_number(text, path) * scale:.{digits}f}"


def _cbox(path: Path, targets: Targets, output: Path) -> int:
    table = read_star_text(path).table("CoordinateX", "CoordinateY")
    if table is None:
        raise InputError(f"{path}: no CoordinateX and CoordinateY; not a .cbox of crYOLO")
    found = [targets.find(path.stem)] * len(table.rows)
    along_x = ("CoordinateX", "Width", "EstWidth")
    along_y = ("CoordinateY", "Height", "EstHeight")
    write_star_text(
        _named(output, found[0]), table.replaced(_scaled(table, found, along_x, along_y, digits=3))
    )
    return len(found)


def _box(path: Path, targets: Targets, output: Path) -> int:
    target = targets.find(path.stem)
    lines = _lines(path)
    new = [_box_line(line, target, path) for line in lines]
    _write(_named(output, target), new)
    return sum(bool(line.strip()) for line in lines)


def _box_line(line: str, target: Target, path: Path) -> str:
    values = re.split(r"(\s+)", line.strip())
    if not line.strip() or (target.scale_x == 1 and target.scale_y == 1):
        return line
    if len(values) < 7:
        raise InputError(f"{path}: '{line}' is no line of a .box file (x, y, width, height)")
    for corner, side, scale in ((0, 4, target.scale_x), (2, 6, target.scale_y)):
        start, length = (_number(values[index], path) for index in (corner, side))
        new = 2 * round(length * scale / 2)
        values[side] = str(new)
        values[corner] = str(round((start + length / 2) * scale - new / 2))
    return "".join(values)


def _topaz(path: Path, targets: Targets, output: Path) -> int:
    header, *lines = _lines(path)
    columns = header.split("\t")
    if not {"image_name", "x_coord", "y_coord"} <= set(columns):
        raise InputError(f"{path}: no columns image_name, x_coord, y_coord; not a table of topaz")
    name, x, y = (columns.index(column) for column in ("image_name", "x_coord", "y_coord"))
    new = [header]
    for line in lines:
        values = line.split("\t")
        if len(values) != len(columns):
            raise InputError(f"{path}: '{line}' has not {len(columns)} values; write it again")
        target = targets.find(values[name])
        values[name] = split_ending(PurePosixPath(target.name).name)[0]
        for index, scale in ((x, target.scale_x), (y, target.scale_y)):
            if scale != 1:
                values[index] = str(round(_number(values[index], path) * scale))
        new.append("\t".join(values))
    _write(output, new)
    return len(lines)


def _named(output: Path, target: Target) -> Path:
    """Programs find the micrograph of such a file by its name."""
    return output.with_name(split_ending(PurePosixPath(target.name).name)[0] + output.suffix)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; give picks") from None
    if not lines:
        raise InputError(f"{path}: empty; leave it out")
    return lines


def _write(path: Path, lines: Sequence[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _number(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: '{text}' is not a number; write the file again") from None
