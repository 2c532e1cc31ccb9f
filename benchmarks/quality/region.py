"""Region SNR: the measure of Topaz-Denoise (Bepler et al. 2020, eq. 4) and DRACO.

For a particle and a background beside it, discs of one size: (mean of the particle - mean of the
background)^2 / variance of the background; the mean over particles of its decibels. Smoothing alone
raises it, since it lowers the variance of the background: read it beside that of a low-pass filter.

The original regions were marked by hand. Here a particle's disc is 0.8 diameters wide around its
centre, and its background is the nearest disc whose centre is at least a diameter from every
particle. Particles near the border, or in fields without such a place, are left out.
"""

import numpy as np
from benchmarks.quality.fields import Array

DISC = 0.8  # width in diameters
STEP = 0.25  # of the grid of backgrounds, in diameters


def regions(shape: tuple[int, int], centres_px: Array, diameter_px: float) -> tuple[Array, Array]:
    """Centres (n, 2) of the particles' discs, and of the backgrounds beside them."""
    margin = DISC * diameter_px / 2 + 1
    size = np.array(shape)
    axes = [np.arange(margin, side - margin, STEP * diameter_px) for side in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    centres = np.asarray(centres_px, np.float64).reshape(-1, 2)
    free = grid[distances(grid, centres).min(1, initial=np.inf) >= diameter_px]
    inside = centres[((centres >= margin) & (centres < size - margin)).all(1)]
    if len(free) == 0 or len(inside) == 0:
        return np.empty((0, 2)), np.empty((0, 2))
    return inside, free[distances(inside, free).argmin(1)]


def region_snr_db(
    image: Array, particles_px: Array, backgrounds_px: Array, diameter_px: float
) -> list[float]:
    """Decibels of every particle."""
    values = []
    for particle, background in zip(particles_px, backgrounds_px, strict=True):
        signal, noise = (disc(image, c, DISC * diameter_px / 2) for c in (particle, background))
        power = (signal.mean() - noise.mean()) ** 2
        values.append(10 * np.log10(max(power, 1e-30) / max(noise.var(), 1e-30)))
    return [float(value) for value in values]


def disc(image: Array, centre_px: Array, radius_px: float) -> Array:
    """Values of an image within a radius."""
    low = np.maximum(np.floor(centre_px - radius_px).astype(int), 0)
    high = np.ceil(centre_px + radius_px).astype(int) + 1
    rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
    part = np.asarray(image[low[0] : high[0], low[1] : high[1]], np.float64)
    rows, columns = rows[: part.shape[0]], columns[:, : part.shape[1]]
    return part[np.hypot(rows - centre_px[0], columns - centre_px[1]) <= radius_px]


def distances(a: Array, b: Array) -> Array:
    return np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
