"""Picks against true centres: precision, recall, average precision and best F1.

Picks are taken from the strongest down; each claims the nearest true centre that is still free and
at most `LIMIT` diameters away. A pick without one is false. So a true centre counts once, however
many picks lie on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.quality.fields import Array

LIMIT = 0.5


@dataclass(frozen=True)
class Curve:
    """Precision and recall as the threshold falls: one point for each height that occurs."""

    threshold: Array
    precision: Array
    recall: Array

    @property
    def average_precision(self) -> float:
        """Area under the steps: sum of precision x gain in recall, nothing beyond the last pick."""
        gains = np.diff(self.recall, prepend=0.0)
        return float((gains * self.precision).sum())

    @property
    def f1(self) -> Array:
        total = self.precision + self.recall
        product = 2 * self.precision * self.recall
        return np.divide(product, total, out=np.zeros_like(total), where=total > 0)

    @property
    def best(self) -> tuple[float, float]:
        """Best F1, and the threshold that gives it."""
        if len(self.threshold) == 0:
            return 0.0, float("inf")
        i = int(self.f1.argmax())
        return float(self.f1[i]), float(self.threshold[i])


def match(picks_yx: Array, true_yx: Array, diameter_px: float) -> Array:
    """Which true centre each pick claims, the strongest pick first; -1 for none.

    Parameters
    ----------
    picks_yx, true_yx : array, shape (n, 2), (m, 2)
        Centres in pixels.
    diameter_px : float
        Particle diameter.

    Returns
    -------
    array of int, shape (n,)
    """
    true = np.asarray(true_yx, np.float64).reshape(-1, 2)
    free = np.ones(len(true), bool)
    claimed = np.full(len(picks_yx), -1)
    for i, pick in enumerate(np.asarray(picks_yx, np.float64).reshape(-1, 2)):
        distance = np.where(free, np.hypot(*(true - pick).T), np.inf)
        nearest = int(distance.argmin()) if len(true) else -1
        if nearest >= 0 and distance[nearest] <= LIMIT * diameter_px:
            claimed[i], free[nearest] = nearest, False
    return claimed


def curve(heights: Sequence[Array], hits: Sequence[Array], true_count: int) -> Curve:
    """Pool fields at one threshold for all.

    Parameters
    ----------
    heights, hits : sequence of array, shape (picks,)
        Of each field: heights on a scale that fields share, and whether each pick is right.
    true_count : int
        True centres of all fields.
    """
    height = np.concatenate([np.empty(0), *heights])
    right = np.concatenate([np.empty(0, bool), *hits]).astype(bool)
    order = np.argsort(-height, kind="stable")
    height, right = height[order], right[order]
    last = np.append(height[1:] != height[:-1], True)[: len(height)]  # of picks of equal height
    found = np.cumsum(right)[last]
    taken = np.arange(1, len(height) + 1)[last]
    return Curve(height[last], found / np.maximum(taken, 1), found / max(true_count, 1))
