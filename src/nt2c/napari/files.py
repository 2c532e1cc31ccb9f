"""Micrographs in napari: read from files with their pixel size, and written with it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError

LayerData = tuple[Any, dict[str, Any], str]
"""Data of a layer, its attributes and its kind, as napari takes them."""

_TIFF = (".tif", ".tiff")
_ANGSTROM = {
    "angstrom": 1.0, "Å": 1.0,
    "nanometer": 10.0, "nm": 10.0,
    "micrometer": 1e4, "um": 1e4, "µm": 1e4,
}  # fmt: skip


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return a reader of micrographs, or None where another plugin is the better one.

    Parameters
    ----------
    path : str or sequence of str
        MRC files, plain or compressed; TIFF files only if they hold a pixel size in angstrom.
    """
    paths = _paths(path)
    tiff = [one for one in paths if one.suffix.lower() in _TIFF]
    return read_images if all(_has_pixel_size(one) for one in tiff) else None


def read_images(path: str | Sequence[str]) -> list[LayerData]:
    """Read micrographs and stacks, an image layer each.

    Returns
    -------
    list of LayerData
        float32 (y, x) or (n, y, x); scale and units are angstrom where the file knows its pixel
        size, else pixels.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    return [_read(one) for one in _paths(path)]


def write_image(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer as an MRC file with its pixel size.

    Parameters
    ----------
    path : str
        File to write.
    data : array
        (y, x) or a stack (n, y, x).
    attributes : mapping
        Of the layer, as napari gives them.

    Raises
    ------
    InputError
        The layer is no grey-scale image or stack, or its scale is not in angstrom or another
        length.
    """
    from nt2c.io.micrographs import write_micrograph
    from nt2c.io.mrc_writer import history_label

    size_a = length_a(attributes.get("scale", ()), attributes.get("units"))
    if size_a is None:
        raise InputError(
            f"{path}: the pixel size of the layer is not known; set its scale, with unit angstrom"
        )
    images = grey_images(data, bool(attributes.get("rgb")))
    whole = images if np.ndim(data) == 3 else images[0]
    write_micrograph(path, whole, size_a, label=history_label("napari layer"))
    return [path]


def grey_images(data: Any, rgb: bool = False) -> NDArray[np.float32]:
    """Return the images of a layer, (n, y, x), at full size.

    Raises
    ------
    InputError
        The layer is in colour, or has not two or three dimensions.
    """
    whole = np.asarray(data, np.float32)
    if rgb or whole.ndim not in (2, 3):
        raise InputError("not a micrograph or a stack of micrographs: give a grey-scale layer")
    return whole if whole.ndim == 3 else whole[np.newaxis]


def length_a(scale: Sequence[float], units: Any) -> float | None:
    """Return the pixel size in angstrom that a layer's scale and units tell; None if they do not.

    Parameters
    ----------
    scale : sequence of float
        Of each axis.
    units : sequence of pint.Unit or str, or None
        Of each axis; napari's unit of a layer without any is the pixel.
    """
    if units is None or isinstance(units, str) or len(scale) < 2:
        return None
    names = [str(unit) for unit in units[-2:]]
    if not all(name in _ANGSTROM for name in names):
        return None
    y_a, x_a = (float(s) * _ANGSTROM[name] for s, name in zip(scale[-2:], names, strict=True))
    return x_a if x_a > 0 and abs(y_a / x_a - 1) < 0.01 else None


def grey_limits(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return grey values that show an image (y, x), a few outliers apart."""
    from nt2c.report import figures

    return figures.grey_limits(image)


def _read(path: Path) -> LayerData:
    from nt2c.io.inputs import split_ending
    from nt2c.io.micrographs import open_movie

    with open_movie(path, 1.0) as file:  # of any pixel size
        size_a, count = file.reader.pixel_size_a, file.sections
        images = np.stack([file.read_unchecked(index) for index in range(count)])
    attributes: dict[str, Any] = {
        "name": split_ending(path.name)[0],
        "contrast_limits": grey_limits(images[0]),
        "metadata": {"path": str(path)},
    }
    if size_a is not None:
        stack = count > 1
        attributes["scale"] = (1.0,) * stack + (size_a, size_a)
        attributes["units"] = ("pixel",) * stack + ("angstrom", "angstrom")
    return images if count > 1 else images[0], attributes, "image"


def _has_pixel_size(path: Path) -> bool:
    from nt2c.io.tiff import TiffReader

    try:
        reader = TiffReader(path)
    except InputError:
        return False
    reader.close()
    return reader.pixel_size_a is not None


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
