"""Recipes: settings in TOML files."""

import tomllib
from pathlib import Path
from typing import TypeVar

from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings

S = TypeVar("S", bound=Settings)


def read_settings(path: Path | str, cls: type[S]) -> S:
    """Return the settings of class `cls` that the TOML file `path` holds.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, or a key or value is refused (see `Settings.parse`).
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    return cls.parse(values, where=str(path))
