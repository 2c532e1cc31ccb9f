"""A list of micrographs that names the results in place of the raw micrographs."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.io.star import micrograph_table, optics_groups, optics_table, read_micrographs_star
from nt2c.io.star_text import StarTable, StarText, read_star_text, write_star_text

_NAME, _GROUP, _PIXEL = "rlnMicrographName", "rlnOpticsGroup", "rlnMicrographPixelSize"
_ORIGINAL = "rlnMicrographOriginalPixelSize"
_SAME = 1e-4  # headers hold pixel sizes in single precision, lists in some digits


def write_outputs_star(
    path: Path | str,
    source: Path | str,
    outputs: Mapping[Path, tuple[Path, float | None]],
    raw_path: Path | str | None = None,
) -> int:
    """Write the STAR file `source` again with the results' names; all else that it says is kept.

    Rows without a result are left out. Where a result has another sampling than the list says,
    rlnMicrographPixelSize says so, in a new column where there is none. Every other byte stays.
    Names are relative to the project folder if the results lie in it, otherwise absolute.

    Parameters
    ----------
    path : Path or str
        File to write, whole or not at all.
    source : Path or str
        A STAR file that `read_micrographs_star` reads.
    outputs : mapping of Path to (Path, float or None)
        For the absolute path of a raw micrograph its result, and its pixel size in angstrom; None
        for the one in the list.
    raw_path : Path or str, optional
        Write the raw micrographs of the same rows to this file, too.

    Returns
    -------
    int
        Number of micrographs in the new file.

    Raises
    ------
    InputError
        The source cannot be used, or a result's path holds white space.
    """
    listed = {one.name: one for one in read_micrographs_star(source)}
    names, sizes_a = {}, {}
    for name, one in listed.items():
        output, size_a = outputs.get(Path(os.path.abspath(one.path)), (None, None))
        if output is not None:
            names[name] = _name(output, one.project)
            listed_a = one.pixel_size_a
            if size_a and not (listed_a and math.isclose(size_a, listed_a, rel_tol=_SAME)):
                sizes_a[name] = size_a
    table = micrograph_table(read_star_text(source))
    old = table.column(_NAME)
    text = _with_sizes(table, sizes_a) if sizes_a else table.file
    renamed = {_NAME: [names.get(name, name) for name in old]}
    keep = [name in names for name in old]
    write_star_text(path, micrograph_table(text).replaced(renamed, keep))
    if raw_path is not None:
        write_star_text(raw_path, table.replaced({}, keep))
    return sum(keep)


def _with_sizes(table: StarTable, sizes_a: Mapping[str, float]) -> StarText:
    """Return the file with other pixel sizes, of micrographs or of their optics groups."""
    star, names = table.file, table.column(_NAME)
    optics = optics_table(table)
    if optics is None or _PIXEL in table.labels:
        optics, rows, sizes = table, names, dict(sizes_a)
    else:
        rows = optics.column(_GROUP)
        groups = zip(names, optics_groups(table), strict=True)
        sizes = {group: sizes_a[name] for name, group in groups if name in sizes_a}
    known = next((label for label in (_PIXEL, _ORIGINAL) if label in optics.labels), None)
    before = optics.column(known) if known else ["?"] * len(rows)
    values = [
        f"{sizes[row]:.6f}" if row in sizes else value
        for row, value in zip(rows, before, strict=True)
    ]
    return StarText(optics.replaced({_PIXEL: values}), star.path)


def _name(output: Path, root: Path) -> str:
    output = Path(os.path.abspath(output))
    inside = output.is_relative_to(root) and root != Path("/")
    name = str(output.relative_to(root) if inside else output)
    if len(name.split()) != 1:
        raise InputError(f"{output}: RELION reads no white space in names; choose another folder")
    return name
