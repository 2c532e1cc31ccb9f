"""Pictures of micrographs for a page of thousands: as large as a total size allows."""

import base64
import math

import numpy as np
from numpy.typing import NDArray

from nt2c.report.figures import Limits, grey_limits

TOTAL_BYTES = 19_000_000
"""Of all pictures of a page; as text they take a third more."""

_LONGEST_PX = (96, 720)
_BYTES_PER_PX = 0.2
_LARGEST_BYTES = 110_000
_QUALITIES = (75, 45, 20)
_SMALLER = 0.75

Grey = NDArray[np.float32]


def picture_bytes(micrographs: int) -> int:
    """Bytes that each of the two pictures of a micrograph may have."""
    return min(_LARGEST_BYTES, TOTAL_BYTES // (2 * max(1, micrographs)))


def longest_px(most_bytes: int) -> int:
    """Longest side of a picture of so many bytes, px."""
    low, high = _LONGEST_PX
    return max(low, min(high, round(math.sqrt(most_bytes / _BYTES_PER_PX))))


def shared_limits(raw: Grey, denoised: Grey) -> Limits:
    """One grey scale for both: wide enough for the denoised image; few values of the raw clip."""
    low, high = grey_limits(denoised, sigmas=4.5)
    below, above = grey_limits(raw, sigmas=1.6)
    half = max(high - low, above - below) / 2
    middle = (low + high) / 2
    return middle - half, middle + half


def webp(image: Grey, limits: Limits, most_bytes: int) -> str:
    """Return an image, shape (y, x), as WebP in base64, coarser or smaller until it is in bounds.

    Parameters
    ----------
    image : array
        Grey values.
    limits : (float, float)
        Values shown as black and white.
    most_bytes : int
        Greatest size before base64.
    """
    import imagecodecs

    low, high = limits
    grey = np.clip((image - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
    while True:
        colours = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
        for quality in _QUALITIES:
            data = bytes(imagecodecs.webp_encode(colours, level=quality, method=2))
            if len(data) <= most_bytes or max(grey.shape) <= 16:
                return base64.b64encode(data).decode("ascii")
        rows, columns = (max(1, int(size * _SMALLER)) for size in grey.shape)
        picked_y = np.arange(rows) * grey.shape[0] // rows
        picked_x = np.arange(columns) * grey.shape[1] // columns
        grey = grey[picked_y][:, picked_x]
