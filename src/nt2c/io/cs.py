"""Datasets of CryoSPARC (.cs): tables with a unique number for each row, as NumPy files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path

Table = NDArray[np.void]


def read_cs(path: Path | str) -> Table:
    """Return the rows of a dataset as a structured array; text is bytes.

    Raises
    ------
    InputError
        The file cannot be read or is no such dataset.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            table = np.load(file, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{path}: not a .cs dataset in NumPy format ({error}); save it with "
            "cryosparc.dataset.Dataset.save"
        ) from None
    if not table.dtype.names:
        raise InputError(f"{path}: an array without named fields; give a .cs dataset")
    return np.atleast_1d(table)


def write_cs(path: Path | str, table: Table) -> None:
    """Write rows as a dataset, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, table, allow_pickle=False)


def with_fields(table: Table, fields: dict[str, Any]) -> Table:
    """Return a copy of the rows with fields added or replaced.

    Parameters
    ----------
    table : structured array (n,)
        Rows.
    fields : dict of str to array (n, ...)
        New values; text may be longer than before.
    """
    values = {name: table[name] for name in table.dtype.names or ()}
    values |= {name: _as_stored(value) for name, value in fields.items()}
    dtype = [(name, value.dtype, value.shape[1:]) for name, value in values.items()]
    new = np.empty(len(table), dtype)
    for name, value in values.items():
        new[name] = value
    return new


def field(table: Table, name: str, where: Path) -> NDArray[Any]:
    """Return a field of the rows.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in (table.dtype.names or ()):
        raise InputError(f"{where}: no field {name}; give a dataset that has it")
    return table[name]


def _as_stored(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
