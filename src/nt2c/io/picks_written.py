"""Picks written for other programs, all in pixels of the raw micrographs.

RELION and topaz take centres, EMAN and crYOLO the first corner of a box, CryoSPARC fractions of the
micrograph. Positions are rounded where a program cuts the fraction off.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nt2c.io.cs import write_cs
from nt2c.io.files import atomic_path
from nt2c.io.inputs import MicrographInput, split_ending
from nt2c.io.star_text import STAR_HEADER, star_loop, write_star_text

AUTOPICK = "autopick.star"
SELECTED = "micrographs_selected.star"
PICKS = "picks.csv"
PICKS_COLUMNS = ("micrograph", "x_px", "y_px", "score", "q", "diameter_a")
_JOB = re.compile(r"^[^/]+/job\d{3,}/")
_BOX_DIAMETERS = 1.5
_CBOX = ("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Depth", "EstWidth",
         "EstHeight", "Confidence", "NumBoxes", "Angle")  # fmt: skip


@dataclass(frozen=True)
class MicrographPicks:
    """Picks of one raw micrograph.

    Attributes
    ----------
    item : MicrographInput
        The micrograph.
    pixel_size_a : float
        Its pixel size in angstrom.
    shape : (int, int)
        Its rows and columns.
    yx_px : array (n, 2)
        Centres in its pixels, numbered from 0.
    score, q, diameter_px : array (n,)
        Figure of merit, least share of noise among the picks if it is taken, and diameter in pixels
        of the micrograph.
    """

    item: MicrographInput
    pixel_size_a: float
    shape: tuple[int, int]
    yx_px: Float[np.ndarray, "n 2"]
    score: Float[np.ndarray, " n"]
    q: Float[np.ndarray, " n"]
    diameter_px: Float[np.ndarray, " n"]

    @property
    def name(self) -> str:
        """Its path as RELION wants it: relative to the current folder if it lies below."""
        full, here = Path(os.path.abspath(self.item.path)), Path.cwd()
        return (full.relative_to(here) if full.is_relative_to(here) else full).as_posix()

    @property
    def stem(self) -> str:
        """Path of its outputs without an ending."""
        return split_ending(self.item.output_name)[0]


def write_picks(folder: Path, micrographs: Sequence[MicrographPicks]) -> None:
    """Write the picks of a set for all programs, each file whole or not at all.

    `picks.csv`, which has the q-values; `autopick.star` with one STAR file of coordinates for each
    micrograph (RELION 3.1 finds them by their names, later ones by the list),
    `cryosparc/picks.cs`, `eman/NAME.box`, `cryolo/NAME.cbox` and `topaz/picks.txt`.
    """
    rows = []
    for one in micrographs:
        path = folder / coordinates_name(one)
        _make_room(path)
        _write_coordinates(path, one)
        rows.append((one.name, _as_listed(path)))
        _write_text(folder / "eman" / f"{one.stem}.box", _box_lines(one))
        _write_text(folder / "cryolo" / f"{one.stem}.cbox", [_cbox(one)])
    columns = ("rlnMicrographName", "rlnMicrographCoordinates")
    write_star_text(folder / AUTOPICK, STAR_HEADER + star_loop("coordinate_files", columns, rows))
    _write_text(folder / PICKS, _csv_lines(micrographs))
    _write_text(folder / "topaz" / "picks.txt", _topaz_lines(micrographs))
    _make_room(folder / "cryosparc" / "picks.cs")
    write_cs(folder / "cryosparc" / "picks.cs", _cs_table(micrographs))


def coordinates_name(one: MicrographPicks) -> str:
    """Return where RELION looks for the coordinates of a micrograph, in the folder of a job."""
    name = one.name if not os.path.isabs(one.name) else one.item.output_name
    return split_ending(_JOB.sub("", name))[0] + "_autopick.star"


def _as_listed(path: Path) -> str:
    full, here = Path(os.path.abspath(path)), Path.cwd()
    return (full.relative_to(here) if full.is_relative_to(here) else full).as_posix()


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)


def _write_text(path: Path, lines: Iterable[str]) -> None:
    _make_room(path)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_coordinates(path: Path, one: MicrographPicks) -> None:
    columns = ["rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"]
    rows = [
        (f"{x:.1f}", f"{y:.1f}", f"{score:.6f}")
        for (y, x), score in zip(one.yx_px.round(), one.score, strict=True)
    ]
    write_star_text(path, STAR_HEADER + star_loop("", columns, rows))


def _boxes(one: MicrographPicks) -> list[tuple[int, int, int]]:
    """Corner (x, y) and even side of a box around each pick."""
    sides = (2 * np.ceil(_BOX_DIAMETERS * one.diameter_px / 2)).astype(int)
    corners = (one.yx_px.round() - sides[:, None] / 2).astype(int)
    return [(int(x), int(y), int(side)) for (y, x), side in zip(corners, sides, strict=True)]


def _box_lines(one: MicrographPicks) -> list[str]:
    return [f"{x}\t{y}\t{side}\t{side}" for x, y, side in _boxes(one)]


def _cbox(one: MicrographPicks) -> str:
    rows = [
        (*map(str, (x, y)), "<NA>", str(side), str(side), "<NA>", f"{d:.1f}", f"{d:.1f}",
         f"{score:.6f}", "<NA>", "<NA>")
        for (x, y, side), d, score in zip(_boxes(one), one.diameter_px, one.score, strict=True)
    ]  # fmt: skip
    head = "data_global\n\n_cbox_format_version 1.0\n\n"
    return head + star_loop("cryolo", _CBOX, rows)


def _topaz_lines(micrographs: Sequence[MicrographPicks]) -> Iterable[str]:
    yield "image_name\tx_coord\ty_coord\tscore"
    for one in micrographs:
        name = Path(one.stem).name
        for (y, x), score in zip(one.yx_px.round().astype(int), one.score, strict=True):
            yield f"{name}\t{x}\t{y}\t{score:.6f}"


def _csv_lines(micrographs: Sequence[MicrographPicks]) -> Iterable[str]:
    yield ",".join(PICKS_COLUMNS)
    for one in micrographs:
        name = f'"{one.name}"'.replace('"', '""')[1:-1] if set(one.name) & set(',"') else one.name
        columns = (one.yx_px[:, 1], one.yx_px[:, 0], one.score, one.q)
        for *values, diameter_px in zip(*columns, one.diameter_px, strict=True):
            numbers = ",".join(
                f"{value:.6g}" for value in (*values, diameter_px * one.pixel_size_a)
            )
            yield f"{name},{numbers}"


def _cs_table(micrographs: Sequence[MicrographPicks]) -> np.ndarray:
    """Rows of particles as CryoSPARC imports them; its own TIFF files begin with the first row."""
    longest = max([1, *(len(os.fsencode(one.name)) for one in micrographs)])
    columns = [
        ("uid", "<u8"), ("location/micrograph_uid", "<u8"), ("location/exp_group_id", "<u4"),
        ("location/micrograph_path", f"S{longest}"), ("location/micrograph_shape", "<u4", (2,)),
        ("location/micrograph_psize_A", "<f4"), ("location/center_x_frac", "<f4"),
        ("location/center_y_frac", "<f4"), ("pick_stats/ncc_score", "<f4"),
    ]  # fmt: skip
    table = np.zeros(sum(len(one.score) for one in micrographs), columns)
    start = 0
    for one in micrographs:
        part = table[start : start + len(one.score)]
        start += len(part)
        rows, columns_px = one.shape
        y = one.yx_px[:, 0]
        if split_ending(one.item.path.name)[1].lower().startswith(".tif"):
            y = rows - 1 - y
        part["uid"] = [_number(f"{one.name} {i}") for i in range(len(part))]
        part["location/micrograph_uid"] = _number(one.name)
        part["location/micrograph_path"] = os.fsencode(one.name)
        part["location/micrograph_shape"] = one.shape
        part["location/micrograph_psize_A"] = one.pixel_size_a
        part["location/center_x_frac"] = one.yx_px[:, 1] / columns_px
        part["location/center_y_frac"] = y / rows
        part["pick_stats/ncc_score"] = one.score
    return table


def _number(text: str) -> int:
    """Return a number that stands for a text, always the same."""
    return int.from_bytes(hashlib.sha256(os.fsencode(text)).digest()[:8], "little")
