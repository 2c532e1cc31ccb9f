"""Opening micrographs of any supported format, and writing the results like them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nt2c.core.errors import InputError, Nt2cError
from nt2c.io.files import atomic_path, check_regular
from nt2c.io.mrc import MrcReader
from nt2c.io.mrc_writer import MrcWriter
from nt2c.io.pixel_size import choose_pixel_size
from nt2c.io.tiff import TiffReader

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageReader(Protocol):
    """What reads the images of an open file; see `MrcReader`. `notes` may grow while reading."""

    shape: tuple[int, int]
    sections: int
    pixel_size_a: float | None
    notes: tuple[str, ...]

    def close(self) -> None:
        """Close the file."""

    def read(self, section: int) -> NDArray[np.float32]:
        """Return image `section` (from 0)."""


class Micrograph:
    """An open micrograph or stack of micrographs, from `open_micrograph`; use it in a `with` block.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Rows and columns (y, x) of each image, px. Row 0 is that of an MRC file; see `tiff`.
    sections : int
        Number of images, 1 for a micrograph.
    pixel_size_a : float
        The pixel size that counts, angstrom.
    """

    def __init__(
        self, path: Path, reader: ImageReader, pixel_size_a: float, warnings: list[str]
    ) -> None:
        self.path = path
        self.reader = reader
        self.shape = reader.shape
        self.sections = reader.sections
        self.pixel_size_a = pixel_size_a
        self._warnings = warnings

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the file, without its name."""
        return (*self.reader.notes, *self._warnings)

    def __enter__(self) -> Self:
        """Return the micrograph."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.reader.close()

    def read(self, section: int = 0) -> NDArray[np.float32]:
        """Return image `section` (from 0) as a new float32 array (y, x), values as stored.

        Raises
        ------
        InputError
            The data are truncated or damaged, not finite somewhere, or the same everywhere.
        """
        image = self.read_unchecked(section)
        where = f"{self.path}" + (f", image {section + 1}" if self.sections > 1 else "")
        low, high = float(image.min()), float(image.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            count = int(image.size - np.isfinite(image).sum())
            raise InputError(
                f"{where}: {count} pixels are not finite (NaN or infinite); repair the file or "
                "make it again"
            )
        if low == high:
            raise InputError(
                f"{where}: every pixel is {low:g}, there is no image; leave the file out"
            )
        return image

    def read_unchecked(self, section: int = 0) -> NDArray[np.float32]:
        """Return image `section` as `read` does, whatever its values are: a mask may be all 0.

        Raises
        ------
        InputError
            The data are truncated or damaged.
        """
        with _faults_of(self.path):
            return self.reader.read(section)


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Make whatever is raised while a file is read the fault of that file, and say its name."""
    try:
        yield
    except Nt2cError:
        raise
    except PermissionError:
        raise InputError(f"{path}: no permission to read it; check with ls -l") from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}); look at the disk") from error
    except MemoryError as error:
        raise InputError(f"{path}: not enough memory to read it; use a larger machine") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: damaged ({what}); copy or make it again") from error


def open_micrograph(
    path: Path | str,
    pixel_size_a: float | None = None,
    star_pixel_size_a: float | None = None,
    *,
    tiff_top_first: bool = False,
) -> Micrograph:
    """Open an MRC file (also gzip or bzip2 compressed) or a TIFF file for reading.

    The kind is told from the contents, not from the name.

    Parameters
    ----------
    path : Path or str
        The file.
    pixel_size_a : float or None
        The user's pixel size, angstrom; it counts before all others.
    star_pixel_size_a : float or None
        Pixel size in the STAR file that lists the micrograph; it counts before the header's.
    tiff_top_first : bool
        Row 0 is the first row of a TIFF, as in CryoSPARC; by default it is the last, as in RELION
        and IMOD, so that positions in the TIFF and in an MRC file made from it are the same.

    Raises
    ------
    InputError
        The file cannot be read or used, is a volume, or no pixel size is known; the message names
        the file, what is wrong and what to do.
    SettingsError
        The user's pixel size is not plausible.
    """
    path = Path(path)
    if path.suffix.lower() == ".eer":
        raise InputError(
            f"{path}: EER files are movies; give the motion-corrected sum instead, or "
            "--sum-frames to nt2c denoise if nothing moved"
        )
    micrograph = open_movie(path, pixel_size_a, star_pixel_size_a, tiff_top_first=tiff_top_first)
    if _is_volume(micrograph):
        micrograph.reader.close()
        raise InputError(
            f"{path}: a volume or tomogram of {micrograph.sections} slices, not a micrograph; "
            "if it is a stack of micrographs, give it a name that ends in .mrcs"
        )
    return micrograph


