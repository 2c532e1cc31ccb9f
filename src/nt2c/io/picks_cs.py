"""Picks of CryoSPARC, rewritten for the raw micrographs."""

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from nt2c.core.errors import InputError
from nt2c.io.cs import Table, field, read_cs, with_fields, write_cs

_LOCATION = {
    "location/micrograph_uid": "uid",
    "location/micrograph_path": "micrograph_blob/path",
    "location/micrograph_shape": "micrograph_blob/shape",
    "location/micrograph_psize_A": "micrograph_blob/psize_A",
}


def rewrite_cs_picks(path: Path, exposures: Path, folder: Path) -> int:
    """Point the picks of a .cs dataset at raw micrographs; return how many picks there are.

    Positions are fractions of the micrograph, so they hold for every sampling.

    Parameters
    ----------
    path : Path
        Particles with the fields location/center_x_frac and so on.
    exposures : Path
        Dataset of the raw micrographs, with micrograph_blob. A micrograph belongs to a pick by its
        number, or else by the name of its file without the number that CryoSPARC puts before it.
    folder : Path
        Receives a dataset of the same name.

    Raises
    ------
    InputError
        A file cannot be read, lacks a field, or the micrograph of a pick is not found.
    """
    picks, raw = read_cs(path), read_cs(exposures)
    if (folder / path.name).exists() and (folder / path.name).samefile(path):
        raise InputError(f"{path}: would be written over; give another folder with -o")
    field(picks, "location/center_x_frac", path)
    rows = _rows(picks, raw, path, exposures)
    new = {
        name: field(raw, source, exposures)[rows]
        for name, source in _LOCATION.items()
        if name in (picks.dtype.names or ())
    }
    write_cs(folder / path.name, with_fields(picks, new))
    return len(picks)


def _rows(picks: Table, raw: Table, path: Path, exposures: Path) -> list[int]:
    """Index of the raw micrograph of each pick."""
    numbers = {int(uid): row for row, uid in enumerate(field(raw, "uid", exposures))}
    names = [_name(name) for name in field(raw, "micrograph_blob/path", exposures)]
    by_name = {name: row for row, name in enumerate(names)}
    times = Counter(names)
    rows = []
    uids = field(picks, "location/micrograph_uid", path)
    for uid, name in zip(uids, field(picks, "location/micrograph_path", path), strict=True):
        row = numbers.get(int(uid), by_name.get(_name(name)))
        if row is None or (int(uid) not in numbers and times[_name(name)] > 1):
            raise InputError(f"{path}: {_text(name)} is not one micrograph of {exposures}")
        rows.append(row)
    return rows


def _name(path: bytes | str) -> str:
    """Return the name of a file without the 15 to 21 digits of its number and without its end."""
    stem = PurePosixPath(_text(path)).stem
    number, _, rest = stem.partition("_")
    return rest if number.isdigit() and 15 <= len(number) <= 21 and rest else stem


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | np.bytes_) else str(value)
