"""Reading TIFF micrographs, page by page.

Which way up is decided here and nowhere else. The first row of a TIFF is the top of the picture;
row 0 of an MRC file is its bottom. RELION (3.1 and 5), MotionCor2, IMOD, EMAN2 and SerialEM turn
rows around between the two, so the last row of the TIFF is row 0 of the array and of the MRC file
that is written. CryoSPARC keeps the order of the TIFF (see pyem's account of its conventions):
`top_first` does that. EER frames are read in the order of the file by all.
"""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.io.files import check_regular
from nt2c.io.image_size import check_claim
from nt2c.io.pixel_size import is_plausible

_ANGSTROM_PER_UNIT = {2: 2.54e8, 3: 1e8}
_EER_CODES = (65000, 65001, 65002)

# Columns and rows of 8-bit pages that hold two pixels of 4 bits in a byte: K2 and K3 in
# super-resolution, written by SerialEM. Nothing in the file says so; IMOD and RELION tell them by
# these sizes, too.
_PACKED_SIZES = {
    (5760, 8184), (8184, 5760), (4092, 11520), (11520, 4092),
    (3710, 7676), (7676, 3710), (3838, 7420), (7420, 3838),
}  # fmt: skip


class TiffReader:
    """An open TIFF file; each page is an image, read when asked for.

    EER files are TIFF files: each frame is an image, in pixels of the camera; the sum that some of
    them begin with is passed over.

    Integers and floats of 8 to 64 bits with one sample per pixel are read, in any compression that
    tifffile and imagecodecs know, and pages of 4 bits of SerialEM. Attributes are those of
    `MrcReader`, without its headers. The pixel size is taken from the resolution tags when it is
    plausible (SerialEM and IMOD set them so), otherwise it is None.

    Parameters
    ----------
    path : Path
        The file.
    top_first : bool
        Row 0 is the first row of the TIFF, the top of the picture, instead of the last.

    Raises
    ------
    InputError
        The file is damaged or holds no grey-scale images of real numbers.
    """

    def __init__(self, path: Path, *, top_first: bool = False) -> None:
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what it then raises
        check_regular(path)
        self._path, self._top_first = path, top_first
        try:
            self._file = tifffile.TiffFile(path)
        except Exception as error:
            raise InputError(f"{path}: damaged TIFF file ({error}); copy it again") from None
        try:
            self._before = 0
            page = self._page(0)
            if self._file.is_eer and page.compression not in _EER_CODES:
                self._before = 1
                page = self._page(0)
            self.shape: tuple[int, int] = self._checked_shape(page)
            self.sections = len(self._file.pages) - self._before
            self.pixel_size_a = _pixel_size_a(page)
        except InputError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise InputError(f"{path}: damaged TIFF file ({error}); copy it again") from None
        self.notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, section: int) -> NDArray[np.float32]:
        """Return page `section` (from 0) as float32 (y, x); see the module for the order of rows.

        Raises
        ------
        InputError
            The page is damaged, or its size or kind differs from the first page's.
        """
        page = self._page(section)
        if self._checked_shape(page) != self.shape:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} has another size than page 1; "
                "save the pages as separate files"
            )
        try:
            image = page.asarray().reshape(page.shape)
        except Exception as error:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} is damaged ({error}); copy or make it again"
            ) from None
        if _is_packed(page):
            image = _unpacked(image)
        if not self._top_first and page.compression not in _EER_CODES:
            image = image[::-1]
        return np.ascontiguousarray(image, np.float32)

    def _page(self, section: int) -> Any:
        try:
            return self._file.pages[section + self._before]
        except Exception as error:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} cannot be read ({error}); copy it again"
            ) from None

    def _checked_shape(self, page: Any) -> tuple[int, int]:
        """Rows and columns of the image in a page, known to be plausible."""
        if not all(page.shape):
            raise InputError(f"{self._path}: damaged TIFF file (no pixels); copy it again")
        if len(page.shape) != 2:
            raise InputError(
                f"{self._path}: a TIFF page of shape {page.shape} is no grey-scale image; convert "
                "colour or multi-channel pictures to grey scale"
            )
        rows, columns = int(page.shape[0]), int(page.shape[1])
        if page.compression in _EER_CODES:  # zeros and ones
            check_claim(self._path, (rows, columns), rows * columns, self._file.filehandle.size)
            return rows, columns
        if page.dtype is None or page.dtype.kind not in "iuf" or page.bitspersample < 8:
            raise InputError(
                f"{self._path}: TIFF pixels of type {page.dtype} cannot be used; save real numbers "
                "of 8, 16 or 32 bits"
            )
        # A tile may be larger than the image that it holds.
        pixels = max(rows * columns, math.prod(page.tile or ()))
        check_claim(
            self._path,
            (rows, columns),
            pixels * page.dtype.itemsize,
            self._file.filehandle.size,
        )
        return (rows, 2 * columns) if _is_packed(page) else (rows, columns)


def _is_packed(page: Any) -> bool:
    return page.bitspersample == 8 and (page.shape[1], page.shape[0]) in _PACKED_SIZES


def _unpacked(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return both pixels of each byte, the one in the lower four bits first."""
    stored = image.view(np.uint8)
    pixels = np.empty((stored.shape[0], 2 * stored.shape[1]), np.uint8)
    pixels[:, 0::2] = stored & 15
    pixels[:, 1::2] = stored >> 4
    return pixels


def _pixel_size_a(page: Any) -> float | None:
    tag, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    try:
        resolution = tag.value[0] / tag.value[1] if len(tag.value) == 2 else math.nan
        size_a = float(_ANGSTROM_PER_UNIT[int(unit.value)] / resolution)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, ArithmeticError):
        return None  # not there, or of another type than a fraction
    return float(f"{size_a:.6g}") if is_plausible(size_a) else None