def open_movie(
    path: Path,
    pixel_size_a: float | None = None,
    star_pixel_size_a: float | None = None,
    *,
    tiff_top_first: bool = False,
) -> Micrograph:
    """Open any file of images as `open_micrograph` does: EER, movies and volumes, too."""
    with _faults_of(path):
        reader = _open_reader(path, tiff_top_first)
    try:
        size_a, warnings = choose_pixel_size(
            path, pixel_size_a, star_pixel_size_a, reader.pixel_size_a
        )
    except BaseException:
        reader.close()
        raise
    return Micrograph(path, reader, size_a, warnings)


@contextmanager
def create_output(
    path: Path | str,
    like: Micrograph,
    *,
    pixel_size_a: float | None = None,
    shape: tuple[int, int] | None = None,
    float16: bool = False,
    label: str = "",
) -> Iterator[MrcWriter]:
    """Write the result of processing `like` as an MRC file that appears whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write.
    like : Micrograph
        Open input: gives the number of sections and, if it is an MRC file, labels, extended header,
        origin and start indices (see `MrcWriter`).
    pixel_size_a, shape
        Sampling of the result, when it is not the input's: angstrom, and rows and columns.
    float16 : bool
        Write mode 12 instead of mode 2.
    label : str
        Line added to the labels, see `history_label`.

    Yields
    ------
    MrcWriter
        Call its `write(section, image)` once for each section, in order.
    """
    with (
        atomic_path(path) as temporary,
        MrcWriter(
            temporary,
            shape or like.shape,
            like.sections,
            pixel_size_a or like.pixel_size_a,
            float16=float16,
            label=label,
            like=like.reader if isinstance(like.reader, MrcReader) else None,
            like_pixel_size_a=like.pixel_size_a,
        ) as writer,
    ):
        yield writer


def write_micrograph(
    path: Path | str,
    image: ArrayLike,
    pixel_size_a: float,
    *,
    float16: bool = False,
    label: str = "",
) -> None:
    """Write an image (y, x) or a stack (section, y, x) as a new MRC file, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write; by custom ".mrc" for an image and ".mrcs" for a stack.
    image : array
        Real, finite values.
    pixel_size_a : float
        Angstrom.
    float16 : bool
        Write mode 12 instead of mode 2.
    label : str
        Label line, see `history_label`.

    Raises
    ------
    InputError
        The image is none, or holds what is not finite or does not fit into float16.
    """
    array = _as_numbers(image, path)
    stack = array if array.ndim == 3 else array[np.newaxis]
    shape = (stack.shape[1], stack.shape[2])
    with (
        atomic_path(path) as temporary,
        MrcWriter(
            temporary, shape, len(stack), pixel_size_a, float16=float16, label=label
        ) as writer,
    ):
        for section, plane in enumerate(stack):
            writer.write(section, plane)


def _as_numbers(image: ArrayLike, path: Path | str) -> NDArray[Any]:
    try:
        array = np.asarray(image)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not written: no array of numbers ({error})") from None
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or not array.size:
        raise InputError(
            f"{path}: not written: an image (y, x) or stack (section, y, x) holds real numbers; "
            f"this has shape {array.shape} and dtype {array.dtype}"
        )
    return array


def _is_volume(micrograph: Micrograph) -> bool:
    """Tell whether slices are asked for as if they were micrographs; ".mrcs" says they are."""
    reader = micrograph.reader
    is_stack = ".mrcs" in [suffix.lower() for suffix in micrograph.path.suffixes]
    return isinstance(reader, MrcReader) and reader.header.is_volume and not is_stack


def _open_reader(path: Path, tiff_top_first: bool) -> MrcReader | TiffReader:
    check_regular(path)
    with path.open("rb") as file:
        signature = file.read(4)
    if not signature:
        raise InputError(f"{path}: an empty file (0 bytes); copy or make it again")
    if signature in _TIFF_SIGNATURES:
        return TiffReader(path, top_first=tiff_top_first)
    if signature[:2] == b"\x1f\x8b":
        return MrcReader(path, "gzip")
    if signature[:3] == b"BZh":
        return MrcReader(path, "bzip2")
    return MrcReader(path)
