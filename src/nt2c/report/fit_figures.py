"""Pictures of a fit: images beside each other at one grey scale."""

import numpy as np
from numpy.typing import NDArray

from nt2c.report.figures import Panel, grey_limits, strip

Grey = NDArray[np.float32]


def same_scale(left: tuple[str, Grey], right: tuple[str, Grey], side_px: int = 256) -> bytes:
    """Return a PNG of the middles of two images, side by side at one grey scale."""
    side = min(side_px, *left[1].shape, *right[1].shape)
    panels = [Panel(title, _middle(image, side)) for title, image in (left, right)]
    return strip(panels, grey_limits(*(panel.image for panel in panels)))


def mosaic(windows: NDArray[np.float32], rows: int = 4, columns: int = 4) -> Grey:
    """Lay windows (n, s, s), evenly picked, side by side in one image."""
    picked = windows[np.linspace(0, len(windows) - 1, rows * columns).round().astype(int)]
    lines = [
        np.concatenate(list(picked[row * columns : (row + 1) * columns]), axis=1)
        for row in range(rows)
    ]
    return np.concatenate(lines, axis=0)


def _middle(image: Grey, side: int) -> Grey:
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]
