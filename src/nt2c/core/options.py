"""Kinds of values that several settings have."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from nt2c.core.limits import PIXEL_SIZE_LIMITS_A

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _plausible(size_a: float) -> float:
    low, high = PIXEL_SIZE_LIMITS_A
    if not low <= size_a <= high:
        raise ValueError(f"must be between {low:g} and {high:g} angstrom per pixel, such as 1.06")
    return size_a


def _matching(pattern: str, advice: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(advice)
        return text

    return AfterValidator(check)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("no such file; check the path")
    return path


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("no such folder; check the path")
    return path


def _seconds(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        seconds = float(given[:-1]) * _SECONDS[given[-1:]]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError("give a time such as 90s, 10m or 1.5h")
    return seconds


PIXEL_SIZE = "Pixel size in angstrom, where that in the files is wrong or missing."
"""What the option says."""

PixelSizeA = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_plausible)]
"""Of a micrograph, angstrom."""

Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A time; as text with its unit, such as "90s", "10m" or "1.5h"."""

File = Annotated[Path, AfterValidator(_file)]
Folder = Annotated[Path, AfterValidator(_folder)]
"""A file and a folder that are there."""

TrainingDevice = Annotated[str, _matching("auto|cpu|cuda", "use auto, cpu or cuda")]
"""Where a training runs; whether it is there is seen when it starts."""

Device = Annotated[str, _matching(r"auto|cpu|cuda(:\d+)?", "use auto, cpu, cuda or cuda:N")]
"""Where a network runs."""

Devices = Annotated[
    str, _matching(r"auto|cpu|cuda(:(\d+|all))?", "use auto, cpu, cuda, cuda:N or cuda:all")
]
"""Where a network runs over files; cuda:all is every GPU, with a process for each."""
