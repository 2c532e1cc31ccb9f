"""Reading TIFF micrographs, page by page.

Which way up: the first row of the TIFF (the top of the picture in an image viewer) is row 0 of the
array and the first row of the MRC file that is written, as RELION reads TIFF. Coordinates counted
from the first row are thus the same in both. Programs that draw row 0 of an MRC file at the bottom
(IMOD, for one) show the result upside down relative to an image viewer's picture of the TIFF.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError

_ANGSTROM_PER_UNIT = {2: 2.54e8, 3: 1e8}
_PLAUSIBLE_PIXEL_A = (0.05, 100.0)
_EER_CODES = (65000, 65001, 65002)


class TiffReader:
    """An open TIFF file; each page is an image, read when asked for.

    EER files are TIFF files: each frame is an image, in pixels of the camera; the sum that some of
    them begin with is passed over.

    Integers and floats of 8 to 64 bits with one sample per pixel are read, in any compression that
    tifffile and imagecodecs know. Attributes are those of `MrcReader`, without its headers.
    The pixel size is taken from the resolution tags when it comes out between 0.05 and 100 A
    (SerialEM and IMOD set them so), otherwise it is None.

    Raises
    ------
    InputError
        The file is damaged or holds no grey-scale images of real numbers.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what it then raises
        self._path = path
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
            self.shape: tuple[int, int] = _checked_shape(path, page)
            self.sections = len(self._file.pages) - self._before
            self.pixel_size_a = _pixel_size_a(page)
        except BaseException:
            self.close()
            raise
        self.notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, section: int) -> NDArray[np.float32]:
        """Return page `section` (from 0) as float32 (y, x), the first stored row first.

        Raises
        ------
        InputError
            The page is damaged, or its size or kind differs from the first page's.
        """
        page = self._page(section)
        if _checked_shape(self._path, page) != self.shape:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} has another size than page 1; "
                "save the pages as separate files"
            )
        try:
            image = page.asarray()
        except Exception as error:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} is damaged ({error}); copy or make it again"
            ) from None
        return np.ascontiguousarray(image, np.float32)

    def _page(self, section: int) -> Any:
        try:
            return self._file.pages[section + self._before]
        except Exception as error:
            raise InputError(
                f"{self._path}: TIFF page {section + 1} cannot be read ({error}); copy it again"
            ) from None


def _checked_shape(path: Path, page: Any) -> tuple[int, int]:
    if len(page.shape) != 2:
        raise InputError(
            f"{path}: a TIFF page of shape {page.shape} is no grey-scale image; convert colour or "
            "multi-channel pictures to grey scale"
        )
    if page.compression in _EER_CODES:  # zeros and ones
        return int(page.shape[0]), int(page.shape[1])
    if page.dtype is None or page.dtype.kind not in "iuf" or page.bitspersample < 8:
        raise InputError(
            f"{path}: TIFF pixels of type {page.dtype} cannot be used; save real numbers of 8, 16 "
            "or 32 bits"
        )
    return int(page.shape[0]), int(page.shape[1])


def _pixel_size_a(page: Any) -> float | None:
    tag, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if tag is None or unit is None or int(unit.value) not in _ANGSTROM_PER_UNIT:
        return None
    numerator, denominator = tag.value
    if not numerator:
        return None
    size_a = _ANGSTROM_PER_UNIT[int(unit.value)] * denominator / numerator
    low, high = _PLAUSIBLE_PIXEL_A
    return float(f"{size_a:.6g}") if low <= size_a <= high else None
