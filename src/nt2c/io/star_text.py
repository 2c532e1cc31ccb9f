"""The parser of STAR files, which changes them in place: bytes not meant to change stay.

A parser that writes what it has read loses comments, the widths of columns and the spelling of
numbers. Here values are found in the text, and only those asked for are replaced or added.

The rules are those of RELION (`metadata_table.cpp`, 3.1 to 5), which differ from those of STAR in
that a row is a line and that an empty line ends the rows. So a row may begin with anything, such as
`data_`, `_` or `;`. What RELION would leave unread without a word (a row behind the empty line, a
row with too few or too many values) is an error here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, check_regular

_TOKEN = re.compile(
    r"'(?:[^']|'(?=\S))*'|\"(?:[^\"]|\"(?=\S))*\"|[^\s#]\S*|#.*", re.ASCII
)  # white space as RELION has it: a name may hold others of Unicode
_LABEL = re.compile(r"\s*_(\S+)\s*(?:#.*)?", re.ASCII)
_VALUE = re.compile(r"\s*_(\S+)\s+[^\s#]", re.ASCII)
_BLOCK = re.compile(r"\s*(data_\S*|loop_)\s*(?:#.*)?", re.ASCII | re.IGNORECASE)
_BLANK = re.compile(r"\s*", re.ASCII)
_COMMENT = re.compile(r"\s*#", re.ASCII)
_TO_QUOTE = re.compile(r"$|[_#$'\";\[\]]|(?:data|save|loop|stop|global)_|.*\s", re.I | re.S)

STAR_HEADER = "# version 50001\n\n"
"""Stands before each block that RELION writes."""


@dataclass(frozen=True)
class StarTable:
    """A table of a STAR file: a loop, or the single values of a block, which are one row.

    Attributes
    ----------
    file : StarText
        The file that it is part of.
    block : str
        Name of the data block.
    labels : tuple of str
        Names of the columns, without the leading "_".
    label_lines : tuple of int
        Indices of the lines that they stand in.
    rows : tuple of int
        Indices of the lines that are the rows of a loop; of single values that of the first one.
    is_loop : bool
        Whether it is a loop.
    """

    file: "StarText"
    block: str
    labels: tuple[str, ...]
    label_lines: tuple[int, ...]
    rows: tuple[int, ...]
    is_loop: bool = True

    def column(self, label: str) -> list[str]:
        """Return the values of a column, without quotes.

        Raises
        ------
        InputError
            There is no such column or there are two, or a row has too few or too many values.
        """
        index = self._index(label)
        if not self.is_loop:
            return [_unquoted(self._cells(row)[index][1].group()) for row in self.rows]
        values = []
        for row in self.rows:
            words = _words(self.file.lines[row])
            self._check(row, words, len(self.labels))
            values.append(words[index])
        return values

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
        added = [label for label in changes if label not in self.labels]
        columns = sorted(
            ((self._index(label), changes[label]) for label in changes if label not in added),
            reverse=True,  # from the right, so that the places of the others stay
        )
        for number, row in enumerate(self.rows):
            cells = self._cells(row)
            for index, values in columns:
                line, token = cells[index]
                if _unquoted(token.group()) != values[number]:
                    start, end = token.span()
                    lines[line] = (
                        lines[line][:start] + star_value(values[number]) + lines[line][end:]
                    )
            more = [star_value(changes[label][number]) for label in added]
            if added and self.is_loop:
                end = _tokens(lines[row])[-1].end()
                lines[row] = " ".join([lines[row][:end], *more]) + lines[row][end:]
            elif added:
                pairs = zip(added, more, strict=True)
                lines[self.label_lines[-1]] += "".join(f"\n_{label} {new}" for label, new in pairs)
        if self.is_loop:
            for number, label in enumerate(added, start=len(self.labels) + 1):
                lines[self.label_lines[-1]] += f"\n_{label} #{number}"
        out = {row for row, stays in zip(self.rows, keep or (), strict=False) if not stays}
        dropped = out if self.is_loop or not out else set(self.label_lines)
        return "\n".join(line for number, line in enumerate(lines) if number not in dropped)

    def _index(self, label: str) -> int:
        if label not in self.labels:
            raise InputError(f"{self.file.path}: no column {label} beside {self.labels[0]}")
        if self.labels.count(label) > 1:
            raise InputError(f"{self.file.path}: two columns {label}; remove one")
        return self.labels.index(label)

    def _cells(self, row: int) -> list[tuple[int, re.Match[str]]]:
        """Return for each value of a row the index of its line and where it stands in it."""
        if not self.is_loop:
            found = [(line, _tokens(self.file.lines[line])) for line in self.label_lines]
            for line, tokens in found:
                self._check(line, tokens, 2)
            return [(line, tokens[1]) for line, tokens in found]
        tokens = _tokens(self.file.lines[row])
        self._check(row, tokens, len(self.labels))
        return [(row, token) for token in tokens]

    def _check(self, line: int, tokens: Sequence[object], expected: int) -> None:
        if len(tokens) != expected:
            raise InputError(
                f"{self.file.path}: line {line + 1} has {len(tokens)} values for "
                f"{expected} columns; write the file again"
            )


class StarText:
    """A STAR file as lines of text.

    Attributes
    ----------
    path : Path
        The file, for messages.
    lines : tuple of str
        Without their ends.
    tables : tuple of StarTable
        Loops, also without rows, and the single values of each block.

    Raises
    ------
    InputError
        A line is no part of any table: RELION would not read it.
    """

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        # RELION reads plain line ends only, and no mark of the byte order.
        self.lines = tuple(text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"))
        self.tables = tuple(self._parse())

    def table(self, *labels: str) -> StarTable | None:
        """Return the first table that has all these columns, if there is one with rows."""
        fitting = [table for table in self.tables if set(labels) <= set(table.labels)]
        return next((table for table in fitting if table.rows), next(iter(fitting), None))

    def _parse(self) -> Iterable[StarTable]:
        """Yield the tables; see the head of this module for what ends one."""
        block: str | None = None  # None before the first block, where RELION reads nothing
        labels: list[tuple[str, int]] = []
        rows: list[int] = []
        in_loop, after_blank = False, True

        def table() -> Iterable[StarTable]:
            if labels:
                names, places = zip(*labels, strict=True)
                found = tuple(rows) if in_loop else places[:1]
                yield StarTable(self, block or "", names, places, found, in_loop)

        for number, line in enumerate(self.lines):
            if _BLANK.fullmatch(line):
                after_blank = True
                if rows:  # the end of the loop
                    yield from table()
                    labels, rows, in_loop = [], [], False
                continue
            if _COMMENT.match(line):
                continue
            starts, label = _BLOCK.fullmatch(line), _LABEL.fullmatch(line)
            if starts and (not in_loop or len(labels) != 1 or (after_blank and not rows)):
                yield from table()
                labels, rows, in_loop = [], [], starts[1].lower() == "loop_"
                block = block if in_loop else starts[1][len("data_") :]
            elif in_loop and label and not rows:
                labels.append((label[1], number))
            elif in_loop and labels:
                rows.append(number)
            elif block is not None:
                single = _VALUE.match(line)
                if not single:
                    raise self._stray(number, line)
                labels.append((single[1], number))
            after_blank = False
        yield from table()

    def _stray(self, number: int, line: str) -> InputError:
        return InputError(
            f"{self.path}: line {number + 1} ('{line.strip()[:40]}') belongs to no table: RELION "
            "would leave it out, since an empty line ends the rows; remove the empty line before it"
        )


def read_star_text(path: Path | str) -> StarText:
    """Read a STAR file; bytes that are no UTF-8 survive `write_star_text`.

    Raises
    ------
    InputError
        The file cannot be read, or is no STAR file.
    """
    path = Path(path)
    check_regular(path)
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if "\0" in text:
        raise InputError(f"{path}: not a STAR file (it holds zero bytes); write it again")
    if not re.search(r"^[^\S\n]*data_", text.removeprefix("\ufeff"), re.MULTILINE | re.IGNORECASE):
        raise InputError(f"{path}: not a STAR file (no line begins with data_)")
    return StarText(text, path)


def write_star_text(path: Path | str, text: str) -> None:
    """Write the text of a STAR file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(star_bytes(text))


