"""How large an image may be, known before memory is taken for it."""

from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.core.limits import MAX_IMAGE_PX

_MAX_RATIO = 1000  # sparse frames of counts as float32 are packed to some hundredth
_HARMLESS_BYTES = 1 << 26


def check_claim(
    path: Path, shape: tuple[int, int], image_bytes: int, file_bytes: int | None
) -> None:
    """Refuse an image that is larger than any micrograph, or than the file can hold.

    Parameters
    ----------
    path : Path
        The file, for messages.
    shape : tuple of int
        Rows and columns that the file claims, px.
    image_bytes : int
        What it claims to unpack to.
    file_bytes : int or None
        Size of the packed file.

    Raises
    ------
    InputError
        The claim is not plausible.
    """
    rows, columns = shape
    if rows * columns > MAX_IMAGE_PX:
        raise InputError(
            f"{path}: {columns} x {rows} pixels are larger than any micrograph; is the header "
            "damaged? copy or make the file again"
        )
    if file_bytes is not None and image_bytes > max(_HARMLESS_BYTES, _MAX_RATIO * file_bytes):
        raise InputError(
            f"{path}: claims to unpack {file_bytes} bytes to {image_bytes}, which no image does; "
            "the file is damaged; copy or make it again"
        )
