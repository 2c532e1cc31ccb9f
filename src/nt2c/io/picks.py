"""Picks made on denoised micrographs, rewritten for the raw ones.

Files keep their format and everything in them but positions, box sizes, pixel sizes and names of
micrographs.
RELION and topaz give centres; EMAN and crYOLO the first corner of a box; all count pixels from 0.
RELION cuts the fraction off a position when it extracts, so scaled ones are rounded before.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.files import atomic_path, read_bytes
from nt2c.io.matching import stem
from nt2c.io.pick_targets import Target, Targets
from nt2c.io.star import optics_groups, optics_table
from nt2c.io.star_text import StarTable, StarText, read_star_text, star_bytes

_JOB = re.compile(r"^[^/]+/job\d{3,}/")
_NAME, X, Y = "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"
_PIXEL_SIZES = ("rlnMicrographPixelSize", "rlnImagePixelSize")
_OLD_PIXEL_SIZE = ("rlnDetectorPixelSize", "rlnMagnification")
_NONE = "<NA>"  # of crYOLO
_MARGIN = 0.02  # of the side: a pick at the border may be rounded over it
_ONE_SAMPLING = 0.01


@dataclass(frozen=True)
class PicksFile:
    """A file of picks for the raw micrographs, not written yet.

    Attributes
    ----------
    path : Path
        File to write.
    source : Path
        File that it is made from.
    content : bytes
        What it will hold.
    """

    path: Path
    source: Path
    content: bytes


@dataclass(frozen=True)
class RawPicks:
    """Picks for the raw micrographs, not written yet.

    Attributes
    ----------
    count : int
        Number of picks.
    files : tuple of PicksFile
        One, or for an autopick.star that and what it lists.
    notes : tuple of str
        What the user should know.
    """

    count: int
    files: tuple[PicksFile, ...]
    notes: tuple[str, ...] = ()

    def write(self) -> None:
        """Write the files, each whole or not at all."""
        for file in self.files:
            with atomic_path(file.path) as temporary:
                temporary.write_bytes(file.content)


def raw_picks(path: Path, targets: Targets, folder: Path) -> RawPicks:
    """Rewrite the picks of a file for the raw micrographs; nothing is written yet.

    Parameters
    ----------
    path : Path
        RELION's autopick.star (with the files that it lists), a STAR file of coordinates or of
        particles, a topaz table (.txt, .tsv), a .cbox of crYOLO or a .box of EMAN.
    targets : Targets
        Finds the raw micrographs.
    folder : Path
        For a file of the same name; what an autopick.star lists keeps its folders without
        "JobType/jobNNN/".

    Raises
    ------
    InputError
        The file cannot be read or is none of these, a micrograph is not found, picks lie outside
        of it, or a name leads out of the folder.
    """
    writers: dict[str, Callable[[Path, Targets, Path], RawPicks]] = {
        ".star": _star,
        ".cbox": _cbox,
        ".box": _box,
        ".txt": _topaz,
        ".tsv": _topaz,
    }
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: not a known kind of picks; give {' '.join(writers)} or .cs")
    return writer(path, targets, folder / path.name)


def check_within(path: Path, picks: Iterable[tuple[float, float, Target]]) -> None:
    """Refuse picks (x, y in pixels of the raw micrograph) that lie outside of it.

    Raises
    ------
    InputError
        Some lie outside by more than a box at the border does.
    """
    picks = list(picks)
    outside = [(x, y, target) for x, y, target in picks if not _is_within(x, y, target)]
    if outside:
        x, y, target = outside[0]
        rows, columns = target.shape
        raise InputError(
            f"{path}: {len(outside)} of {plural(len(picks), 'pick')} would lie outside of the raw "
            f"micrographs, the first at x {x:.0f}, y {y:.0f} of {target.name} ({columns} x {rows} "
            "pixels); give the micrographs that were picked on with --denoised, or mend --scale"
        )


def _is_within(x: float, y: float, target: Target) -> bool:
    rows, columns = target.shape
    return all(
        -_MARGIN * side <= value <= (1 + _MARGIN) * side
        for value, side in ((x, columns), (y, rows))
    )


def _star(path: Path, targets: Targets, output: Path) -> RawPicks:
    star = read_star_text(path)
    listing = star.table(_NAME, "rlnMicrographCoordinates")
    if listing is not None:
        return _listing(listing, targets, output)
    table = star.table(X, Y)
    if table is None:
        raise InputError(f"{path}: no {X} and {Y}, and no rlnMicrographCoordinates; give picks")
    if _NAME not in table.labels:
        target = targets.find(_relion_name(path), path)
        return RawPicks(len(table.rows), (_coordinates(table, target, output),))
    found = [targets.find(name, path) for name in table.column(_NAME)]
    _check_table(table, found)
    table = _with_group_sizes(table, found)
    sizes = _divided_sizes(table, [target.scale for target in found])
    names = {_NAME: [target.name for target in found]}
    text = table.replaced(names | sizes | _scaled(table, found))
    notes: tuple[str, ...] = ()
    if "rlnImageName" in table.labels:
        cut = "its images (rlnImageName) are cut from the micrographs that were picked on"
        notes = (f"{path}: {cut}; extract particles anew before they are used",)
    return RawPicks(len(found), (PicksFile(output, path, star_bytes(text)),), notes)


def _listing(table: StarTable, targets: Targets, output: Path) -> RawPicks:
    names: dict[str, str] = {}
    files: dict[str, PicksFile] = {}
    picks = 0
    columns = (table.column(_NAME), table.column("rlnMicrographCoordinates"))
    for name, listed in zip(*columns, strict=True):
        if listed in files:
            raise InputError(f"{table.file.path}: lists {listed} twice; remove one row")
        target = targets.find(name, table.file.path)
        try:
            found = read_star_text(_listed_file(listed, table.file.path)).table(X, Y)
        except InputError as error:
            raise InputError(f"{table.file.path}: lists {error}") from None
        if found is None or not found.rows:  # nothing was picked there
            continue
        files[listed] = _coordinates(found, target, _below(output.parent, listed, table.file.path))
        names[name] = target.name
        picks += len(found.rows)
    changes = {
        _NAME: [names.get(name, name) for name in columns[0]],
        "rlnMicrographCoordinates": [
            files[listed].path.as_posix() if listed in files else listed for listed in columns[1]
        ],
    }
    text = table.replaced(changes, [listed in files for listed in columns[1]])
    new = PicksFile(output, table.file.path, star_bytes(text))
    return RawPicks(picks, (*files.values(), new))


def _below(folder: Path, listed: str, source: Path) -> Path:
    """Return where a file goes that the list `source` names, in the folder of the results."""
    name = PurePosixPath(_JOB.sub("", PurePosixPath(listed).as_posix()).lstrip("/"))
    path = folder / name
    inside = Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))
    if ".." in name.parts or not inside:
        raise InputError(
            f"{source}: {listed} leads out of the folder for the results, {folder}; write the list "
            "with names below the project folder"
        )
    return path


def _listed_file(name: str, listing: Path) -> Path:
    """Return a file by its name in the project, which the list is part of."""
    places = [Path.cwd(), *listing.absolute().parents]
    return next((place / name for place in places if os.path.isfile(place / name)), Path(name))


def _relion_name(path: Path) -> str:
    return _JOB.sub("", path.with_suffix("").as_posix())


def _coordinates(table: StarTable, target: Target, output: Path) -> PicksFile:
    targets = [target] * len(table.rows)
    _check_table(table, targets)
    return PicksFile(output, table.file.path, star_bytes(table.replaced(_scaled(table, targets))))


def _with_group_sizes(table: StarTable, targets: Sequence[Target]) -> StarTable:
    """Return the table in a file whose optics groups have the pixel sizes of the targets."""
    optics = optics_table(table)
    if optics is None:
        return table
    star, scales = table.file, dict[str, float]()
    for group, target in zip(optics_groups(table), targets, strict=True):
        if abs(scales.setdefault(group, target.scale) / target.scale - 1) > _ONE_SAMPLING:
            raise InputError(
                f"{star.path}: the raw micrographs of optics group {group} are sampled "
                "differently; give each sampling a group of its own"
            )
    of_rows = [scales.get(group, 1.0) for group in optics.column("rlnOpticsGroup")]
    text = optics.replaced(_divided_sizes(optics, of_rows))
    return StarText(text, star.path).tables[star.tables.index(table)]


def _divided_sizes(table: StarTable, scales: Sequence[float]) -> dict[str, list[str]]:
    """Return the columns of pixel sizes of a finer grid."""
    labels = [*_PIXEL_SIZES, *(_OLD_PIXEL_SIZE[:1] if _OLD_PIXEL_SIZE[1] in table.labels else ())]
    return {
        label: [
            _times(text, 1 / scale, 6, table.file.path)
            for text, scale in zip(table.column(label), scales, strict=True)
        ]
        for label in labels
        if label in table.labels
    }


def _scaled(
    table: StarTable,
    targets: Sequence[Target],
    x: Sequence[str] = (X,),
    y: Sequence[str] = (Y,),
    digits: int = 0,
) -> dict[str, list[str]]:
    """Return the columns of positions and lengths along x and y at the scale of the targets."""
    path = table.file.path
    scaled = {}
    for labels, axis in ((x, "scale_x"), (y, "scale_y")):
        for label in set(labels) & set(table.labels):
            scaled[label] = [
                _times(text, getattr(target, axis), digits, path)
                for text, target in zip(table.column(label), targets, strict=True)
            ]
    return scaled


def _check_table(
    table: StarTable,
    targets: Sequence[Target],
    corner: tuple[str, str] = (X, Y),
    box: tuple[str, str] | None = None,
) -> None:
    """Check the centres in a table, or those of boxes of which it has corners and sides."""
    path = table.file.path
    axes = []
    for axis in (0, 1):
        starts = [_number(text, path) for text in table.column(corner[axis])]
        sides = (
            table.column(box[axis]) if box and box[axis] in table.labels else [_NONE] * len(starts)
        )
        axes.append(
            [
                start + (0.0 if side == _NONE else _number(side, path) / 2)
                for start, side in zip(starts, sides, strict=True)
            ]
        )
    places = zip(*axes, targets, strict=True)
    check_within(path, [(x * to.scale_x, y * to.scale_y, to) for x, y, to in places])


def _times(text: str, scale: float, digits: int, path: Path) -> str:
    unchanged = scale == 1 or text == _NONE
    return text if unchanged else f"{_number(text, path) * scale:.{digits}f}"


def _cbox(path: Path, targets: Targets, output: Path) -> RawPicks:
    table = read_star_text(path).table("CoordinateX", "CoordinateY")
    if table is None:
        raise InputError(f"{path}: no CoordinateX and CoordinateY; not a .cbox of crYOLO")
    found = [targets.find(path.stem, path)] * len(table.rows)
    along_x = ("CoordinateX", "Width", "EstWidth")
    along_y = ("CoordinateY", "Height", "EstHeight")
    _check_table(table, found, ("CoordinateX", "CoordinateY"), ("Width", "Height"))
    text = table.replaced(_scaled(table, found, along_x, along_y, digits=3))
    output = _named(output, targets.find(path.stem, path))
    return RawPicks(len(found), (PicksFile(output, path, star_bytes(text)),))


def _box(path: Path, targets: Targets, output: Path) -> RawPicks:
    target = targets.find(path.stem, path)
    lines = _lines(path)
    boxes = [_box_values(line, path) for line in lines if line.strip()]
    centres = [(x + width / 2, y + height / 2) for x, y, width, height in boxes]
    check_within(path, [(x * target.scale_x, y * target.scale_y, target) for x, y in centres])
    new = [_box_line(line, target, path) for line in lines]
    return RawPicks(len(boxes), (_text_file(_named(output, target), path, new),))


def _box_values(line: str, path: Path) -> list[float]:
    words = line.split()
    if len(words) < 4:
        raise InputError(f"{path}: '{line}' is no line of a .box file (x, y, width, height)")
    return [_number(word, path) for word in words[:4]]


def _box_line(line: str, target: Target, path: Path) -> str:
    if not line.strip() or (target.scale_x == 1 and target.scale_y == 1):
        return line
    words = re.split(r"(\s+)", line.strip())  # with the white space between them
    x, y, width, height = _box_values(line, path)
    for place, start, length, scale in (
        (0, x, width, target.scale_x),
        (2, y, height, target.scale_y),
    ):
        new = 2 * round(length * scale / 2)
        words[place] = str(round((start + length / 2) * scale - new / 2))
        words[place + 4] = str(new)
    return "".join(words)


def _topaz(path: Path, targets: Targets, output: Path) -> RawPicks:
    header, *lines = _lines(path)
    columns = header.split("\t")
    if not {"image_name", "x_coord", "y_coord"} <= set(columns):
        raise InputError(f"{path}: no columns image_name, x_coord, y_coord; not a table of topaz")
    name, x, y = (columns.index(column) for column in ("image_name", "x_coord", "y_coord"))
    new, places = [header], []
    for line in lines:
        values = line.split("\t")
        if len(values) != len(columns):
            raise InputError(f"{path}: '{line}' has not {len(columns)} values; write it again")
        target = targets.find(values[name], path)
        place = _number(values[x], path) * target.scale_x, _number(values[y], path) * target.scale_y
        places.append((*place, target))
        values[name] = stem(target.name)
        if target.scale_x != 1 or target.scale_y != 1:
            values[x], values[y] = (str(round(value)) for value in place)
        new.append("\t".join(values))
    check_within(path, places)
    return RawPicks(len(lines), (_text_file(output, path, new),))


def _named(output: Path, target: Target) -> Path:
    """Programs find the micrograph of such a file by its name."""
    return output.with_name(stem(target.name) + output.suffix)


def _lines(path: Path) -> list[str]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; give picks") from None
    if not lines:
        raise InputError(f"{path}: empty; leave it out")
    return lines


def _text_file(path: Path, source: Path, lines: Sequence[str]) -> PicksFile:
    text = "\n".join(lines) + "\n"
    return PicksFile(path, source, text.encode("utf-8"))


def _number(text: str, path: Path) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path}: '{text}' is not a number; write the file again") from None
    return number
