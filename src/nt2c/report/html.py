"""One self-contained HTML page: opens from any folder, asks the network for nothing."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.version import __version__
from nt2c.io.files import atomic_path


@dataclass(frozen=True)
class Comparison:
    """A micrograph before and after, under a slider.

    Attributes
    ----------
    name : str
        What the micrograph is.
    before, after : bytes
        PNG files of the same size.
    labels : (str, str)
        What the two are.
    caption : str
        A sentence below.
    panels : sequence of (str, bytes)
        Titles and PNG files of further pictures, shown small below.
    """

    name: str
    before: bytes
    after: bytes
    labels: tuple[str, str] = ("raw", "denoised")
    caption: str = ""
    panels: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Table:
    """A small table; the first column names the row.

    Attributes
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence of str
        Cells, as they are to be read.
    emphasis : int, optional
        Index of the row to stress.
    note : str
        A line below.
    words : bool
        Cells are sentences: they start at the left, and may wrap.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    emphasis: int | None = None
    note: str = ""
    words: bool = False


@dataclass(frozen=True)
class Curve:
    """A line of a chart: values `y` over `x`, of the same length; dashed on request."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over one pair of axes, drawn by the page; `log` is the scale of y."""

    title: str
    curves: Sequence[Curve]
    x_label: str
    y_label: str
    log: bool = False


@dataclass(frozen=True)
class Browser:
    """Micrographs to filter, sort and look at.

    Attributes
    ----------
    data : str
        JSON text for the script of the page, free of "<".
    pictures : str
        All pictures in base64, one behind the other; `data` holds their lengths.
    hints : Table
        Kinds of hints, their numbers and meaning.
    """

    data: str
    pictures: str
    hints: Table


@dataclass(frozen=True)
class Section:
    """A heading with a sentence, pictures, charts and a table, each if there is one.

    Attributes
    ----------
    title, text : str
        Heading, and what is to be seen.
    pictures : sequence of (str, bytes)
        Titles and PNG files.
    table : Table, optional
        Below the pictures.
    charts : sequence of Chart
        Beside the pictures.
    """

    title: str
    text: str = ""
    pictures: Sequence[tuple[str, bytes]] = ()
    table: Table | None = None
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes
    ----------
    title : str
        Heading.
    verdict : str
        The result in plain words, one or two sentences.
    remarks : sequence of str
        What else is to be said of it, in smaller letters below.
    table : Table
        Figures behind the verdict.
    comparisons : sequence of Comparison
        Micrographs.
    details : sequence of str
        How it was made, one line each.
    sections : sequence of Section
        What comes between the table and the micrographs.
    refresh_s : int, optional
        Let a browser load the page again every so many seconds.
    browser : Browser, optional
        Micrographs by the thousand, below the table.
    """

    title: str
    verdict: str
    table: Table
    comparisons: Sequence[Comparison]
    details: Sequence[str] = ()
    remarks: Sequence[str] = ()
    sections: Sequence[Section] = ()
    refresh_s: int | None = None
    browser: Browser | None = None


def write_page(path: Path | str, page: Page) -> None:
    """Write a page to `path`, whole or not at all.

    Parameters
    ----------
    path : Path or str
        HTML file; its folder exists.
    page : Page
        Contents.
    """
    with atomic_path(Path(path)) as temporary:
        # A name of a file need not be text.
        temporary.write_text(render(page), encoding="utf-8", errors="backslashreplace")


def render(page: Page) -> str:
    """Return the HTML text of a page, pictures included."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nt2c.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embed"] = _embed
    environment.filters["plain"] = asdict
    template = environment.get_template("page.html")
    return template.render(page=page, advice=EXTRACT_FROM_RAW, version=__version__)


def _embed(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
