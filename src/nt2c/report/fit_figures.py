"""Pictures of a fit: images beside each other at one grey scale, spectra."""

from collections.abc import Mapping

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


def spectra(
    frequency_per_a: NDArray[np.float32], curves: Mapping[str, NDArray[np.float32]]
) -> bytes:
    """Return a PNG of radial power spectra on a logarithmic scale.

    Parameters
    ----------
    frequency_per_a : array, shape (rings,)
        In 1/angstrom; the first, zero, is left out.
    curves : mapping of str to array, shape (rings,)
        Power by name. Names that start with "synthesized" are dashed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=150, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, power in curves.items():
        dashed = name.startswith("synthesized")
        axes.semilogy(
            frequency_per_a[1:], power[1:], label=name, linestyle="--" if dashed else "-", lw=1.6
        )
    axes.set_xlabel("spatial frequency, 1/A")
    axes.set_ylabel("power, arbitrary unit")
    axes.grid(alpha=0.25, which="both", lw=0.5)
    axes.legend(frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.draw()
    import imagecodecs

    colours = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return bytes(imagecodecs.png_encode(colours))


def _middle(image: Grey, side: int) -> Grey:
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]
