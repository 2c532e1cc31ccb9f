"""Commands from settings: a class of settings is what a command takes, its fields the options.

The description of a field is the help, its default the default. The name of the option is that of
the field without its unit, and the unit what stands for the value in the help: `pixel_size_a` is
`--pixel-size A`. Fields that are settings themselves give their options to the command; a field
without a description is none. The work is a function that is named, and imported when the options
are sound.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Self, get_args, get_origin

import typer
from pydantic import BeforeValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from nt2c.cli.help import PlainCommand
from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings

_UNITS = ("_e_per_a2", "_file", "_um", "_gb", "_a", "_s")
_SHORT = {"--output": "-o"}
_WORDS = {str: "WORD", int: "N", float: "X", Path: "PATH"}
_SIMPLE = (str, int, float, bool, Path)


class Command(Settings):
    """Base of what a command takes; the docstring of a subclass is its help."""

    work: ClassVar[str]
    """Function that is called with the settings, "module:name"; returns the exit code or None."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """Fields that are given without a name, in order."""
    flags: ClassVar[Mapping[str, str]] = {}
    """Options that are not named as their fields are."""
    resumes: ClassVar[bool] = False
    """Whether the same command goes on where it was interrupted."""
    parser: ClassVar[type[PlainCommand]] = PlainCommand
    """Reads the words."""

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self:
        """Return the settings for the values of the options.

        Raises
        ------
        SettingsError
            A value cannot be used, or some do not go together; there is a line for each.
        """
        options = {option.name: option for option in options_of(cls)}
        values: dict[str, Any] = {}
        for name, option in options.items():
            section = values
            for key in option.sections:
                section = section.setdefault(key, {})
            if given[name] is not None and given[name] != option.field.default:
                section[name] = given[name]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_explain(options, detail) for detail in error.errors()]
        raise SettingsError("\n".join(dict.fromkeys(lines)))

    @classmethod
    def of_words(cls, words: Sequence[str], name: str) -> Self:
        """Return the settings for words as after the name of the command; errors as there."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cls=cls.parser)(command_of(cls))
        return cls.of_options(typer.main.get_command(app).make_context(name, list(words)).params)

    @classmethod
    def in_words_of_options(cls, message: str) -> str:
        """Return a message with the options in the place of 'names' of settings in quotes."""
        flags = {one.name: one.short or one.flag for one in options_of(cls)}
        return re.sub(r"'(\w+)'", lambda found: flags.get(found[1], found[0]), message)


@dataclass(frozen=True)
class Part:
    """Which fields of settings are options of a command, and what their help begins with."""

    names: tuple[str, ...]
    prefix: str = ""


@dataclass(frozen=True)
class Option:
    """A field that is an option: its name, the sections that it lies in, its flag."""

    name: str
    field: FieldInfo
    sections: tuple[str, ...]
    flag: str
    prefix: str

    @property
    def short(self) -> str:
        """Its letter, if it has one."""
        return _SHORT.get(self.flag, "")

    def parameter(self, *, positional: bool) -> inspect.Parameter:
        """Return what typer makes an option or an argument of."""
        kind, several, optional = _kind(self.field.annotation)
        default = self.field.default
        if default is PydanticUndefined:
            default = ...
        elif several or isinstance(default, Settings):
            default = None
        text = self.field.description or ""
        settings: dict[str, Any] = {
            "help": self.prefix + (text[:1].lower() + text[1:] if self.prefix else text),
            "metavar": self.field.title or _unit(self.name) or _WORDS.get(kind),
        }
        if positional:
            info = typer.Argument(default, show_default=default not in (..., None), **settings)
        else:
            names = (self.short, self.flag) if self.short else (self.flag,)
            info = typer.Option(default, *names, **settings)
        annotation = kind | None if optional or default is None else kind
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=annotation
        )


def options_of(
    cls: type[Settings],
    sections: tuple[str, ...] = (),
    part: Part | None = None,
) -> Iterator[Option]:
    """Yield the options that settings have, those of the settings within them too."""
    flags: Mapping[str, str] = getattr(cls, "flags", {})
    for name, field in cls.model_fields.items():
        if part and name not in part.names:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            inner = next((one for one in field.metadata if isinstance(one, Part)), None)
            yield from options_of(field.annotation, (*sections, name), inner)
        elif field.description:
            plain = name.removesuffix(_unit_suffix(name)).replace("_", "-")
            named = name not in getattr(cls, "arguments", ())
            flag = flags.get(name, f"--{plain}" if named else plain)
            yield Option(name, field, sections, flag, part.prefix if part else "")


def command_of(cls: type[Command]) -> Callable[..., int | None]:
    """Return a function with the options of a command, as typer takes it."""

    def command(**given: Any) -> int | None:
        settings = cls.of_options(given)  # before anything that computes is loaded
        result: int | None = load(cls.work)(settings)
        return result

    positional = {name: place for place, name in enumerate(cls.arguments)}
    options = sorted(options_of(cls), key=lambda one: positional.get(one.name, len(positional)))
    parameters = [one.parameter(positional=one.name in positional) for one in options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = cls.__doc__
    return command


def load(place: str) -> Any:
    """Import what "module:name" stands for."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _kind(annotation: Any) -> tuple[Any, bool, bool]:
    """Type of the words of an option; whether there may be several; whether there may be none."""
    choices = get_args(annotation)
    optional = NoneType in choices
    if optional:
        annotation = next(choice for choice in choices if choice is not NoneType)
    while hasattr(annotation, "__metadata__"):
        if any(isinstance(one, BeforeValidator) for one in annotation.__metadata__):
            return str, False, optional  # it reads words itself
        annotation = annotation.__origin__
    if get_origin(annotation) is tuple and get_args(annotation)[-1] is ...:
        return list[get_args(annotation)[0]], True, optional  # type: ignore[misc]
    known = annotation in _SIMPLE or get_origin(annotation) in (list, tuple)
    return annotation if known else str, False, optional


def _unit_suffix(name: str) -> str:
    return next((unit for unit in _UNITS if name.endswith(unit)), "")


def _unit(name: str) -> str | None:
    unit = _unit_suffix(name)
    return unit[1:].upper() or None


def _explain(options: Mapping[str, Option], detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    option = next((options[key] for key in map(str, detail["loc"]) if key in options), None)
    if option is None:
        return message
    if detail["type"] == "literal_error":
        message = "use " + detail["ctx"]["expected"].replace("'", "")
    value = detail["input"]
    shown = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
    shown = f"{shown:g}" if isinstance(shown, float) else shown
    return f"{option.flag} {shown}: {message.replace('Input should be', 'must be')}"
