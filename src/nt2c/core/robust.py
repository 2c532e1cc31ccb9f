"""Figures of users' data that a few wild values do not move."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FENCE = 3.0  # interquartile ranges: "far out" in Tukey (1977), Exploratory Data Analysis, ch. 2D
_LEAST_RANGE = 0.1  # of the median: where most values are equal, small differences are no errors
_TAIL = 0.01


def inliers(values: ArrayLike) -> NDArray[np.bool_]:
    """Tell which values (n,) are finite and not far out, beyond Tukey's outer fences."""
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return finite
    low, median, high = np.quantile(values[finite], [0.25, 0.5, 0.75])
    reach = _FENCE * max(high - low, _LEAST_RANGE * abs(median))
    with np.errstate(invalid="ignore"):
        return finite & (values >= low - reach) & (values <= high + reach)


def usual_range(values: ArrayLike) -> tuple[float, float]:
    """Range of all but the outermost hundredths of values (n,), n >= 1, all finite.

    Of fewer than a hundred, that of all.
    """
    values = np.asarray(values, np.float64)
    low = np.quantile(values, _TAIL, method="lower")
    return float(low), float(np.quantile(values, 1 - _TAIL, method="higher"))
