"""The folder of an extraction: windows, their places, the micrographs they are from, a summary.

It holds `windows.npy` (n, side, side), `windows.csv` with their places, `summary.json`, and in
`prepared/` the micrographs at the working pixel size in units of their noise (float16); on request
`raw/` holds the windows at the pixel size of their micrographs (see `raw_windows`), and `overlays/`
pictures of them (see `nt2c.report.windows`).
"""

import csv
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.files import atomic_path
from nt2c.pipeline.window_choice import Choice

PREPARED = "prepared"
RAW = "raw"
OVERLAYS = "overlays"
PLACES = "windows.csv"
COLUMNS = ("micrograph", "y_px", "x_px", "size_px", "y_a", "x_a", "evidence")


def clear(folder: Path) -> None:
    """Make the folder, without what an earlier extraction left in it; other files stay.

    Raises
    ------
    SettingsError
        Its summary.json is that of another command, or cannot be read.
    """
    summary = folder / "summary.json"
    if summary.exists() and not _is_ours(summary):
        raise SettingsError(
            f"{summary}: is not of an extraction, and would be lost; give another folder with -o"
        )
    (folder / PREPARED).mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "windows.npy", PLACES):
        (folder / name).unlink(missing_ok=True)
    for path in prepared_paths(folder):
        (folder / RAW / path.name).unlink(missing_ok=True)
        (folder / OVERLAYS / f"{path.stem}.png").unlink(missing_ok=True)
        path.unlink()
    with suppress(OSError):  # others may keep files there
        (folder / RAW).rmdir()


def _is_ours(summary: Path) -> bool:
    try:
        return "size_px" in json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def write_prepared(folder: Path, name: str, scaled: Tensor) -> None:
    """Keep a micrograph (y, x) at the working pixel size, in units of its noise."""
    with atomic_path(folder / PREPARED / f"{name}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, scaled.cpu().numpy().astype(np.float16))


def prepared_paths(folder: Path) -> list[Path]:
    """Files that `write_prepared` left in `folder`, by name."""
    return sorted((folder / PREPARED).glob("*.npy"))


def load_prepared(path: Path) -> Float[Tensor, "y x"]:
    """Return a micrograph that `write_prepared` kept."""
    return torch.from_numpy(np.load(path)).float()


def write_windows(choice: Choice, folder: Path) -> Tensor:
    """Cut the windows from the micrographs that were kept; write them and their places."""
    cut: list[Tensor] = []
    rows: list[tuple[object, ...]] = []
    size = choice.size_px
    for one, windows in choice.taken:
        scaled = load_prepared(folder / PREPARED / f"{one.name}.npy")
        for y, x, evidence in zip(windows.y_px, windows.x_px, windows.evidence, strict=True):
            cut.append(scaled[y : y + size, x : x + size])
            middle = ((corner + size / 2) * one.pixel_size_a for corner in (y, x))
            rows.append((one.name, y, x, size, *(f"{a:.1f}" for a in middle), f"{evidence:.6f}"))
    stacked = torch.stack(cut)
    with atomic_path(folder / "windows.npy") as temporary, temporary.open("wb") as file:
        np.save(file, stacked.numpy())
    with (
        atomic_path(folder / PLACES) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as text,
    ):
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return stacked


@dataclass(frozen=True)
class Place:
    """Where a window was taken: name of the micrograph, top left corner and side in pixels of the
    prepared micrograph, and the sign of signal there.
    """

    micrograph: str
    y_px: int
    x_px: int
    size_px: int
    evidence: float


def read_places(folder: Path) -> list[Place]:
    """Places of the windows, in their order."""
    with (folder / PLACES).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [
            Place(
                row["micrograph"],
                int(row["y_px"]),
                int(row["x_px"]),
                int(row["size_px"]),
                float(row["evidence"]),
            )
            for row in csv.DictReader(file)
        ]


def load_windows(folder: Path | str) -> tuple[Float[Tensor, "n s s"], float]:
    """Return the windows of an extraction, (n, side, side), and their pixel size in angstrom.

    Raises
    ------
    InputError
        The folder holds no finished extraction.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        windows = np.load(folder / "windows.npy")
        return torch.from_numpy(windows.astype(np.float32)), float(summary["pixel_size_a"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: no finished extraction of noise; make one with nt2c extract-noise"
        ) from None
