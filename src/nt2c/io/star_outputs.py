"""A list of micrographs that names the results in place of the raw micrographs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path
from nt2c.io.star import read_micrographs_star

_NAME, _GROUP, _PIXEL = "_rlnMicrographName", "_rlnOpticsGroup", "_rlnMicrographPixelSize"


def write_outputs_star(
    path: Path | str, source: Path | str, outputs: Mapping[Path, tuple[Path, float]]
) -> int:
    """Write the STAR file `source` again with the results' names; all else that it says is kept.

    Rows without a result are left out. Where a result has another sampling than its micrograph,
    rlnMicrographPixelSize says so. Names are relative to the project folder if the results lie in
    it, otherwise absolute.

    Parameters
    ----------
    path : Path or str
        File to write, whole or not at all.
    source : Path or str
        A STAR file that `read_micrographs_star` reads.
    outputs : mapping of Path to (Path, float)
        For the absolute path of a raw micrograph its result, and its pixel size in angstrom.

    Returns
    -------
    int
        Number of micrographs in the new file.

    Raises
    ------
    InputError
        The source cannot be used, or a result's path holds white space.
    """
    listed = read_micrographs_star(source)
    made = {
        one.name: outputs[absolute]
        for one in listed
        if (absolute := Path(os.path.abspath(one.path))) in outputs
    }
    document = _read(Path(source))
    blocks = [block for block in document if block.find_loop(_NAME)]
    block = next((b for b in blocks if b.name == "micrographs"), blocks[0])
    loop = block.find_loop(_NAME).get_loop()
    columns = {tag: list(block.find_loop(tag)) for tag in loop.tags}
    names = [_text(value) for value in columns[_NAME]]
    kept = [row for row, name in enumerate(names) if name in made]
    columns = {tag: [values[row] for row in kept] for tag, values in columns.items()}
    root = _project_folder(listed[0].name, listed[0].path)
    columns[_NAME] = [_name(made[names[row]][0], root) for row in kept]
    sizes = [made[names[row]][1] for row in kept]
    optics = next((b for b in document if b is not block and b.find_loop(_GROUP)), None)
    if optics is not None and _GROUP in columns:
        groups = dict(zip(columns[_GROUP], sizes, strict=True))
        _set_pixel_sizes(optics, groups)
    elif sizes:
        columns[_PIXEL] = [f"{size:.6f}" for size in sizes]
    _replace(block, loop, columns)
    with atomic_path(path) as temporary:
        temporary.write_text(document.as_string(), encoding="utf-8", newline="\n")
    return len(kept)


def _read(path: Path) -> Any:
    from gemmi import cif

    return cif.read_string(path.read_text(encoding="utf-8", errors="replace"), check_level=0)


def _text(value: str) -> str:
    from gemmi import cif

    return str(cif.as_string(value))


def _project_folder(name: str, path: Path) -> Path:
    """Return the folder that a name in the list is relative to."""
    absolute = path.absolute()
    return Path("/") if Path(name).is_absolute() else absolute.parents[len(Path(name).parts) - 1]


def _name(output: Path, root: Path) -> str:
    inside = output.is_relative_to(root) and root != Path("/")
    name = str(output.relative_to(root) if inside else output)
    if len(name.split()) != 1:
        raise InputError(f"{output}: RELION reads no white space in names; choose another folder")
    return name


def _set_pixel_sizes(optics: Any, sizes: Mapping[str, float]) -> None:
    """Set the pixel size of the optics groups that have a result."""
    loop = optics.find_loop(_GROUP).get_loop()
    columns = {tag: list(optics.find_loop(tag)) for tag in loop.tags}
    groups = columns[_GROUP]
    old = columns.get(_PIXEL, columns.get("_rlnMicrographOriginalPixelSize", ["?"] * len(groups)))
    columns[_PIXEL] = [
        f"{sizes[group]:.6f}" if group in sizes else value
        for group, value in zip(groups, old, strict=True)
    ]
    _replace(optics, loop, columns)


def _replace(block: Any, loop: Any, columns: Mapping[str, list[str]]) -> None:
    new = [tag for tag in columns if tag not in loop.tags]
    if new:
        loop.add_columns(new, "?")
    loop.set_all_values([columns[tag] for tag in loop.tags])
