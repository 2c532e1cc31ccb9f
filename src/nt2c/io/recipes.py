"""Recipes: settings in TOML files."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.settings import Settings
from nt2c.io.files import read_bytes

S = TypeVar("S", bound=Settings)
_LARGEST_BYTES = 64 << 10
_LONGEST_LINE = 2000


def recipe_folder() -> Path:
    """Folder of the recipes that come with nt2c: in the package, or in the source tree."""
    packaged = Path(str(resources.files("nt2c") / "recipes"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "recipes"


def read_settings(path: Path | str, cls: type[S]) -> S:
    """Return the settings of class `cls` that the TOML file `path` holds.

    With `base = "NAME"` it says only what differs from another recipe: one that comes with nt2c, or
    a file beside it (`base = "my.toml"`).

    Raises
    ------
    SettingsError
        The file is missing, not TOML or far too large, or a key or value is refused (see
        `Settings.parse`).
    """
    return cls.parse(_with_base(Path(path), ()), where=str(path))


def _with_base(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Values of a recipe over those of its base; `above` are the recipes whose base it is."""
    if path in above:
        raise SettingsError(f"{path}: is its own base; name another with 'base'")
    values = _values(path)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise SettingsError(f"{path}: 'base' = {base!r} cannot be used: give the name of a recipe")
    beside = path.parent / base
    named = recipe_folder() / f"{base}.toml"
    if not named.is_file() and not beside.is_file():
        raise SettingsError(
            f"{path}: 'base' = {base!r}: neither a recipe that comes with nt2c nor a file beside it"
        )
    return _over(_with_base(named if named.is_file() else beside, (*above, path)), values)


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Values of `base` but for those of `own`, section by section."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _over(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _values(path: Path) -> dict[str, Any]:
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
        return tomllib.loads(content.decode())
    except RecursionError:
        raise SettingsError(f"{path}: not a recipe: it is nested too deep") from None
    except ValueError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
