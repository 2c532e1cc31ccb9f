"""What the commands say.

Names of files are shown there, and never obeyed: a terminal takes control characters for orders,
and not every name is text.
"""

import typer

from nt2c.core.words import printable


def say(text: str) -> None:
    """Print a line."""
    typer.echo(printable(text))


def warn(text: str, colour: str = "red") -> None:
    """Print a line to the standard error, in colour on a terminal."""
    typer.secho(printable(text), err=True, fg=colour)