def star_bytes(text: str) -> bytes:
    """Return the text of a STAR file as bytes; those that were no UTF-8 are as they were read."""
    return text.encode("utf-8", "surrogateescape")


def star_value(value: str) -> str:
    """Return a value as it stands in a STAR file, in quotes where a program would misread it.

    Raises
    ------
    InputError
        It holds a line end, which no quotes keep.
    """
    if "\n" in value or "\r" in value:
        raise InputError(f"{value!r}: a line end in a value of a STAR file; rename the file")
    quote = "'" if '"' in value else '"'
    return f"{quote}{value}{quote}" if _TO_QUOTE.match(value) else value


def star_loop(block: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a data block with a loop, as RELION writes it."""
    lines = [f"data_{block}", "", "loop_"]
    lines += [f"_{column} #{number}" for number, column in enumerate(columns, start=1)]
    lines += [" ".join(map(star_value, row)) for row in rows]
    return "\n".join(lines) + "\n"


def _tokens(line: str) -> list[re.Match[str]]:
    return [token for token in _TOKEN.finditer(line) if not token.group().startswith("#")]


def _words(line: str) -> list[str]:
    """Return the values in a line; where nothing is quoted, in a small part of the time."""
    if line.isascii() and not any(mark in line for mark in "'\"#"):
        return line.split()
    return [_unquoted(token.group()) for token in _tokens(line)]


def _unquoted(token: str) -> str:
    quoted = len(token) > 1 and token[0] == token[-1] and token[0] in "'\""
    return token[1:-1] if quoted else token
