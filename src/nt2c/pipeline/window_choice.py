"""Which windows are taken: of one size and limit, shared out over the micrographs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.noise.extraction import ExtractionSettings, Level, Windows, window_px


@dataclass(frozen=True)
class Found:
    """A micrograph and its windows for each (level, size in pixels)."""

    path: Path
    name: str
    pixel_size_a: float
    contrast: float
    windows: dict[tuple[Level, int], Windows]


@dataclass(frozen=True)
class Choice:
    """Windows of one size and level: (micrograph, windows), and whether faint ones are in it."""

    level: Level
    size_px: int
    taken: list[tuple[Found, Windows]]
    faint: bool

    @property
    def count(self) -> int:
        """Number of windows."""
        return sum(len(windows) for _, windows in self.taken)


def choose(found: list[Found], settings: ExtractionSettings, working_a: float) -> Choice:
    """Return the strictest, then largest windows with enough of them; clear micrographs first.

    Raises
    ------
    InputError
        There are too few windows; the message says how many were found and what to change.
    """
    low, high = settings.faint
    clear = [one for one in found if not low < one.contrast < high]
    pools = [clear, found] if 0 < len(clear) < len(found) else [found]
    counts: dict[int, int] = {}
    for pool in pools:
        for level in settings.levels:
            for size in sizes_px(settings, working_a):
                taken = _shared_out([(one, one.windows[level, size]) for one in pool], settings)
                choice = Choice(level, size, taken, len(clear) < len(pool))
                if choice.count >= settings.least:
                    return choice
                counts[size] = choice.count
    listed = ", ".join(f"{count} of {size * working_a:.0f} A" for size, count in counts.items())
    raise InputError(
        f"too few windows without particles in {plural(len(found), 'micrograph')}: {listed}; "
        f"at least {settings.least} are needed. Give more micrographs or emptier ones "
        "(areas of the grid with few particles are best), smaller windows "
        "(--window of nt2c extract-noise, extraction.windows_a in a recipe), or see whether the "
        "pixel size is right"
    )


def _shared_out(
    taken: list[tuple[Found, Windows]], settings: ExtractionSettings
) -> list[tuple[Found, Windows]]:
    """Take the same number from all that have as many: `count` in all, and no one dominates.

    No micrograph gives more than three times the mean of those that give any.
    """
    counts = np.array([len(windows) for _, windows in taken])
    share = 3 / max(1, int(np.count_nonzero(counts)))
    quota = max(1, int(counts.max(initial=0)))
    while quota > 1:
        total = int(counts.clip(max=quota).sum())
        if total <= settings.count and quota <= share * total:
            break
        quota -= 1
    return [
        (one, Windows(w.y_px[:quota], w.x_px[:quota], w.size_px, w.evidence[:quota]))
        for one, w in taken
    ]


def sizes_px(settings: ExtractionSettings, working_a: float) -> list[int]:
    """Sides of the windows that are tried, in pixels of `working_a` angstrom, large to small."""
    return list(dict.fromkeys(window_px(size, working_a) for size in settings.windows_a))
