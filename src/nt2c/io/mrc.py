"""Reading MRC files section by section, plain or compressed with gzip or bzip2."""

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.io.files import check_regular
from nt2c.io.image_size import check_claim
from nt2c.io.mrc_header import HEADER_BYTES, MrcHeader, parse_header
from nt2c.io.mrc_integers import told_by_pixels

_AT_ONCE_BYTES = 1 << 24


class MrcReader:
    """An open MRC file; holds one section in memory at a time.

    Parameters
    ----------
    path : Path
        The file.
    compression : str
        "" (none), "gzip" or "bzip2".

    Attributes
    ----------
    shape : tuple of int
        Rows and columns (y, x), px; rows in the order of the file.
    sections : int
        Number of images.
    pixel_size_a : float or None
        From the header, angstrom.
    notes : tuple of str
        What was forgiven; may grow while reading.
    header : MrcHeader
        The checked header.
    extended_header : bytes
        What lies between the header and the images, as stored.

    Raises
    ------
    InputError
        The file cannot be read or used (see `parse_header`).
    """

    def __init__(self, path: Path, compression: str = "") -> None:
        check_regular(path)
        self._path = path
        self._file = _open(path, compression)
        try:
            size = path.stat().st_size
            header = parse_header(self._bytes(0, HEADER_BYTES), path, None if compression else size)
            claimed = header.data_offset + header.sections * header.section_bytes
            check_claim(path, header.shape, claimed, size)
            self.header: MrcHeader = header
            self.extended_header = self._bytes(HEADER_BYTES, header.extended_bytes)
        except BaseException:
            self.close()
            raise
        self.shape = self.header.shape
        self.sections = self.header.sections
        self.pixel_size_a = self.header.pixel_size_a
        self.notes = self.header.notes
        self._dtype = None if not self.header.sign_is_certain else self.header.dtype

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, section: int) -> NDArray[np.float32]:
        """Return image `section` (from 0) as float32 (y, x).

        Raises
        ------
        InputError
            The file ends too early or its compressed data are damaged.
        """
        stored = np.empty(self.shape, self._dtype or self.header.dtype)
        offset = self.header.data_offset + section * self.header.section_bytes
        if self._fill(offset, stored) < self.header.section_bytes:
            raise InputError(
                f"{self._path}: truncated: image {section + 1} of {self.sections} is not complete; "
                "copy or make the file again"
            )
        if self._dtype is None:
            self._dtype = self._told_by(stored)
        return stored.view(self._dtype).astype(np.float32, copy=False)

    def _told_by(self, stored: NDArray[Any]) -> np.dtype[Any]:
        """Return the type of the pixels, from the first image that is read; note a surprise."""
        dtype = self.header.dtype
        kind = told_by_pixels(stored)
        if kind is None or kind == dtype.kind:
            return dtype
        said = {"i": "signed", "u": "unsigned"}
        self.notes += (
            f"the pixels are taken for {said[kind]} integers: read as {said[dtype.kind]}, as the "
            "header has it, they leave a gap in the middle",
        )
        return np.dtype(dtype.str.replace(dtype.kind, kind))

    def _bytes(self, offset: int, count: int) -> bytes:
        buffer = np.empty(count, np.uint8)
        return buffer[: self._fill(offset, buffer)].tobytes()

    def _fill(self, offset: int, array: NDArray[Any]) -> int:
        """Read into `array` from `offset` on; return the number of bytes that were there."""
        window = array.reshape(-1).view(np.uint8).data
        filled = 0
        try:
            self._file.seek(offset)
            while filled < len(window):
                # What unpacks makes a copy of all that it is asked for.
                count = self._file.readinto(window[filled : filled + _AT_ONCE_BYTES])
                if not count:
                    break
                filled += count
        except EOFError:
            return filled
        except (OSError, zlib.error) as error:
            raise InputError(f"{self._path}: damaged data ({error}); copy it again") from None
        return filled


def _open(path: Path, compression: str) -> io.BufferedIOBase:
    if compression == "gzip":
        return gzip.open(path, "rb")
    if compression == "bzip2":
        return bz2.open(path, "rb")
    return path.open("rb")
