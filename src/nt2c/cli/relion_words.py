"""Options as RELION's external jobs give them.

RELION writes `--label value` for each field of its window, only `--label` where the field is empty,
and adds options of its own. A job must not fail because of one that it does not know, but for one
that the user seems to have misspelt; and when it does fail RELION has to hear of it.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from nt2c.cli.help import PlainCommand
from nt2c.cli.terminal import say
from nt2c.hosts.relion_end import tell_failure

RELIONS_OWN = ("--in_movies", "--in_parts", "--in_coords", "--in_mask")
"""Inputs that RELION's external job can name and that nt2c has no use for."""

_SILENT = "--pipeline_control"
"""RELION's own, always given."""

_YES = {"", "yes", "true", "1"}
_NEAR = 0.8


class RelionCommand(PlainCommand):
    """A command that takes its options from RELION."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Drop empty and unknown options, name the unknown ones, and parse the others."""
        flags = {name: bool(option.is_flag) for option in _options(self) for name in option.opts}
        flags |= dict.fromkeys(self.get_help_option_names(ctx), True)
        leading, groups = _grouped(args)
        groups = [(name, values) for name, values in groups if name != _SILENT]
        kept = [*leading]
        for name, values in groups:
            known = _known(name, flags)
            if known is None:
                if near := _misspelt(name, flags):
                    _tell_relion(groups)
                    raise typer.BadParameter(
                        f"{name}: no such parameter; did you mean {near}?", ctx
                    )
                say(f"note: {' '.join([name, *values])}: not known, ignored")
            elif flags[known]:
                kept += [known] if " ".join(values).lower() in _YES else []
            elif values:
                kept += [known, *values]
        try:
            return super().parse_args(ctx, kept)
        except Exception as error:
            if getattr(error, "exit_code", 1):  # 0: help was asked for
                _tell_relion(groups)
            raise


def _options(command: PlainCommand) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def _grouped(words: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Split words into those before the first option, and each option with what follows it."""
    leading: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            groups.append((name, [value] if equals else []))
        elif groups:
            groups[-1][1].extend([word] if word else [])
        else:
            leading.append(word)
    return leading, groups


def _known(name: str, flags: dict[str, bool]) -> str | None:
    """Return the option that a name stands for; "_" and "-" are the same in it."""
    alike = {option.replace("_", "-"): option for option in flags}
    return alike.get(name.replace("_", "-"))


def _misspelt(name: str, flags: dict[str, bool]) -> str | None:
    """Return the option that a user may have meant by a name that is none."""
    if name in RELIONS_OWN:
        return None
    plain = {_plain(option): option for option in flags}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=_NEAR)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _tell_relion(groups: list[tuple[str, list[str]]]) -> None:
    folder = next((Path(values[0]) for name, values in groups if name == "--o" and values), None)
    if folder is not None and folder.is_dir():
        tell_failure(folder)
