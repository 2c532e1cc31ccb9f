"""Datasets of CryoSPARC (.cs): tables with a unique number for each row, as NumPy files.

A path in them is relative to the folder of the project, or, with ">" before it, to the folder of
the dataset itself: so a dataset that was exported has its files beside it.
"""

import io
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, check_regular

Table = NDArray[np.void]

_SIGNATURE = b"\x93NUMPY"
_BESIDE = ">"


def read_cs(path: Path | str) -> Table:
    """Return the rows of a dataset as a structured array; text is bytes.

    Raises
    ------
    InputError
        The file cannot be read or is no such dataset.
    """
    path = Path(path)
    check_regular(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                raise ValueError("another kind of file")
        # Mapped, so that a header that claims more than the file holds takes no memory.
        table = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except Exception as error:  # numpy raises of many kinds on damaged headers
        raise InputError(
            f"{path}: not a .cs dataset in NumPy format ({error}); save it with "
            "cryosparc.dataset.Dataset.save"
        ) from None
    if not table.dtype.names or table.ndim > 1:
        raise InputError(f"{path}: not a table of named fields; give a .cs dataset")
    return np.atleast_1d(table)


def write_cs(path: Path | str, table: Table) -> None:
    """Write rows as a dataset, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(cs_bytes(table))


def cs_bytes(table: Table) -> bytes:
    """Return rows as a dataset holds them."""
    content = io.BytesIO()
    np.save(content, table, allow_pickle=False)
    return content.getvalue()


def with_fields(table: Table, fields: Mapping[str, ArrayLike]) -> Table:
    """Return a copy of the rows with fields added or replaced.

    Parameters
    ----------
    table : structured array (n,)
        Rows.
    fields : mapping of str to array (n, ...)
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


def numbers(values: Any, what: str) -> NDArray[np.float64]:
    """Return a column of numbers.

    Parameters
    ----------
    values : array (n,)
        As a dataset gives them.
    what : str
        Their name, for the message.

    Raises
    ------
    InputError
        They are no numbers, or not one for each row.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise InputError(f"{what}: not a column of numbers; write the dataset again")
    return array.astype(np.float64)


def whole_numbers(values: Any, what: str) -> list[int]:
    """Return a column of whole numbers, such as those of micrographs (uid), exactly.

    Raises
    ------
    InputError
        They are no whole numbers, or not one for each row.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise InputError(f"{what}: not a column of whole numbers; write the dataset again")
    return [int(each) for each in array]


def unique_numbers(values: Any, what: str) -> list[int]:
    """Return the numbers (uid) that tell the rows apart.

    Raises
    ------
    InputError
        They are no whole numbers, or one comes twice.
    """
    uids = whole_numbers(values, what)
    twice = next((uid for uid, times in Counter(uids).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{what}: two rows have number {twice}; leave the copies of a row out")
    return uids


def texts(values: Any, what: str) -> list[str]:
    """Return a column of text, such as paths; bytes that are no UTF-8 stay what they are on disk.

    Raises
    ------
    InputError
        They are no text, or cannot be names of files.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "SUO" or array.ndim != 1:
        raise InputError(f"{what}: not a column of text; write the dataset again")
    found = [os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in array]
    if any("\0" in text for text in found):
        raise InputError(f"{what}: a text holds a zero byte; write the dataset again")
    return found


def resolve(path: str, project_dir: Path, dataset_dir: Path | None = None) -> Path:
    """Return where a file is that a dataset names.

    Parameters
    ----------
    path : str
        As in the dataset.
    project_dir : Path
        Folder of the project.
    dataset_dir : Path, optional
        Folder of the dataset, for paths with ">"; without it those start at the project, too.
    """
    name = path.removeprefix(_BESIDE)
    if name == path or dataset_dir is None:
        return project_dir / name
    beside = dataset_dir / name
    return beside if os.path.exists(beside) else project_dir / name


def moved(table: Table, project_dir: Path, dataset_dir: Path, folder: Path) -> Table:
    """Return the rows of a dataset as they are right in another folder: with paths that lead back.

    Parameters
    ----------
    table : structured array (n,)
        Rows of a dataset in `dataset_dir`.
    project_dir, dataset_dir : Path
        As for `resolve`.
    folder : Path
        Of the new dataset.
    """
    new = {}
    for name in table.dtype.names or ():
        if table[name].dtype.kind in "SU" and table[name].ndim == 1:
            values = texts(table[name], name)
            if any(value.startswith(_BESIDE) for value in values):
                new[name] = [_led_back(v, project_dir, dataset_dir, folder) for v in values]
    return with_fields(table, new)


def _led_back(value: str, project_dir: Path, dataset_dir: Path, folder: Path) -> str:
    if not value.startswith(_BESIDE):
        return value
    return _BESIDE + os.path.relpath(resolve(value, project_dir, dataset_dir), folder)


def _as_stored(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    return np.array([os.fsencode(each) for each in array]) if array.dtype.kind == "U" else array
