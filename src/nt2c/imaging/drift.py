"""How far a specimen moved between two images of it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import frequency_grid

_BAND_A = (25.0, 400.0)
_REACH_A = 150.0
_CLEAR = 6.0  # standard deviations of what unlike images give
_FINE = 0.4  # cycles per pixel: there the camera's pattern is alike, but hardly the specimen
_FINEST_SPECIMEN_A = 5.0
_PATTERN = 0.02


@dataclass(frozen=True)
class Drift:
    """Shift between two images.

    Attributes
    ----------
    distance_a : float
        Angstrom.
    certain : bool
        The images have something in common that tells the shift, and it is not the pattern of a
        camera, which stays where it is however the specimen moves.
    """

    distance_a: float
    certain: bool


def measure_drift(
    first: Float[Tensor, "y x"], second: Float[Tensor, "y x"], pixel_size_a: float
) -> Drift:
    """Measure the shift between two noisy images of a specimen, up to 150 A.

    The phases of all frequencies between 1/400 and 1/25 per angstrom are compared with equal
    weight; where they agree best is the shift. Two unlike images reach the limit of certainty in
    less than one of 10,000 cases.

    Parameters
    ----------
    first, second : Tensor, shape (y, x)
        Sums of frames, at least 8 pixels along each axis.
    pixel_size_a : float
        Angstrom.
    """
    rows, columns = first.shape
    taper = torch.hann_window(rows, periodic=False)[:, None] * torch.hann_window(
        columns, periodic=False
    )
    spectra = [torch.fft.rfft2((image - image.mean()) * taper) for image in (first, second)]
    cross = spectra[0] * spectra[1].conj()
    cross /= cross.abs().clamp(min=torch.finfo(torch.float32).tiny)
    frequency = frequency_grid((rows, columns), 1.0)
    band = (frequency > pixel_size_a / _BAND_A[1]) & (frequency < pixel_size_a / _BAND_A[0])
    agreement = torch.fft.irfft2(cross * band, s=(rows, columns)) * (rows * columns)
    height, shift = _peak(agreement, max(2, math.ceil(_REACH_A / pixel_size_a)))
    # Each coefficient stands for itself and its mirror image; the taper joins neighbours.
    noise = math.sqrt(2 * int(band.sum()) * float(taper.pow(4).mean() / taper.pow(2).mean() ** 2))
    fine = cross.real[frequency > _FINE]
    pattern = pixel_size_a < _FINE * _FINEST_SPECIMEN_A and float(fine.mean()) > _PATTERN
    certain = height > _CLEAR * noise and not pattern
    return Drift(shift * pixel_size_a, certain)


def _peak(values: Float[Tensor, "y x"], reach: int) -> tuple[float, float]:
    """Greatest value within `reach` pixels of the first corner, and how far away it is, px."""
    rows, columns = (min(reach, (size - 1) // 2 - 1) for size in values.shape)
    near = torch.roll(values, (rows + 1, columns + 1), (0, 1))[: 2 * rows + 3, : 2 * columns + 3]
    inner = near[1:-1, 1:-1]
    y, x = divmod(int(inner.argmax()), inner.shape[1])
    down = _vertex(near[y : y + 3, x + 1])
    across = _vertex(near[y + 1, x : x + 3])
    return float(inner[y, x]), math.hypot(y - rows + down, x - columns + across)


def _vertex(three: Float[Tensor, "3"]) -> float:
    """Place of the vertex of the parabola through three values, relative to the middle one."""
    before, middle, after = three.tolist()
    bend = before - 2 * middle + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
