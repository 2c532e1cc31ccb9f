"""Overlays: a micrograph with the windows that were taken from it as noise."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.io.files import atomic_path
from nt2c.pipeline.window_files import OVERLAYS, load_prepared, prepared_paths, read_places
from nt2c.report.figures import grey_limits

_BLUR_PX = 2.0
_WIDTH_IN = 7.0

Frame = tuple[int, int, int, float]
"""Top left corner (y, x) and side in pixels, and the evidence of signal."""


def draw_overlays(folder: Path | str, most: int = 50) -> list[Path]:
    """Draw `overlays/NAME.png` for the micrographs of an extraction, from its files.

    Parameters
    ----------
    folder : Path or str
        From `extract_noise`.
    most : int
        At most so many micrographs.

    Returns
    -------
    list of Path
        The pictures.
    """
    folder = Path(folder)
    frames: dict[str, list[Frame]] = defaultdict(list)
    for row in read_places(folder):
        frames[row.micrograph].append((row.y_px, row.x_px, row.size_px, row.evidence))
    highest = max((frame[3] for own in frames.values() for frame in own), default=1.0)
    drawn = []
    for source in prepared_paths(folder)[:most]:
        path = folder / OVERLAYS / f"{source.stem}.png"
        scaled = load_prepared(source)
        with atomic_path(path) as temporary:
            temporary.write_bytes(window_overlay(scaled, frames[source.stem], highest))
        drawn.append(path)
    return drawn


def window_overlay(scaled: Float[Tensor, "y x"], frames: Sequence[Frame], highest: float) -> bytes:
    """Return a PNG of a blurred micrograph with a frame around each window.

    Parameters
    ----------
    scaled : Tensor, shape (y, x)
        Micrograph in units of its noise.
    frames : sequence of Frame
        Its windows.
    highest : float
        Evidence at the yellow end of the colours; dark blue is none.
    """
    from io import BytesIO

    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    image = gaussian_lowpass(scaled, _BLUR_PX).numpy()
    low, high = grey_limits(image)
    figure = Figure(figsize=(_WIDTH_IN, _WIDTH_IN * image.shape[0] / image.shape[1]), dpi=120)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
    axes.set_axis_off()
    colours = colormaps["plasma"]
    for y, x, size, evidence in frames:
        colour = colours(evidence / highest if highest > 0 else 0.0)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), size, size, fill=False, edgecolor=colour))
    stream = BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()
