"""Recipes: settings in TOML files."""

import tomllib
from pathlib import Path
from typing import TypeVar

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.settings import Settings
from nt2c.io.files import read_bytes

S = TypeVar("S", bound=Settings)
_LARGEST_BYTES = 64 << 10
_LONGEST_LINE = 2000


def read_settings(path: Path | str, cls: type[S]) -> S:
    """Return the settings of class `cls` that the TOML file `path` holds.

    Raises
    ------
    SettingsError
        The file is missing, not TOML or far too large, or a key or value is refused (see
        `Settings.parse`).
    """
    try:
        content = read_bytes(path)
    except InputError as error:
        raise SettingsError(str(error)) from None
    # The parser needs memory and time with the square of a line's length.
    if (
        len(content) > _LARGEST_BYTES
        or max(map(len, content.splitlines()), default=0) > _LONGEST_LINE
    ):
        raise SettingsError(
            f"{path}: not a recipe: it may have {_LARGEST_BYTES:,} bytes, and {_LONGEST_LINE:,} in "
            "a line"
        )
    try:
        values = tomllib.loads(content.decode())
    except RecursionError:
        raise SettingsError(f"{path}: not a recipe: it is nested too deep") from None
    except ValueError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    return cls.parse(values, where=str(path))
