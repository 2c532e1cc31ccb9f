"""What a person sees of a run in stages: a bar at work, a sentence when a stage is done."""

import time
from typing import Self

from rich.progress import TaskID

from nt2c.cli.progress import PlainConsole, progress_bar

_LINE_EVERY_S = 60.0
_SMOOTHING = 0.98


class ConsoleWatch:
    """Shows the stages on a terminal as bars; elsewhere as a line when each begins and ends,
    and one a minute.

    Parameters
    ----------
    quiet : bool
        Show nothing, since another process does.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = PlainConsole(quiet=quiet)
        self._bar = progress_bar(self._console, disable=not self._console.is_terminal)
        self._task: TaskID | None = None
        self._stage = ""
        self._total: int | None = None
        self._loss: float | None = None
        self._heard = False
        self._said = 0.0

    def __enter__(self) -> Self:
        """Start showing."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what has been said, without the bar."""
        self._end_bar()
        self._bar.stop()

    def begin(self, stage: str, total: int | None) -> None:
        """Show that a stage is at work on `total` items, if that is known."""
        self._end_bar()
        self._stage, self._total, self._loss, self._heard = stage, total, None, False
        self._said = time.monotonic()
        self._task = self._bar.add_task(stage, total=total)
        if not self._console.is_terminal:
            self._console.print(f"{stage} ...")

    def expect(self, total: int) -> None:
        """Show how many items the stage turned out to have."""
        self._total = total
        if self._task is not None:
            self._bar.update(self._task, total=total)

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        """Show how far the stage is, on which item, and the running mean of its loss."""
        if loss is not None:
            last = loss if self._loss is None else self._loss
            self._loss = _SMOOTHING * last + (1 - _SMOOTHING) * loss
            note = f"loss {self._loss:.4f}"
        if done > 1 and not self._heard:  # an earlier run did what came before
            self._console.print(f"{self._stage} goes on from {done - 1}/{self._total}")
        self._heard = True
        if self._task is not None:
            self._bar.update(self._task, completed=done, description=f"{self._stage} {note}")
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY_S:
            self._said = time.monotonic()
            self._console.print(f"{self._stage} {done}/{self._total} {note}".rstrip())

    def verdict(self, stage: str, text: str, seconds: float, *, reused: bool) -> None:
        """Say what came out of a stage."""
        self._end_bar()
        took = "done before" if reused else _duration(seconds)
        self._console.print(f"{stage:<9} {text} ({took})")

    def warn(self, text: str) -> None:
        """Say what the user should know."""
        self._console.print(f"warning: {text}")

    def _end_bar(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
