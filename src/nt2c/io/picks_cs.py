"""Picks of CryoSPARC, rewritten for the raw micrographs."""

from collections import Counter
from pathlib import Path

import numpy as np

from nt2c.core.errors import InputError
from nt2c.io.cs import (
    Table,
    cs_bytes,
    field,
    numbers,
    read_cs,
    texts,
    unique_numbers,
    whole_numbers,
    with_fields,
)
from nt2c.io.matching import without_uid
from nt2c.io.picks import PicksFile, RawPicks

_MARGIN = 0.02
_LOCATION = {
    "location/micrograph_uid": "uid",
    "location/micrograph_path": "micrograph_blob/path",
    "location/micrograph_shape": "micrograph_blob/shape",
    "location/micrograph_psize_A": "micrograph_blob/psize_A",
}


def raw_cs_picks(path: Path, exposures: Path, folder: Path) -> RawPicks:
    """Point the picks of a .cs dataset at raw micrographs; nothing is written yet.

    Positions are fractions of the micrograph, so they hold for every sampling.

    Parameters
    ----------
    path : Path
        Particles with the fields location/center_x_frac and so on.
    exposures : Path
        Dataset of the raw micrographs, with micrograph_blob. A micrograph belongs to a pick by its
        number, or else by the name of its file without the number that CryoSPARC puts before it.
    folder : Path
        For a dataset of the same name.

    Raises
    ------
    InputError
        A file cannot be read, lacks a field, or the micrograph of a pick is not found.
    """
    picks, raw = read_cs(path), read_cs(exposures)
    for axis in "xy":
        name = f"location/center_{axis}_frac"
        places = numbers(field(picks, name, path), f"{path}: {name}")
        if not np.all((places >= -_MARGIN) & (places <= 1 + _MARGIN)):
            raise InputError(
                f"{path}: {name} is not between 0 and 1 everywhere: picks lie outside of the "
                "micrographs; write the dataset again"
            )
    rows = _rows(picks, raw, path, exposures)
    new = {
        name: field(raw, source, exposures)[rows]
        for name, source in _LOCATION.items()
        if name in (picks.dtype.names or ())
    }
    content = cs_bytes(with_fields(picks, new))
    return RawPicks(len(picks), (PicksFile(folder / path.name, path, content),))


def _rows(picks: Table, raw: Table, path: Path, exposures: Path) -> list[int]:
    """Index of the raw micrograph of each pick."""
    uid, blob = "uid", "micrograph_blob/path"
    uids = unique_numbers(field(raw, uid, exposures), f"{exposures}: {uid}")
    by_number = {number: row for row, number in enumerate(uids)}
    paths = texts(field(raw, blob, exposures), f"{exposures}: {blob}")
    names = [without_uid(micrograph) for micrograph in paths]
    by_name = {name: row for row, name in enumerate(names)}
    times = Counter(names)
    uid, named = "location/micrograph_uid", "location/micrograph_path"
    theirs = whole_numbers(field(picks, uid, path), f"{path}: {uid}")
    rows = []
    for number, name in zip(
        theirs, texts(field(picks, named, path), f"{path}: {named}"), strict=True
    ):
        row = by_number.get(number, by_name.get(without_uid(name)))
        if row is None or (number not in by_number and times[without_uid(name)] > 1):
            raise InputError(f"{path}: {name} is not one micrograph of {exposures}")
        rows.append(row)
    return rows
