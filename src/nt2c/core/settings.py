"""Typed, frozen settings that refuse unknown keys and name the nearest known one."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from nt2c.core.errors import SettingsError

_SHOWN = 20


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys, finite numbers, defaults checked too.

    Subclasses declare fields with types, defaults and units in the names. Sections are fields whose
    type is another `Settings` class.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "settings") -> Self:
        """Check `values` and return the settings.

        Parameters
        ----------
        values : mapping
            Keys and values, sections nested.
        where : str
            What the values come from (a file, an option), for the error message.

        Raises
        ------
        SettingsError
            A key is unknown or missing, or a value has the wrong type or range. The message has one
            line for each problem, with `where`, the dotted path and the nearest valid key.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = error.errors()
            lines = [_explain(cls, detail, where) for detail in problems[:_SHOWN]]
            if len(problems) > _SHOWN:
                lines.append(f"{where}: {len(problems) - _SHOWN} more of the kind")
            raise SettingsError("\n".join(lines)) from None

    def replace(self, *, where: str = "settings", **changes: Any) -> Self:
        """Return these settings with some changed, checked as all are.

        What was not set stays so: `model_fields_set` tells what a user has chosen.

        Parameters
        ----------
        where : str
            What the changes come from, for the error message.
        **changes
            Values of fields of this class; sections as a whole.

        Raises
        ------
        SettingsError
            As `parse` does.
        """
        return self.parse(self.model_dump(exclude_unset=True) | changes, where)


def _explain(cls: type[Settings], detail: ErrorDetails, where: str) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key '{path}'; {_advice(cls, path)}"
    if detail["type"] == "missing":
        return f"{where}: '{path}' is missing and has no default; add it"
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return f"{where}: {message}"
    return f"{where}: '{path}' = {detail['input']!r} cannot be used: {message}"


def _advice(cls: type[Settings], path: str) -> str:
    """Return "did you mean ..." for the nearest key, of the same section before any other."""
    known = list(_dotted_keys(cls))
    section, _, name = path.rpartition(".")
    siblings = [key for key in known if key.rpartition(".")[0] == section]
    near = difflib.get_close_matches(path, siblings, n=1, cutoff=0.6)
    if not near:
        elsewhere = {key.rpartition(".")[2]: key for key in reversed(known)}
        near = [elsewhere[n] for n in difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.6)]
    if near:
        return f"did you mean '{near[0]}'?"
    if siblings:
        return f"known here: {', '.join(siblings)}"
    return f"known keys: {', '.join(known)}"


def _dotted_keys(cls: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in cls.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _dotted_keys(field.annotation, f"{prefix}{name}.")
