"""A few pages as PDF, for programs that show a log of each job."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nt2c.core.words import printable
from nt2c.io.files import atomic_path
from nt2c.report.figures import grey_limits, shrink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE_IN = (8.27, 11.69)
_LINES = 60
_COLUMNS = 95
_LONGEST_PX = 1000

Pair = tuple[str, NDArray[np.float32], NDArray[np.float32]]


def write_logfile(
    path: Path | str, title: str, lines: Sequence[str], pairs: Iterable[Pair] = ()
) -> None:
    """Write what was done as a PDF file, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write.
    title : str
        Heading.
    lines : sequence of str
        What is to be said; long ones are wrapped, and pages added.
    pairs : iterable of (str, array, array)
        Name of a micrograph and its raw and denoised image, shape (y, x): a page each.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    title = printable(title)
    wrapped = [part for line in lines for part in textwrap.wrap(printable(line), _COLUMNS) or [""]]
    with atomic_path(path) as temporary, PdfPages(temporary, metadata={"Title": title}) as pages:
        for start in range(0, max(1, len(wrapped)), _LINES):
            figure = _page(title)
            text = "\n".join(wrapped[start : start + _LINES])
            figure.text(0.08, 0.93, text, va="top", family="monospace", size=8, parse_math=False)
            pages.savefig(figure)
        for pair in pairs:
            pages.savefig(_comparison(title, pair))


def _page(title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PAGE_IN)
    figure.text(0.08, 0.95, title, size=12, weight="bold", parse_math=False)
    return figure


def _comparison(title: str, pair: Pair) -> "Figure":
    name, *images = pair
    figure = _page(title)
    for row, (label, image) in enumerate(zip(("raw", "denoised"), images, strict=True)):
        small = shrink(image, _LONGEST_PX)
        low, high = grey_limits(small)
        axes = figure.add_axes((0.08, 0.49 - 0.45 * row, 0.84, 0.42))
        axes.imshow(small, cmap="gray", vmin=low, vmax=high)
        axes.set_title(printable(f"{label}: {name}"), size=8, parse_math=False)
        axes.set_axis_off()
    return figure
