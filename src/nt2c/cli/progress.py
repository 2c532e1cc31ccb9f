"""The progress bar of the commands, and the console that it shares with lines of text."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from nt2c.core.words import printable


class PlainConsole(Console):
    """A console of rich that leaves lines as they are: no wraps, no markup, no control characters.

    Parameters
    ----------
    quiet : bool
        Print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(soft_wrap=True, highlight=False, markup=False, emoji=False, quiet=quiet)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console.print` does; of text, control characters are shown."""
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        super().print(*shown, **options)


def progress_bar(console: Console | None = None, *, disable: bool = False) -> Progress:
    """Return a bar with a description, the count and the time left, not started yet."""
    return Progress(
        _Description(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=disable,
    )


class _Description(ProgressColumn):
    """What is in hand, often the name of a file: brackets and control characters mean nothing."""

    def render(self, task: Task) -> Text:
        """Return it as text."""
        return Text(printable(task.description))
