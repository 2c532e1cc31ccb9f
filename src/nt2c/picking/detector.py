"""Dark blobs of one size or a range of sizes in a denoised micrograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy import ndimage
from scipy.spatial import KDTree

from nt2c.core.errors import InputError
from nt2c.picking import SPACING

SIGMA_RATIO = 1.6
"""Ratio of the two Gaussians; 1.6 comes closest to a Laplacian (Marr & Hildreth 1980)."""
_SCALE_STEP = 1.15  # of the diameters: the response falls by 2 % at half a step
_LARGEST_SHARE = 0.25  # of the shorter side of the image

Image = Real[np.ndarray, "y x"]
Diameters = float | tuple[float, float]


@dataclass(frozen=True)
class Blobs:
    """Candidate particles of one micrograph, the strongest first.

    Attributes
    ----------
    yx_px : array, shape (blobs, 2)
        Centres in pixels, to a fraction of one; the first pixel has its centre at 0.
    height : array, shape (blobs,)
        Response of the difference of Gaussians in grey levels, positive for dark blobs.
    diameter_px : array, shape (blobs,)
        Diameter that fits best.
    """

    yx_px: Float[np.ndarray, "blobs 2"]
    height: Float[np.ndarray, " blobs"]
    diameter_px: Float[np.ndarray, " blobs"]

    def __len__(self) -> int:
        """Return the number of blobs."""
        return len(self.height)

    def __getitem__(self, which: Any) -> "Blobs":
        """Return some of the blobs: a slice, a mask or indices."""
        return Blobs(self.yx_px[which], self.height[which], self.diameter_px[which])

    def count(self, threshold: float) -> int:
        """Return the number of blobs at least as high as a threshold."""
        return int(np.count_nonzero(self.height >= threshold))


def largest_px(shape: tuple[int, int]) -> float:
    """Greatest diameter that can be found in an image (y, x), in pixels."""
    return _LARGEST_SHARE * min(shape)


def scales_px(diameter_px: Diameters) -> list[float]:
    """Diameters that are tried: the one, or a geometric series over the range."""
    if not isinstance(diameter_px, tuple):
        return [diameter_px]
    low, high = diameter_px
    steps = max(1, round(np.log(high / low) / np.log(_SCALE_STEP)))
    return [low * (high / low) ** (i / steps) for i in range(steps + 1)]


def response(image: Image, diameter_px: float) -> Float[np.ndarray, "y x"]:
    """Difference of Gaussians, wide - narrow, mirrored at the borders: high on dark blobs.

    The narrow Gaussian has sigma = diameter / (2 sqrt 2) / sqrt 1.6, the wide one 1.6 times that:
    the pair responds most to a disc of this diameter, and to discs of its own diameter alike
    whatever that is.

    References
    ----------
    Voss et al., J. Struct. Biol. 166, 205 (2009), the DoG picker.
    """
    narrow = diameter_px / (2 * 2**0.5) / SIGMA_RATIO**0.5
    wide: Float[np.ndarray, "y x"] = ndimage.gaussian_filter(image, narrow * SIGMA_RATIO)
    return wide - ndimage.gaussian_filter(image, narrow)


def find_blobs(
    image: Image,
    diameter_px: Diameters,
    spacing: float = 1.0,
    allowed: Bool[np.ndarray, "y x"] | None = None,
) -> Blobs:
    """Find dark blobs: maxima of the `response` over places and diameters, well apart.

    A maximum counts if it is positive, at least half a diameter from the border, allowed, and if no
    larger one that counts is nearer than `spacing` of their mean diameter.

    Parameters
    ----------
    image : array, shape (y, x)
        Denoised micrograph, protein dark.
    diameter_px : float or (float, float)
        Particle diameter in pixels, at least 2, or the least and the greatest one.
    spacing : float
        Least distance of two blobs in diameters, > 0.
    allowed : array of bool, shape (y, x), optional
        Where centres may lie; everywhere by default.

    Raises
    ------
    InputError
        If a diameter is under 2 pixels or over a quarter of the image, or values are not finite.
    """
    image = np.asarray(image)
    scales = scales_px(diameter_px)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise InputError("blobs are found in an image (y, x) of finite values")
    if not 2 <= min(scales) <= max(scales) <= largest_px((image.shape[0], image.shape[1])):
        raise InputError(
            f"a diameter of {max(scales):.1f} px does not suit an image of {image.shape}: "
            "it must be 2 px to a quarter of the shorter side"
        )
    stack = np.stack([response(image.astype(np.float64, copy=False), size) for size in scales])
    return _separated(_maxima(stack, scales, allowed), spacing)


def _maxima(stack: Any, scales: Sequence[float], allowed: Any) -> Blobs:
    """Local maxima of the responses (scale, y, x), the highest first."""
    peaks = (stack > 0) & (stack == ndimage.maximum_filter(stack, 3, mode="nearest"))
    if allowed is not None:
        peaks &= allowed
    for plane, size in zip(peaks, scales, strict=True):
        margin = int(np.ceil(size / 2))
        inner = plane[margin:-margin, margin:-margin].copy()
        plane[:] = False
        plane[margin:-margin, margin:-margin] = inner
    at = np.argwhere(peaks)
    height = stack[tuple(at.T)]
    order = np.argsort(-height, kind="stable")
    at, height = at[order], height[order]
    scale, y, x = at.T
    offsets = np.stack([
        _vertex(stack[scale, y - 1, x], height, stack[scale, y + 1, x]),
        _vertex(stack[scale, y, x - 1], height, stack[scale, y, x + 1]),
    ], -1)  # fmt: skip
    return Blobs(at[:, 1:] + offsets, height, np.asarray(scales, np.float64)[scale])


def _vertex(before: Any, middle: Any, after: Any) -> Any:
    """Place of the maximum of a parabola through values at -1, 0 and 1, at most 1/2 away."""
    bend = before - 2 * middle + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(middle), where=bend < 0)
    return shift.clip(-0.5, 0.5)


def _separated(blobs: Blobs, spacing: float) -> Blobs:
    """Take blobs from the highest down, each that is far enough from all taken before."""
    if not len(blobs):
        return blobs
    free = np.ones(len(blobs), bool)
    tree = KDTree(blobs.yx_px)
    reach = spacing * blobs.diameter_px.max()
    for i in range(len(blobs)):
        if free[i]:
            near = np.array(tree.query_ball_point(blobs.yx_px[i], reach))
            near = near[near > i]
            apart = spacing * (blobs.diameter_px[near] + blobs.diameter_px[i]) / 2
            free[near[np.hypot(*(blobs.yx_px[near] - blobs.yx_px[i]).T) < apart]] = False
    return blobs[free]


def claimed(blobs: Blobs, by: Blobs, spacing: float = SPACING) -> Bool[np.ndarray, " blobs"]:
    """Tell which blobs lie nearer to one of `by` than `spacing` of their mean diameter."""
    result = np.zeros(len(blobs), bool)
    if len(blobs) and len(by):
        reach = spacing * max(blobs.diameter_px.max(), by.diameter_px.max())
        for i, near in enumerate(KDTree(by.yx_px).query_ball_point(blobs.yx_px, reach)):
            distance = np.hypot(*(by.yx_px[near] - blobs.yx_px[i]).T)
            apart = spacing * (by.diameter_px[near] + blobs.diameter_px[i]) / 2
            result[i] = bool((distance < apart).any())
    return result
