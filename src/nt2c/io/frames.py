"""Frames of a movie added up, one at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.io.micrographs import Micrograph

_MIDDLE_PX = 4096


@dataclass(frozen=True)
class Sums:
    """Sums of the frames of a movie, shape (y, x), on one grey scale.

    Attributes
    ----------
    whole : array
        Sum of all frames.
    even, odd : array or None
        Mean of every second frame, from the first and from the second, times the number of all:
        independent noise on the signal of `whole`.
    early, late : array
        The middle (at most 4096 x 4096 pixels) of the sums of the first and the second half of the
        frames.
    counts : bool
        The frames are whole numbers, as cameras give them and no alignment leaves them.
    """

    whole: NDArray[np.float32]
    even: NDArray[np.float32] | None
    odd: NDArray[np.float32] | None
    early: NDArray[np.float32]
    late: NDArray[np.float32]
    counts: bool


def sum_frames(movie: Micrograph, *, halves: bool = False) -> Sums:
    """Sum the frames of an open stack, of which one at a time is held.

    Parameters
    ----------
    movie : Micrograph
        From `open_movie`.
    halves : bool
        Sum even and odd frames for themselves too.

    Raises
    ------
    InputError
        A frame cannot be read, or there is only one.
    """
    count = movie.sections
    if count < 2:
        raise InputError(f"{movie.path}: a single image, not a movie; denoise it as it is")
    parts = np.zeros((2 if halves else 1, *movie.shape), np.float32)
    middle = _middle(movie.shape)
    times = np.zeros((2, *parts[0][middle].shape), np.float32)
    counts = False
    for index in range(count):
        frame = movie.read(index)
        if index == 0:
            counts = np.array_equal(frame, np.rint(frame))
        parts[index % len(parts)] += frame
        times[2 * index // count] += frame[middle]
    even = odd = None
    whole = parts[0]
    if halves:
        whole = parts[0] + parts[1]
        even, odd = parts[0] * (count / ((count + 1) // 2)), parts[1] * (count / (count // 2))
    return Sums(whole, even, odd, times[0], times[1], counts)


def _middle(shape: tuple[int, int]) -> tuple[slice, slice]:
    starts = [max(0, (size - _MIDDLE_PX) // 2) for size in shape]
    rows, columns = (slice(start, start + _MIDDLE_PX) for start in starts)
    return rows, columns
