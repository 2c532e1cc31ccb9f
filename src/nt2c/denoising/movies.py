"""Movies as micrographs: the sum of their frames, where these are aligned."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nt2c.core.errors import InputError
from nt2c.imaging.drift import Drift, measure_drift
from nt2c.io.frames import Sums, sum_frames
from nt2c.io.micrographs import Micrograph, open_movie

DRIFT_LIMIT_A = 5.0
"""Greatest shift in angstrom between the first and the second half of frames that are summed."""

UNSEEN = "too faint to see whether they are aligned"
"""What is said of frames between which no shift can be measured."""

_SMALLEST_PX = 64
_CORRECT = (
    "correct the motion first (MotionCor, RELION, Warp, CryoSPARC) and give its sums to nt2c "
    "denoise. nt2c sum-frames --aligned sums the frames as they are"
)


def sum_aligned(
    movie: Micrograph, *, halves: bool = False, trusted: bool = False
) -> tuple[Sums, Drift | None]:
    """Sum the frames of an open movie and see whether they are aligned.

    Parameters
    ----------
    movie : Micrograph
        From `open_movie`.
    halves : bool
        Sum even and odd frames for themselves too.
    trusted : bool
        The frames are aligned, whatever they look like.

    Returns
    -------
    (Sums, Drift or None)
        The sums, and the shift between the first and the second half of the frames; None where it
        is trusted.

    Raises
    ------
    InputError
        A frame cannot be read; there is only one; the first half of the frames is shifted against
        the second by more than `DRIFT_LIMIT_A`; or no shift can be measured, and the frames are
        counts of a camera.
    """
    sums = sum_frames(movie, halves=halves)
    if trusted:
        return sums, None
    drift = _drift(sums, movie.pixel_size_a)
    if drift.certain and drift.distance_a > DRIFT_LIMIT_A:
        raise InputError(
            f"{movie.path}: the frames are not aligned: their first half is shifted by "
            f"{drift.distance_a:.0f} A against the second; {_CORRECT}"
        )
    if sums.counts and not drift.certain:
        raise InputError(
            f"{movie.path}: frames of whole numbers are those of a camera, not aligned, and no "
            f"shift can be measured between their first and second half; {_CORRECT}"
        )
    return sums, drift


def open_sum(
    path: Path,
    pixel_size_a: float | None = None,
    star_pixel_size_a: float | None = None,
    *,
    tiff_top_first: bool = False,
) -> Micrograph:
    """Open a movie as the micrograph that its aligned frames add up to; other files as they are.

    The frames are read when the image is; one at a time is held. Until then it is not known whether
    they are aligned.

    Parameters
    ----------
    path, pixel_size_a, star_pixel_size_a, tiff_top_first
        As for `open_micrograph`.

    Raises
    ------
    InputError
        As `open_micrograph`; when the image is read, as `sum_aligned`.
    """
    movie = open_movie(path, pixel_size_a, star_pixel_size_a, tiff_top_first=tiff_top_first)
    if movie.sections == 1:
        return movie
    return Micrograph(path, SummedFrames(movie), movie.pixel_size_a, list(movie.warnings))


class SummedFrames:
    """Reader of one image, the sum of the frames of an open movie; attributes as `MrcReader`."""

    def __init__(self, movie: Micrograph) -> None:
        self._movie = movie
        self.shape = movie.shape
        self.sections = 1
        self.pixel_size_a: float | None = movie.pixel_size_a
        self.notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the file."""
        self._movie.reader.close()

    def read(self, section: int) -> NDArray[np.float32]:
        """Return the sum, float32 (y, x); `section` is 0. Then `notes` tell of a doubt.

        Raises
        ------
        InputError
            See `sum_aligned`.
        """
        sums, drift = sum_aligned(self._movie)
        if drift and not drift.certain:
            self.notes = (f"the {self._movie.sections} frames are {UNSEEN}",)
        return sums.whole


def _drift(sums: Sums, pixel_size_a: float) -> Drift:
    if min(sums.early.shape) < _SMALLEST_PX:
        return Drift(0.0, certain=False)
    return measure_drift(torch.from_numpy(sums.early), torch.from_numpy(sums.late), pixel_size_a)
