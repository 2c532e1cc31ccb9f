"""Files for the tests of `nt2c.io`, written by mrcfile or byte by byte, not by nt2c."""

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data"
WHOLE = Path(__file__).parents[3] / "shared" / "data"


def real(name: str) -> Path:
    """Return a whole real file, which lies beside the repository, or skip the test."""
    path = WHOLE / name
    if not path.exists():
        pytest.skip(f"real data are not there: ../shared/data/{name}")
    return path


def image(shape=(6, 8), dtype=np.float32, seed=0) -> np.ndarray:
    """Return an image that is different under every flip and rotation."""
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def write_mrc(path: Path, data: np.ndarray, pixel_size_a: float | None = 1.5) -> Path:
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as mrc:
        warnings.simplefilter("ignore")
        mrc.set_data(data)
        if data.ndim == 3:
            mrc.set_image_stack()
        if pixel_size_a is not None:
            mrc.voxel_size = pixel_size_a
    return path


def patch(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes of a file."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)
    return path
