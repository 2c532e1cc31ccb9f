"""Results as JSON: one object in a file, or one object per line in a log that only grows."""

import errno
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, name_file, read_bytes

_Kind = TypeVar("_Kind")


def checked(kind: type[_Kind], values: object, where: Path | str) -> _Kind:
    """Return what a file holds as a dataclass or a `Record`.

    Raises
    ------
    InputError
        It is another kind of file, or of another version of nt2c.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{where}: not as this version of nt2c writes it: '{key}': {first['msg']}; "
            "run the command that made it again"
        ) from None


class Record(BaseModel):
    """Base of what is read again: immutable; what is not declared is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    @classmethod
    def of(cls, values: Mapping[str, Any], where: Path | str) -> Self:
        """Return the record that a file holds; errors are those of `checked`."""
        return checked(cls, values, where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; errors are those of `of`, or that it cannot be read."""
        return cls.of(read_json(path), path)

    def replace(self, **changes: Any) -> Self:
        """Return this record with some fields changed."""
        return self.model_validate(self.model_dump(exclude_unset=True) | changes)


def append_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Append `record` as one JSON line; the file and its folder are made when missing.

    Numbers that are not finite become null, numpy and torch values become numbers or lists, paths
    become text. One process writes to a log at a time: a line torn by a killed process is cut off.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = _line(record).encode()
    try:
        with path.open("a+b", buffering=0) as file:
            _cut_torn_line(file.fileno())
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        name_file(error, path)
        raise


def read_records(path: Path | str) -> list[dict[str, Any]]:
    """Return the records of a log in order; a last line without its end is not a record yet.

    Raises
    ------
    InputError
        The file does not exist or cannot be read, or a line is not a JSON object.
    """
    lines = read_bytes(path).split(b"\n")[:-1]
    return [parse_json(line, f"{path}: line {n}") for n, line in enumerate(lines, start=1)]


def write_records(path: Path | str, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a log anew, whole or not at all; one line each, as `append_record` makes it."""
    text = "".join(_line(record) for record in records)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path | str) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises
    ------
    InputError
        The file does not exist or cannot be read, or does not hold a JSON object.
    """
    return parse_json(read_bytes(path), str(path))


def parse_json(content: str | bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that a text holds.

    Parameters
    ----------
    content : str or bytes
        The text; bytes are UTF-8.
    where : str
        What it comes from, for the message.

    Raises
    ------
    InputError
        It is not JSON, nested deeper than Python can go, or not an object.
    """
    try:
        value = json.loads(content.decode() if isinstance(content, bytes) else content)
    except RecursionError:
        raise InputError(f"{where} is nested too deep; nt2c did not write this") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} is not a JSON object")
    return value


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all, converted as in `append_record`.

    Dataclasses and records become objects.
    """
    text = json.dumps(_plain(value), allow_nan=False, indent=2) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(_plain(record), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json", exclude_unset=isinstance(value, Record)))
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


def _cut_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
