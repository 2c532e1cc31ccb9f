"""Movies whose frames are aligned: their sum, and the sums of even and odd frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.io.micrographs import Micrograph


@dataclass(frozen=True)
class Sums:
    """Sums of the frames of a movie, shape (y, x), on one grey scale.

    Attributes
    ----------
    whole : array
        Sum of all frames.
    even, odd : array
        Mean of every second frame, from the first and from the second, times the number of all:
        independent noise on the signal of `whole`.
    """

    whole: NDArray[np.float32]
    even: NDArray[np.float32]
    odd: NDArray[np.float32]


def sum_frames(movie: Micrograph, *, aligned: bool = False) -> Sums:
    """Sum the frames of an open stack, of which one at a time is held.

    Parameters
    ----------
    movie : Micrograph
        From `open_micrograph`.
    aligned : bool
        The frames are aligned, whatever they look like.

    Raises
    ------
    InputError
        A frame cannot be read; there is only one; or the frames are whole numbers, as cameras give
        them and no alignment leaves them, and it is not said that they are aligned.
    """
    if movie.sections < 2:
        raise InputError(f"{movie.path}: a single image, not a movie; denoise it as it is")
    first = movie.read(0)
    if not aligned and np.array_equal(first, np.rint(first)):
        raise InputError(
            f"{movie.path}: frames of whole numbers are those of a camera, not aligned; correct "
            "the motion first (MotionCor, RELION, Warp, CryoSPARC) and give its sum to nt2c "
            "denoise. --aligned sums them as they are"
        )
    halves = np.zeros((2, *movie.shape), np.float64)
    for section in range(movie.sections):
        halves[section % 2] += movie.read(section)
    counts = np.array([-(-movie.sections // 2), movie.sections // 2])
    even, odd = halves * (movie.sections / counts)[:, None, None]
    return Sums(*(image.astype(np.float32) for image in (halves.sum(0), even, odd)))
