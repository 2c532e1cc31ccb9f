"""Windows at the pixel size of their micrographs, in the grey values of the files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nt2c.io.files import atomic_path
from nt2c.io.micrographs import open_micrograph
from nt2c.pipeline.window_choice import Choice, Found
from nt2c.pipeline.window_files import PREPARED, RAW


def write_raw_windows(choice: Choice, folder: Path) -> None:
    """Write `raw/NAME.npy` for each micrograph: its windows (n, side, side) as float32.

    They are in the order of the rows of `windows.csv`. The side in pixels follows from the
    micrograph's own pixel size; micrographs of several pixel sizes give files of several sides.
    """
    (folder / RAW).mkdir(exist_ok=True)
    for one, windows in choice.taken:
        if len(windows) == 0:
            continue
        cut = _cut(one, folder, windows.y_px, windows.x_px, windows.size_px)
        path = folder / RAW / f"{one.name}.npy"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, cut)


def _cut(
    one: Found, folder: Path, y_px: NDArray[np.int64], x_px: NDArray[np.int64], size_px: int
) -> NDArray[np.float32]:
    with open_micrograph(one.path, 1.0) as micrograph:  # the pixel size is of no matter here
        image = micrograph.read()
    prepared = np.load(folder / PREPARED / f"{one.name}.npy", mmap_mode="r").shape
    scales = [own / working for own, working in zip(image.shape, prepared, strict=True)]
    side = min(int(size_px * scale) for scale in scales)
    corners = zip(y_px.tolist(), x_px.tolist(), strict=True)
    return np.stack([
        image[top : top + side, left : left + side]
        for top, left in ((round(y * scales[0]), round(x * scales[1])) for y, x in corners)
    ])  # fmt: skip
