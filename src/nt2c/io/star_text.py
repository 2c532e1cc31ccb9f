"""STAR files changed in place: every byte that is not meant to change stays.

A parser that writes what it has read loses comments, the widths of columns and the spelling of
numbers. Here values are found in the text, and only those asked for are replaced or added. Rows
are lines, as all programs of the field write them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path

_TOKEN = re.compile(r"'(?:[^']|'(?=\S))*'|\"(?:[^\"]|\"(?=\S))*\"|[^\s#]\S*|#.*")


@dataclass(frozen=True)
class StarTable:
    """A table of a STAR file: labels of its columns, and the lines of the file that are its rows.

    Attributes
    ----------
    file : StarText
        The file that it is part of.
    block : str
        Name of the data block.
    labels : tuple of str
        Names of the columns, without the leading "_".
    rows : tuple of int
        Indices of lines.
    last_label : int
        Index of the line of the last label.
    """

    file: "StarText"
    block: str
    labels: tuple[str, ...]
    rows: tuple[int, ...]
    last_label: int

    def column(self, label: str) -> list[str]:
        """Return the values of a column, without quotes.

        Raises
        ------
        InputError
            There is no such column, or a row has too few or too many values.
        """
        index = self._index(label)
        return [_unquoted(self._tokens(row)[index].group()) for row in self.rows]

    def replaced(
        self, changes: Mapping[str, Sequence[str]], keep: Sequence[bool] | None = None
    ) -> str:
        """Return the text of the whole file with other values in columns of this table.

        Parameters
        ----------
        changes : mapping of str to sequence of str
            New values of a column, one for each row. A column that is not there is added.
        keep : sequence of bool, optional
            Rows that stay; by default all.

        Raises
        ------
        InputError
            A row has too few or too many values.
        """
        lines = list(self.file.lines)
        known = [label for label in changes if label in self.labels]
        added = [label for label in changes if label not in self.labels]
        columns = sorted((self._index(label), changes[label]) for label in known)
        for number, row in enumerate(self.rows):
            tokens, line = self._tokens(row), lines[row]
            for index, values in reversed(columns):
                start, end = tokens[index].span()
                if _unquoted(line[start:end]) != values[number]:
                    line = line[:start] + _quoted(values[number]) + line[end:]
            if added:
                end = _tokens(line)[-1].end()
                more = [_quoted(changes[label][number]) for label in added]
                line = " ".join([line[:end], *more]) + line[end:]
            lines[row] = line
        for number, label in enumerate(added, start=len(self.labels) + 1):
            lines[self.last_label] += f"\n_{label} #{number}"
        dropped = {row for row, stays in zip(self.rows, keep or (), strict=False) if not stays}
        return "\n".join(line for row, line in enumerate(lines) if row not in dropped)

    def _index(self, label: str) -> int:
        if label not in self.labels:
            raise InputError(f"{self.file.path}: no column {label} beside {self.labels[0]}")
        return self.labels.index(label)

    def _tokens(self, row: int) -> list[re.Match[str]]:
        values = _tokens(self.file.lines[row])
        if len(values) != len(self.labels):
            raise InputError(
                f"{self.file.path}: line {row + 1} has {len(values)} values for "
                f"{len(self.labels)} columns; write the file again"
            )
        return values


class StarText:
    """A STAR file as lines of text.

    Attributes
    ----------
    path : Path
        The file, for messages.
    lines : tuple of str
        Without their ends.
    tables : tuple of StarTable
        Loops that have rows; single values are text like any other.
    """

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self.lines = tuple(text.replace("\r\n", "\n").split("\n"))  # RELION reads plain ends only
        self.tables = tuple(self._parse())

    def table(self, *labels: str) -> StarTable | None:
        """Return the first table that has all these columns."""
        fitting = (table for table in self.tables if set(labels) <= set(table.labels))
        return next(fitting, None)

    def micrographs(self) -> StarTable:
        """Return the table that lists micrographs (rlnMicrographName), as a list of RELION has it.

        Raises
        ------
        InputError
            There is none.
        """
        fitting = [table for table in self.tables if "rlnMicrographName" in table.labels]
        if not fitting:
            raise InputError(
                f"{self.path}: rlnMicrographName is no column of a loop_; write it as a table"
            )
        return next((table for table in fitting if table.block == "micrographs"), fitting[0])

    def _parse(self) -> Iterable[StarTable]:
        labels: list[str] = []
        rows: list[int] = []
        in_loop, block, last_label = False, "", 0
        for number, line in enumerate(self.lines):
            words = line.split(maxsplit=1)
            if not words or words[0].startswith("#"):
                continue
            word = words[0].lower()
            starts = word == "loop_" or word.startswith("data_")
            if rows and (starts or word.startswith("_")):
                yield StarTable(self, block, tuple(labels), tuple(rows), last_label)
                rows, in_loop = [], False
            if starts:
                labels, rows, in_loop = [], [], word == "loop_"
                block = block if in_loop else words[0][len("data_") :]
            elif word.startswith("_") and in_loop:
                labels.append(words[0][1:])
                last_label = number
            elif in_loop:
                rows.append(number)
        if rows:
            yield StarTable(self, block, tuple(labels), tuple(rows), last_label)


def read_star_text(path: Path | str) -> StarText:
    """Read a STAR file; bytes that are no UTF-8 survive `write_star_text`.

    Raises
    ------
    InputError
        The file cannot be read, or is no STAR file.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not re.search(r"^data_", text, re.MULTILINE):
        raise InputError(f"{path}: not a STAR file (no line begins with data_)")
    return StarText(text, path)


def write_star_text(path: Path | str, text: str) -> None:
    """Write the text of a STAR file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def _tokens(line: str) -> list[re.Match[str]]:
    return [token for token in _TOKEN.finditer(line) if not token.group().startswith("#")]


def _unquoted(token: str) -> str:
    quoted = len(token) > 1 and token[0] == token[-1] and token[0] in "'\""
    return token[1:-1] if quoted else token


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or re.search(r"\s|^[#'\"]", value) else value
