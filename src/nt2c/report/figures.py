"""Pictures of micrographs as PNG: single images and strips of panels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from nt2c.imaging.fourier import resize
from nt2c.io.files import atomic_path

Limits = tuple[float, float]
"""Grey values shown as black and as white."""


@dataclass(frozen=True)
class Panel:
    """One picture of a strip.

    Attributes
    ----------
    title : str
        Line above the picture.
    image : array, shape (y, x)
        Grey values; all panels of a strip have the same shape.
    limits : (float, float), optional
        Its own grey scale, for an image that the strip's would saturate.
    """

    title: str
    image: NDArray[np.float32]
    limits: Limits | None = None


def grey_limits(*images: NDArray[np.float32], sigmas: float = 3.5) -> Limits:
    """Return one robust grey scale for all images: median -+ `sigmas` robust deviations.

    The deviation is that of the middle 98 % of the values, as a normal distribution would have it,
    so that few very dark or bright pixels do not set the scale.

    Parameters
    ----------
    *images : array, shape (y, x)
        Images, any sizes.
    sigmas : float
        Half width of the scale in deviations, > 0.
    """
    values = np.concatenate([np.asarray(image, np.float32).ravel() for image in images])
    low, middle, high = (float(value) for value in np.quantile(values, [0.01, 0.5, 0.99]))
    half = sigmas * max(high - low, 1e-6 * max(1.0, abs(middle))) / (2 * 2.326)
    return middle - half, middle + half


def shrink(image: NDArray[np.float32], longest_px: int) -> NDArray[np.float32]:
    """Resample an image, shape (y, x), so that no side exceeds `longest_px`; never enlarge."""
    factor = longest_px / max(image.shape)
    if factor >= 1:
        return image
    shape = (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor)))
    small: NDArray[np.float32] = resize(
        torch.from_numpy(np.ascontiguousarray(image)), shape
    ).numpy()
    return small


def png(image: NDArray[np.float32], limits: Limits | None = None) -> bytes:
    """Return an 8-bit grey PNG of an image, shape (y, x), first row on top.

    Parameters
    ----------
    image : array, shape (y, x)
        Grey values.
    limits : (float, float), optional
        Values shown as black and white; `grey_limits` of the image when not given.
    """
    low, high = limits or grey_limits(image)
    return _encode(np.clip((image - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8))


def _encode(grey: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(grey)))


def strip(panels: Sequence[Panel], limits: Limits, height_in: float = 3.2) -> bytes:
    """Return a PNG of panels side by side at one grey scale.

    Parameters
    ----------
    panels : sequence of Panel
        At least one.
    limits : (float, float)
        Grey scale of every panel that has none of its own.
    height_in : float
        Height of the pictures in inches at 150 dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = panels[0].image.shape
    width_in = height_in * columns / rows
    title_in = 0.32
    gap = 0.03 * width_in
    total_in = len(panels) * width_in + (len(panels) - 1) * gap
    figure = Figure(figsize=(total_in, height_in + title_in), dpi=150, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    for i, panel in enumerate(panels):
        left = i * (width_in + gap) / total_in
        share = height_in / (height_in + title_in)
        axes = figure.add_axes((left, 0, width_in / total_in, share))
        low, high = panel.limits or limits
        axes.imshow(panel.image, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
        axes.set_title(panel.title, fontsize=11, pad=5)
        axes.set_axis_off()
    canvas.draw()
    return _encode(np.asarray(canvas.buffer_rgba())[..., 0])


def save_validation(
    path: Path | str,
    noisy: Float[Tensor, "n y x"],
    output: Float[Tensor, "n y x"],
    clean: Float[Tensor, "n y x"],
    fields: int = 4,
) -> None:
    """Write a PNG with one row for each of the first fields: noisy, output, clean.

    Output and clean share one grey scale over all rows, so that an empty field looks empty; noisy
    images have theirs.

    Parameters
    ----------
    path : Path or str
        File to write; its folder is made when missing.
    noisy, output, clean : Tensor, shape (n, y, x)
        Micrographs, any device.
    fields : int
        Number of rows at most, >= 1.
    """
    columns = [image[:fields].detach().float().cpu().numpy() for image in (noisy, output, clean)]
    own, shared = grey_limits(columns[0]), grey_limits(*columns[1:], sigmas=4.5)
    levels = [
        (column - low) / (high - low)
        for column, (low, high) in zip(columns, (own, shared, shared), strict=True)
    ]
    rows = np.concatenate([np.concatenate(list(column)) for column in levels], axis=1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(rows, (0.0, 1.0)))
