"""Which raw micrograph a pick on a denoised one belongs to, and by how much its grid is finer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.io.inputs import MicrographInput
from nt2c.io.matching import by_stem, picked_on
from nt2c.io.micrographs import open_micrograph

_OTHER_FIELD = 0.02


@dataclass(frozen=True)
class Target:
    """The raw micrograph to extract from.

    Attributes
    ----------
    name : str
        Its path as files of picks give it: relative to the current folder if it lies below.
    scale_x, scale_y : float
        Pixels of the raw micrograph in one pixel of the picked one. Pixels are numbered from 0 and
        the centres of the first ones coincide, so a position only has to be multiplied.
    shape : (int, int)
        Rows and columns of the raw micrograph.
    """

    name: str
    scale_x: float
    scale_y: float
    shape: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixel size of the picked micrograph in those of the raw one."""
        return float((self.scale_x * self.scale_y) ** 0.5)


class Targets:
    """Finds raw micrographs by the names of those picked on.

    Parameters
    ----------
    raw : sequence of MicrographInput
        Raw micrographs, from `find_inputs`.
    denoised : sequence of MicrographInput
        Micrographs picked on, for their size; not needed where the picks give paths that exist.
    scale : float, optional
        Pixels of a raw micrograph in one unit of the picks; by default the sizes of the files tell.
    """

    def __init__(
        self,
        raw: Sequence[MicrographInput],
        denoised: Sequence[MicrographInput] = (),
        scale: float | None = None,
    ) -> None:
        self._raw = by_stem([item.path for item in raw])
        self._denoised = by_stem([item.path for item in denoised])
        self._scale = scale
        self._found: dict[str, Target | InputError] = {}

    def find(self, name: str, source: Path) -> Target:
        """Return the raw micrograph of a denoised one, given its path or name, with or without end.

        `source` is the file of picks that names it.

        Names fit as `picked_on` says.

        Raises
        ------
        InputError
            No raw micrograph or several fit, or its size or that of the picked one is not known.
        """
        if name not in self._found:
            try:
                self._found[name] = self._find(name)
            except InputError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, InputError):
            raise InputError(f"{source}: {found}") from found
        return found

    def _find(self, name: str) -> Target:
        raw = picked_on(name, self._raw)
        if raw is None:
            raise InputError(
                f"'{name}': none of the raw micrographs has this name; check --raw (a file of "
                "coordinates bears the name of its micrograph)"
            )
        shape = _shape(raw)
        picked = picked_on(name, self._denoised) or Path(name)
        sizes_tell = os.path.isfile(picked)
        if not (self._scale or sizes_tell):
            raise InputError(
                f"'{name}': the size of the micrograph picked on is not known; give the denoised "
                "micrographs with --denoised, or --scale"
            )
        x, y = _ratios(shape, raw, picked) if sizes_tell else (self._scale or 1.0,) * 2
        if self._scale and max(abs(x / self._scale - 1), abs(y / self._scale - 1)) > _OTHER_FIELD:
            raise InputError(
                f"'{name}': --scale {self._scale:g}, but {raw} has {x:.4g} times its pixels; leave "
                "--scale out"
            )
        if (x, y) != (1.0, 1.0) and os.path.isfile(name) and os.path.samefile(name, raw):
            raise InputError(
                f"'{name}': the picks name the raw micrograph itself, so their positions must be "
                "those on it already; give the picks that were made on the denoised one"
            )
        return Target(_relative(raw), x, y, shape)


def _ratios(shape: tuple[int, int], raw: Path, picked: Path) -> tuple[float, float]:
    """Return how many times the columns and rows of a micrograph the raw one has."""
    (rows, columns), (own_rows, own_columns) = shape, _shape(picked)
    x, y = columns / own_columns, rows / own_rows
    if abs(x / y - 1) > _OTHER_FIELD:
        raise InputError(
            f"{picked}: {own_columns} x {own_rows} pixels are not the field of {raw} "
            f"({columns} x {rows}); give the micrographs that belong together"
        )
    return x, y


def _relative(path: Path) -> str:
    full = Path(os.path.abspath(path))
    here = Path.cwd()
    return (full.relative_to(here) if full.is_relative_to(here) else full).as_posix()


def _shape(path: Path) -> tuple[int, int]:
    with open_micrograph(path, 1.0) as micrograph:  # of any pixel size: only the shape is wanted
        return micrograph.shape
