"""What a denoiser makes of particle-free noise: variance, and blobs that a picker would take.

The picker is that of `picking.detector`, with one diameter, maxima at least one diameter apart, and
a threshold that is defined on micrographs with particles.
"""

from collections.abc import Sequence

import numpy as np

from nt2c.core.errors import InputError
from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.spectral import Image
from nt2c.picking.detector import Blobs


def variance_ratio(noise: Image, particles: Image) -> float:
    """Return var(denoised noise) / var(denoised micrograph with particles); shapes may differ.

    Raises
    ------
    InputError
        Values are not finite, or the micrograph with particles is constant.
    """
    same_shape(noise=noise)
    same_shape(particles=particles)
    power = float(np.var(particles, dtype=np.float64))
    if power == 0:
        raise InputError("the denoised micrograph with particles is constant")
    return float(np.var(noise, dtype=np.float64)) / power


def pick_threshold(micrographs: Sequence[Blobs]) -> float:
    """Set the picking threshold from micrographs with particles, by Otsu's method.

    The threshold splits the heights of all blobs into two classes with the largest variance
    between them: particles, and everything else.

    It is returned in grey levels, midway between the lowest particle and the highest of the rest.

    Raises
    ------
    InputError
        If there are fewer than two blobs of different height.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979).
    """
    heights = np.sort(np.concatenate([blobs.height for blobs in micrographs] or [np.empty(0)]))
    if heights.size < 2 or heights[0] == heights[-1]:
        raise InputError("too few blobs for a threshold: give micrographs with more particles")
    below = np.arange(1, heights.size)
    above = heights.size - below
    sums = np.cumsum(heights)[:-1]
    contrast = (heights.sum() - sums) / above - sums / below
    split = int(np.argmax(below * above * contrast**2))
    return float((heights[split] + heights[split + 1]) / 2)
