"""The 1024-byte header of an MRC file: what it must say, what is forgiven, what is refused.

Source: the MRC2014 format description (Cheng et al. 2015, J. Struct. Biol. 192:146, and its web
page), with the float16 mode 12 added in 2021 and IMOD's convention for mode 0.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nt2c.core.errors import InputError
from nt2c.io.pixel_size import is_plausible

HEADER_BYTES = 1024

_PACKED = 101
_READABLE = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_REFUSED = {
    3: ("complex int16, a Fourier transform", "transform it back to real space"),
    4: ("complex float32, a Fourier transform", "transform it back to real space"),
    7: ("signed 32-bit integers", "convert it to mode 2, e.g. with IMOD: newstack -mode 2 IN OUT"),
    16: ("8-bit colour", "convert it to a grey-scale image"),
    _PACKED: (
        "packed 4-bit integers, used for raw movies",
        "motion-correct the movie, or convert it with IMOD: newstack -mode 2 IN OUT",
    ),
}
_MAX_EDGE_PX = 1 << 18
_MAX_SECTIONS = 1 << 24
_MAX_EXTENDED_BYTES = 1 << 26
_IMOD_STAMP, _IMOD_SIGNED, _IMOD_PACKED = 1146047817, 1, 16
_STAMP_ADVICE = (
    "if the file is sound, write it again with the program that made it, or set bytes 213-216 to "
    "44 44 00 00 (hexadecimal)"
)


@dataclass(frozen=True)
class MrcHeader:
    """A checked header.

    Attributes
    ----------
    record : numpy record
        All fields as stored (names of mrcfile's HEADER_DTYPE).
    shape : tuple of int
        Rows and columns (y, x) of a section, px.
    sections : int
        Number of images.
    dtype : numpy.dtype
        Type of a stored pixel, with its byte order, as far as the header tells.
    sign_is_certain : bool
        Whether integers are known to be signed or unsigned; else the pixels tell more.
    extended_bytes : int
        Size of the extended header, between this one and the first pixel.
    pixel_size_a : float or None
        Pixel size in angstrom; None when the header holds none that can be used.
    notes : tuple of str
        What was forgiven, for the user to read.
    """

    record: Any
    shape: tuple[int, int]
    sections: int
    dtype: np.dtype[Any]
    sign_is_certain: bool
    extended_bytes: int
    pixel_size_a: float | None
    notes: tuple[str, ...]

    @property
    def byte_order(self) -> str:
        """Byte order of header and pixels, "<" or ">"."""
        return _byte_order(self.record)

    @property
    def is_volume(self) -> bool:
        """Sections are slices of a volume: marked so (MRC2014), or a tomogram by IMOD's label."""
        marked = int(self.record["ispg"]) == 1 and int(self.record["mz"]) == self.sections
        labels = b" ".join(bytes(line) for line in self.record["label"])
        return self.sections > 1 and (marked or b"Tomographic reconstruction" in labels)

    @property
    def data_offset(self) -> int:
        """Bytes before the first pixel."""
        return HEADER_BYTES + self.extended_bytes

    @property
    def section_bytes(self) -> int:
        """Size of one image in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(raw: bytes, path: Path, file_bytes: int | None) -> MrcHeader:
    """Check the header of `path`.

    Parameters
    ----------
    raw : bytes
        The first 1024 bytes (fewer when the file is shorter).
    path : Path
        The file, for messages.
    file_bytes : int or None
        Size of the uncompressed file; None when it is not known.

    Raises
    ------
    InputError
        The bytes are no MRC header, the machine stamp is wrong, the mode cannot be used, or the
        file is shorter than the header says.
    """
    if len(raw) < HEADER_BYTES:
        raise InputError(
            f"{path}: not an MRC file, or a truncated one: {len(raw)} bytes, but the header alone "
            f"takes {HEADER_BYTES}; copy or make it again"
        )
    record, notes = _with_byte_order(raw, path, file_bytes)
    flags = _imod_flags(record)
    mode = int(record["mode"])
    if mode == 0 and flags is not None and flags & _IMOD_PACKED:
        mode = _PACKED
    if mode in _REFUSED:
        what, remedy = _REFUSED[mode]
        raise InputError(f"{path}: MRC mode {mode} ({what}) cannot be denoised; {remedy}")
    pixel_size_a, pixel_notes = _pixel_size(record)
    dtype, is_certain = _pixel_type(record, flags)
    header = MrcHeader(
        record=record,
        shape=(int(record["ny"]), int(record["nx"])),
        sections=int(record["nz"]),
        dtype=dtype,
        sign_is_certain=is_certain,
        extended_bytes=int(record["nsymbt"]),
        pixel_size_a=pixel_size_a,
        notes=(*notes, *pixel_notes),
    )
    return header if file_bytes is None else _with_size_checked(header, path, file_bytes)


def header_dtype(byte_order: str = "<") -> np.dtype[Any]:
    """Return the numpy type of a header in byte order "<" or ">"."""
    from mrcfile.dtypes import HEADER_DTYPE

    dtype: np.dtype[Any] = np.dtype(HEADER_DTYPE).newbyteorder(byte_order)
    return dtype


def _with_byte_order(raw: bytes, path: Path, file_bytes: int | None) -> tuple[Any, list[str]]:
    """Return the header in its byte order, told by the machine stamp or else by the contents."""
    views = {order: np.frombuffer(raw, header_dtype(order))[0] for order in "<>"}
    sensible = {order: view for order, view in views.items() if _is_sensible(view)}
    stamp = bytes(views["<"]["machst"])
    has_map = bytes(views["<"]["map"])[:3] == b"MAP"
    if not sensible:
        raise InputError(f"{path}: {_nonsense(views, stamp, has_map)}")
    declared = _declared_order(stamp)
    if declared is None and stamp not in (b"\0\0\0\0", b"\0\0\x44\x44", b"\0\0\x11\x11"):
        raise InputError(
            f"{path}: unknown machine stamp {stamp.hex(' ')}, so the byte order is not known; "
            + _STAMP_ADVICE
        )
    if declared is not None and declared not in sensible:
        raise InputError(
            f"{path}: wrong machine stamp {stamp.hex(' ')}: the header makes no sense in the byte "
            f"order that it gives; {_STAMP_ADVICE}"
        )
    notes = []
    order = declared or _fitting_order(sensible, file_bytes)
    if declared is None:
        notes.append(f"machine stamp {stamp.hex(' ')} is not set properly; byte order was inferred")
    if not has_map:
        if file_bytes is not None and file_bytes < _expected_bytes(sensible[order]):
            raise InputError(
                f"{path}: not an MRC file (no 'MAP' in the header, and the size does not fit what "
                "would be the header); give an MRC or TIFF micrograph"
            )
        notes.append("the header lacks 'MAP'; read as an old MRC file")
    return sensible[order], notes


def _is_sensible(record: Any) -> bool:
    return (
        int(record["mode"]) in (_READABLE.keys() | _REFUSED.keys())
        and 0 < record["nx"] <= _MAX_EDGE_PX
        and 0 < record["ny"] <= _MAX_EDGE_PX
        and 0 < record["nz"] <= _MAX_SECTIONS
        and 0 <= record["nsymbt"] <= _MAX_EXTENDED_BYTES
    )


def _nonsense(views: dict[str, Any], stamp: bytes, has_map: bool) -> str:
    if not has_map:
        return "not an MRC file (no 'MAP' in its header); give an MRC or TIFF micrograph"
    view = views[_declared_order(stamp) or "<"]
    return (
        f"the MRC header is damaged: size {view['nx']} x {view['ny']} x {view['nz']}, mode "
        f"{view['mode']}, extended header {view['nsymbt']} bytes; copy or make the file again"
    )


def _declared_order(stamp: bytes) -> str | None:
    """Read the stamp: 44 44 00 00 or 11 11 00 00, or another ending, as some programs write."""
    return {0x44: "<", 0x11: ">"}.get(stamp[0])


def _fitting_order(sensible: dict[str, Any], file_bytes: int | None) -> str:
    for order, record in sensible.items():
        if file_bytes == _expected_bytes(record):
            return order
    return next(iter(sensible))


def _expected_bytes(record: Any) -> int:
    pixels = int(record["nx"]) * int(record["ny"]) * int(record["nz"])
    code = _READABLE.get(int(record["mode"]))
    return HEADER_BYTES + int(record["nsymbt"]) + (pixels * np.dtype(code).itemsize if code else 0)


def _pixel_type(record: Any, imod_flags: int | None) -> tuple[np.dtype[Any], bool]:
    """Return the type of a pixel, and whether the header is to be trusted on its sign.

    IMOD flags what it has written. Without that, modes 0 and 1 are signed (MRC2014) unless the
    stored extremes cannot be; but programs store unsigned integers in both, and often no extremes.
    """
    mode = int(record["mode"])
    code = _READABLE[mode]
    is_certain = mode not in (0, 1)
    if mode == 0 and imod_flags is not None:
        is_certain = True
        code = "i1" if imod_flags & _IMOD_SIGNED else "u1"
    elif not is_certain:
        limit = 127 if mode == 0 else 32767
        if limit < record["dmax"] <= 2 * limit + 1 and record["dmin"] >= 0:
            code = code.replace("i", "u")
    return np.dtype(_byte_order(record) + code), is_certain


def _byte_order(record: Any) -> str:
    return ">" if record.dtype["nx"].str[0] == ">" else "<"


def _imod_flags(record: Any) -> int | None:
    """Return the flags of IMOD, bytes 157-160; None without its stamp before them."""
    stamp, flags = np.frombuffer(bytes(record["extra2"])[40:48], record.dtype["nx"])
    return int(flags) if int(stamp) == _IMOD_STAMP else None


def _pixel_size(record: Any) -> tuple[float | None, list[str]]:
    grid = int(record["mx"]), int(record["my"])
    cell_a = float(record["cella"]["x"]), float(record["cella"]["y"])
    if min(grid) <= 0 or not all(math.isfinite(edge) for edge in cell_a):
        return None, []
    x_a, y_a = cell_a[0] / grid[0], cell_a[1] / grid[1]
    if not (is_plausible(x_a) and is_plausible(y_a)):
        note = f"the header's pixel size is ignored: {x_a:.6g} A is not plausible"
        return None, [note] if x_a > 0 else []
    if abs(x_a / y_a - 1.0) > 0.01:
        return None, [f"the header's pixel size is ignored: {x_a:.6g} x {y_a:.6g} A is not square"]
    return float(f"{x_a:.6g}"), []


def _with_size_checked(header: MrcHeader, path: Path, file_bytes: int) -> MrcHeader:
    image_bytes = header.sections * header.section_bytes
    expected = header.data_offset + image_bytes
    if header.extended_bytes and file_bytes == HEADER_BYTES + image_bytes:
        note = f"the header promises {header.extended_bytes} bytes more, which are not there"
        return replace(header, extended_bytes=0, notes=(*header.notes, note))
    if file_bytes < expected:
        rows, columns = header.shape
        raise InputError(
            f"{path}: truncated: {columns} x {rows} x {header.sections} pixels of "
            f"{header.dtype.name} need {expected} bytes, the file has {file_bytes}; copy or make "
            "it again"
        )
    if file_bytes == expected:
        return header
    note = f"{file_bytes - expected} bytes after the image are ignored"
    return replace(header, notes=(*header.notes, note))
