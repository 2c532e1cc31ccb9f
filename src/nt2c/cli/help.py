"""Help in words: what an argument is called, without types and braces."""

from typing import Any

from typer.core import TyperCommand


class PlainCommand(TyperCommand):
    """A command whose help is made of the metavars and helps of its parameters alone."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the name of the command in the first line."""
        names = [_name(one) for one in self.get_params(ctx) if _is_argument(one)]
        return ["[OPTIONS]", *names]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each argument and each option."""
        parameters = self.get_params(ctx)
        for title, wanted in (("Arguments", True), ("Options", False)):
            rows = [(_name(one), _help(one)) for one in parameters if _is_argument(one) == wanted]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _name(parameter: Any) -> str:
    if not _is_argument(parameter):
        flags = ", ".join(sorted(parameter.opts, key=len))
        return f"{flags} {parameter.metavar}" if parameter.metavar else flags
    name = str(parameter.metavar)
    name += "..." if parameter.nargs != 1 and not name.endswith("...") else ""
    return name if parameter.required else f"[{name}]"


def _help(parameter: Any) -> str:
    """The help, with the default; that of a switch, and of an option that has none, goes unsaid."""
    notes = []
    if parameter.required and not _is_argument(parameter):
        notes.append("required")
    default = parameter.default
    if isinstance(default, float):
        default = f"{default:g}"
    if not parameter.required and default is not False and default not in (None, (), ""):
        notes.append(f"default: {default}")
    text = str(parameter.help or "")
    return f"{text}  [{', '.join(notes)}]" if notes else text
