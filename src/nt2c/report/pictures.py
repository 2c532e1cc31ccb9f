"""Pictures of micrographs for a page of thousands: as large as a total size allows."""

import base64
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nt2c.report.figures import Limits, grey_limits, shrink

TOTAL_BYTES = 19_000_000
"""Of all pictures of a page; as text they take a third more."""

_QUALITIES = (75, 45, 20)
_SMALLER = 0.8

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Room:
    """What a picture may take: bytes before base64, and pixels of its longest side."""

    most_bytes: int
    longest_px: int


def rooms(micrographs: int) -> tuple[Room, Room]:
    """Return the room of the raw and of the denoised picture of each of so many micrographs.

    Noise takes several times the bytes of a denoised image of that size, and shows no more when
    it is large.
    """
    own = TOTAL_BYTES / max(1, micrographs)
    return _room(0.45 * own, 0.35, 720), _room(0.55 * own, 0.09, 1440)


def _room(share_bytes: float, bytes_per_px: float, most_px: int) -> Room:
    side = min(most_px, max(96, math.sqrt(share_bytes / bytes_per_px)))
    return Room(int(share_bytes), round(side))


def shared_limits(raw: Grey, denoised: Grey) -> Limits:
    """One grey scale for both: wide enough for the denoised image; few values of the raw clip."""
    low, high = grey_limits(denoised, sigmas=4.5)
    below, above = grey_limits(raw, sigmas=1.6)
    half = max(high - low, above - below) / 2
    middle = (low + high) / 2
    return middle - half, middle + half


def webp(image: Grey, limits: Limits, room: Room) -> str:
    """Return an image, shape (y, x), as WebP in base64, coarser or smaller until it is in bounds.

    Parameters
    ----------
    image : array
        Grey values.
    limits : (float, float)
        Values shown as black and white.
    room : Room
        Greatest size.
    """
    import imagecodecs

    low, high = limits
    small = shrink(image, room.longest_px)
    while True:
        grey = np.clip((small - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
        colours = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
        for quality in _QUALITIES:
            data = imagecodecs.webp_encode(colours, level=quality, method=2, lossless=False)
            if len(data) <= room.most_bytes or max(grey.shape) <= 16:
                return base64.b64encode(data).decode("ascii")
        small = shrink(small, int(_SMALLER * max(small.shape)))
