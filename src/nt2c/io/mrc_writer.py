"""Writing MRC files section by section, with what is worth keeping of the input's header."""

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nt2c.core.errors import InputError
from nt2c.core.version import __version__
from nt2c.io.mrc import MrcReader
from nt2c.io.mrc_header import HEADER_BYTES, header_dtype

_MODE_FLOAT32 = 2
_MODE_FLOAT16 = 12
_LABELS = 10
_LABEL_BYTES = 80
_FORMAT_VERSION = 20141
_PIXELS_AT_ONCE = 1 << 20
_MOST_ROUNDED = 0.03  # some sixty grey levels between -3 and 3 standard deviations


class MrcWriter:
    """An MRC file being written, float32 (mode 2) or float16 (mode 12), section by section.

    The header is written last, with minimum, maximum, mean and standard deviation of all sections.
    A single image and a stack both get space group 0 and mz = 1 (MRC2014: "image stack").

    Parameters
    ----------
    path : Path
        File to write.
    shape : tuple of int
        Rows and columns (y, x) of a section, px.
    sections : int
        Number of images that will be written.
    pixel_size_a : float
        Angstrom; the cell is the size in pixels times this.
    float16 : bool
        Halve the size; old versions of IMOD cannot read the result.
    label : str
        Line added to the labels; none when empty.
    like : MrcReader or None
        Input whose labels, extended header, origin and start indices are kept.
    like_pixel_size_a : float or None
        Pixel size in use for that input, angstrom.

    Notes
    -----
    The origin is a length in angstrom: it changes only when the pixel size in the header of the
    input is not the one in use. Start indices count pixels and follow the sampling. Of ten labels
    the second is dropped for the new one, so that the first, which tells the data's origin, stays.
    The byte order of the input is kept, since the extended header is copied byte by byte, but for
    the pixel sizes in those of FEI (FEI1, FEI2).
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        sections: int,
        pixel_size_a: float,
        *,
        float16: bool = False,
        label: str = "",
        like: MrcReader | None = None,
        like_pixel_size_a: float | None = None,
    ) -> None:
        byte_order = "<" if like is None else like.header.byte_order
        self._header = np.zeros((), header_dtype(byte_order))
        self._pixel_type = np.dtype(byte_order + ("f2" if float16 else "f4"))
        self._path, self.shape, self.sections = path, shape, sections
        self._next, self._statistics = 0, _Statistics()
        _set_geometry(self._header, shape, sections, pixel_size_a)
        self._header["mode"] = _MODE_FLOAT16 if float16 else _MODE_FLOAT32
        self._header["machst"] = (0x44, 0x44, 0, 0) if byte_order == "<" else (0x11, 0x11, 0, 0)
        old_labels: list[bytes] = []
        extended = b""
        if like is not None:
            extended = _resampled_extended_header(like, pixel_size_a)
            old_labels = [bytes(line) for line in like.header.record["label"] if line.strip()]
            _keep(self._header, like, pixel_size_a, like_pixel_size_a or pixel_size_a)
        _set_labels(self._header, old_labels, label)
        self._file = path.open("wb")
        self._file.write(bytes(HEADER_BYTES) + extended)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the header and close the file; after an error only close it."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def write(self, section: int, image: ArrayLike) -> None:
        """Write image `section`; sections come in order, 0, 1, 2...

        Parameters
        ----------
        section : int
            Index of the image.
        image : array (y, x)
            Real values, finite.

        Raises
        ------
        InputError
            A value is not finite, or float16 has not the range or the precision.
        ValueError
            The section or the shape is not the expected one.
        """
        array = np.asarray(image)
        if section != self._next or array.shape != self.shape:
            raise ValueError(
                f"got section {section} of shape {array.shape}, "
                f"expected section {self._next} of shape {self.shape}"
            )
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(array, self._pixel_type)
        is_half = self._pixel_type.itemsize == 2
        self._statistics.add(stored)
        if not self._statistics.are_finite():
            raise InputError(
                "the result holds values that are not finite"
                + (" in float16; write float32" if is_half else "")
            )
        if is_half and (share := _rounded_share(stored, array)) > _MOST_ROUNDED:
            raise InputError(
                f"float16 is too coarse for these grey values, {self._statistics.minimum:.6g} to "
                f"{self._statistics.maximum:.6g}: rounding would add {100 * share:.0f} % of their "
                "standard deviation; write float32 (leave out --float16)"
            )
        self._file.write(stored.reshape(-1).view(np.uint8).data)
        self._next += 1

    def _finish(self) -> None:
        if self._next != self.sections:
            raise ValueError(f"{self._next} of {self.sections} sections were written")
        self._statistics.store(self._header)
        self._file.seek(0)
        self._file.write(self._header.tobytes())


def history_label(text: str) -> str:
    """Return the label line that tells what was done, "nt2c VERSION TEXT DATE".

    A long `text` (a command and a model, say) is cut so that the line has at most 80 characters.
    """
    start, end = f"nt2c {__version__} ", f" {datetime.date.today().isoformat()}"
    return start + text[: _LABEL_BYTES - len(start) - len(end)] + end


def _rounded_share(stored: NDArray[Any], image: NDArray[Any]) -> float:
    """Return what rounding adds to an image, root mean square over its standard deviation."""
    rows = max(1, _PIXELS_AT_ONCE // image.shape[1])
    rounded = deviation = 0.0
    mean = float(image.mean(dtype=np.float64))
    for first in range(0, len(image), rows):
        part = image[first : first + rows].astype(np.float64)
        rounded += float(np.square(stored[first : first + rows] - part).sum())
        deviation += float(np.square(part - mean).sum())
    return math.sqrt(rounded / deviation) if deviation else 0.0


class _Statistics:
    """Running minimum, maximum, mean and variance, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.minimum, self.maximum = math.inf, -math.inf
        self.mean = self.squares = 0.0

    def add(self, image: NDArray[Any]) -> None:
        """Count an image in, some rows at a time since float64 copies of them are made."""
        rows = max(1, _PIXELS_AT_ONCE // image.shape[1])
        for first in range(0, len(image), rows):
            self._add_rows(image[first : first + rows])

    def _add_rows(self, image: NDArray[Any]) -> None:
        minimum, maximum = float(image.min()), float(image.max())
        self.minimum, self.maximum = min(self.minimum, minimum), max(self.maximum, maximum)
        if not (math.isfinite(minimum) and math.isfinite(maximum)):
            self.mean = math.nan
            return
        mean = float(image.mean(dtype=np.float64))
        squares = float(image.var(dtype=np.float64)) * image.size
        total = self.count + image.size
        shift = mean - self.mean
        self.squares += squares + shift**2 * self.count * image.size / total
        self.mean += shift * image.size / total
        self.count = total

    def are_finite(self) -> bool:
        return math.isfinite(self.mean)

    def store(self, header: NDArray[Any]) -> None:
        header["dmin"], header["dmax"], header["dmean"] = self.minimum, self.maximum, self.mean
        header["rms"] = math.sqrt(self.squares / self.count)


def _set_geometry(
    header: NDArray[Any], shape: tuple[int, int], sections: int, pixel_size_a: float
) -> None:
    rows, columns = shape
    header["nx"], header["ny"], header["nz"] = columns, rows, sections
    header["mx"], header["my"], header["mz"] = columns, rows, 1
    header["cella"] = (columns * pixel_size_a, rows * pixel_size_a, pixel_size_a)
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["map"] = b"MAP "
    header["nversion"] = _FORMAT_VERSION


def _keep(
    header: NDArray[Any], like: MrcReader, pixel_size_a: float, like_pixel_size_a: float
) -> None:
    old = like.header.record
    for name in ("exttyp", "extra1", "extra2"):
        header[name] = old[name]
    header["nsymbt"] = len(like.extended_header)
    sampling = like_pixel_size_a / pixel_size_a
    for name in ("nxstart", "nystart"):
        header[name] = round(float(old[name]) * sampling)
    header["nzstart"] = old["nzstart"]
    scale = like_pixel_size_a / like.pixel_size_a if like.pixel_size_a else 1.0
    for axis in "xyz":
        header["origin"][axis] = old["origin"][axis] * scale


def _resampled_extended_header(like: MrcReader, pixel_size_a: float) -> bytes:
    """Return the extended header of the input with the pixel size of the output."""
    from mrcfile.dtypes import get_ext_header_dtype

    kind = bytes(like.header.record["exttyp"])
    if kind not in (b"FEI1", b"FEI2"):
        return like.extended_header
    dtype = get_ext_header_dtype(kind, like.header.byte_order)
    content = bytearray(like.extended_header)
    place = 0
    while place + dtype.itemsize <= len(content):
        record = np.frombuffer(content, dtype, count=1, offset=place)
        size = int(record["Metadata size"][0])
        if size < dtype.itemsize:  # unused space
            break
        for name in ("Pixel size X", "Pixel size Y"):
            if record[name][0] > 0:
                record[name] = 1e-10 * pixel_size_a  # metres
        place += size
    return bytes(content)


def _set_labels(header: NDArray[Any], old: Sequence[bytes], label: str) -> None:
    lines = list(old)
    if label:
        lines.append(label.encode("ascii", "replace")[:_LABEL_BYTES])
    while len(lines) > _LABELS:
        del lines[1]
    header["nlabl"] = len(lines)
    for index, line in enumerate(lines):
        header["label"][index] = line
