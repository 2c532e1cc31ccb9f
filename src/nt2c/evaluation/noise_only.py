"""What a denoiser makes of particle-free noise: variance, and blobs that a picker would take.

The picker is fixed: a difference of Gaussians with one diameter, its maxima at least one diameter
apart, and a threshold that is defined on micrographs with particles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter

from nt2c.core.errors import InputError
from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.filters import gaussian
from nt2c.evaluation.spectral import Float64, Image

SIGMA_RATIO = 1.6
"""Ratio of the two Gaussians; 1.6 comes closest to a Laplacian (Marr & Hildreth 1980)."""


@dataclass(frozen=True)
class Blobs:
    """Candidate particles of one micrograph, the strongest first.

    Attributes
    ----------
    yx_px : array, shape (blobs, 2)
        Centres in pixels.
    height : array, shape (blobs,)
        Response of the difference of Gaussians in grey levels, positive for dark blobs.
    """

    yx_px: Float64
    height: Float64

    def count(self, threshold: float) -> int:
        """Return the number of blobs at least as high as a threshold."""
        return int(np.count_nonzero(self.height >= threshold))


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


def find_blobs(image: Image, diameter_px: float, spacing: float = 1.0) -> Blobs:
    """Find dark blobs of one size: maxima of a difference of Gaussians, a diameter apart.

    The narrow Gaussian has sigma = diameter / (2 sqrt 2) / sqrt 1.6, the wide one 1.6 times that:
    the pair responds most to a disc of this diameter. The response is wide - narrow. A maximum
    counts if it is positive, at least half a diameter from the border, and if no larger one that
    counts is nearer than `spacing`.

    Parameters
    ----------
    image : array, shape (y, x)
        Denoised micrograph, protein dark.
    diameter_px : float
        Particle diameter in pixels, at least 2.
    spacing : float
        Least distance of two blobs in diameters, > 0.

    Raises
    ------
    InputError
        If the diameter is under 2 pixels or over a quarter of the image, or values are not finite.

    References
    ----------
    Voss et al., J. Struct. Biol. 166, 205 (2009), the DoG picker.
    """
    shape = same_shape(image=image)
    if not 2 <= diameter_px <= min(shape) / 4:
        raise InputError(
            f"a diameter of {diameter_px:.1f} px does not suit an image of {shape}: "
            "it must be 2 px to a quarter of the shorter side"
        )
    narrow = diameter_px / (2 * 2**0.5) / SIGMA_RATIO**0.5
    response = gaussian(image, narrow * SIGMA_RATIO) - gaussian(image, narrow)
    return _separated_maxima(response, int(np.ceil(diameter_px / 2)), spacing * diameter_px)


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


def _separated_maxima(response: Float64, margin: int, distance_px: float) -> Blobs:
    is_peak = (response == maximum_filter(response, 3)) & (response > 0)
    yx = np.argwhere(is_peak[margin:-margin, margin:-margin]) + margin
    height = response[yx[:, 0], yx[:, 1]]
    order = np.argsort(-height, kind="stable")
    yx, height = yx[order], height[order]
    kept: list[int] = []
    for i in range(len(yx)):
        if all(np.hypot(*(yx[i] - yx[j])) >= distance_px for j in kept):
            kept.append(i)
    return Blobs(yx[kept].astype(np.float64).reshape(-1, 2), height[kept])
