"""Whether stored integers are signed, told from the pixels where the header does not know."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BAND = 32  # share of the range that is looked at on each side of a seam
_CLEAR = 2.0
_ENOUGH_PX = 1 << 22


def told_by_pixels(stored: NDArray[Any]) -> str | None:
    """Tell signed from unsigned integers by where the values of an image join.

    The values of an image follow one another without a gap. Where integers are read with the wrong
    sign, the range is cut in the middle of them: a hole lies around 0, and they pile up at both
    ends. So the right reading is the one whose seam, between its largest and its smallest value,
    lies where there are hardly any pixels on one of its sides. The end values themselves do not
    count, since clipped pixels gather there.

    Parameters
    ----------
    stored : array, shape (y, x)
        Integers of 8 or 16 bits, read either way.

    Returns
    -------
    str or None
        "i" (signed), "u" (unsigned), or None where pixels do not tell.
    """
    bits = 8 * stored.dtype.itemsize
    size = 1 << bits
    rows = stored[:: max(1, stored.size // _ENOUGH_PX)]
    native = rows.astype(rows.dtype.newbyteorder("="))
    counts = np.bincount(native.reshape(-1).view(f"u{stored.dtype.itemsize}"), minlength=size)
    middle = _both_sides(np.roll(counts, size // 2))  # around 2^(bits - 1): signed ends meet there
    ends = _both_sides(counts)  # around 0: unsigned ends meet there
    if middle > _CLEAR * ends:
        return "u"
    return "i" if ends > _CLEAR * middle else None


def _both_sides(counts: NDArray[np.int64]) -> int:
    """Pixels next to the seam between the last and the first value, on the side with fewer."""
    width = len(counts) // _BAND
    return int(min(counts[1 : width + 1].sum(), counts[-width - 1 : -1].sum()))
