"""How unlikely it is that noise alone gives so dark a blob, pixel by pixel."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from nt2c.picking.detector import Diameters, response, scales_px


def greatest_response(
    image: Float[np.ndarray, "y x"], diameter_px: Diameters
) -> Float[np.ndarray, "y x"]:
    """Return the `response` of each pixel, the greatest of the diameters that are tried."""
    responses = [response(image, size) for size in scales_px(diameter_px)]
    return np.maximum.reduce(responses).astype(np.float32)


def significance_map(
    image: Float[np.ndarray, "y x"],
    decoys: Sequence[Float[np.ndarray, "y x"]],
    diameter_px: Diameters,
    allowed: Bool[np.ndarray, "y x"],
) -> Float[np.ndarray, "y x"]:
    """Minus the decadic logarithm of the probability that noise gives so dark a blob at a pixel.

    The probability is (1 + r) / (1 + n): of the n pixels of the decoys, r respond as much or more
    (Davison & Hinkley 1997, eq. 4.11). So the greatest value is log10(1 + n): darker than all.

    Parameters
    ----------
    image : array, shape (y, x)
        Denoised micrograph in units of its noise, protein dark.
    decoys : sequence of array, shape (y, x)
        Denoised noise, at least one field.
    diameter_px : float or (float, float)
        Particle diameter in pixels, or the least and the greatest one.
    allowed : array of bool, shape (y, x)
        Where picks may lie; elsewhere the map is 0, and decoys do not count.
    """
    null = np.sort(np.concatenate([greatest_response(d, diameter_px)[allowed] for d in decoys]))
    found = greatest_response(image, diameter_px)
    darker = len(null) - np.searchsorted(null, found, side="left")
    result = -np.log10((1 + darker) / (1 + len(null)))
    return np.where(allowed, result, 0).astype(np.float32)
