"""Tables in Markdown, and pages between whose markers they are put."""

from collections.abc import Iterable, Sequence

NONE = "–"
"""What stands in a table where there is nothing."""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], *, full: bool = False) -> str:
    """A table; on request `full`, without the rows that hold nothing."""
    kept = [row for row in rows if not full or any(cell != NONE for cell in row[1:])]
    lines = [head, ["---"] * len(head), *kept]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(page: str, name: str, text: str) -> str:
    """Replace what is between the markers of a name.

    Raises
    ------
    ValueError
        The page lacks them.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page lacks the markers {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
