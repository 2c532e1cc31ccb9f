"""Micrographs that are not raw: low-pass filtered, dose-weighted, blurred, enlarged, denoised.

They lack noise at fine periods. A denoiser that expects it there takes what is left for structure.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.fourier import Rings, frequency_grid
from nt2c.imaging.noise_spectrum import measure_noise

_FINEST_A, _FINE_A, _MIDDLE_A = (8.2, 9.4), (11.0, 14.0), (20.0, 40.0)  # bands of periods
_FADING = 0.5  # power of the finest over that of the fine band; raw micrographs have more
_FADED = 0.35  # the same that no camera and no film gives
_EMPTY = 0.1  # of the fine over that of the middle band; strong films have 0.25
_BINS = 48


def fading(image: Float[Tensor, "y x"], pixel_size_a: float) -> float:
    """How much noise is left at the finest periods, as a share of that at fine ones.

    0 if none is; 1 of a constant or tiny image. Medians, which the spots of crystals do not change.
    """
    k = frequency_grid((image.shape[0], image.shape[1]), pixel_size_a, image.device)
    power = torch.fft.rfft2(image - image.mean()).abs().square()
    bands = [power[(k > 1 / high) & (k < 1 / low)] for low, high in (_FINEST_A, _FINE_A, _MIDDLE_A)]
    if not all(band.numel() for band in bands):
        return 1.0
    finest, fine, middle = (float(band.median()) for band in bands)
    if not middle > 0:
        return 1.0
    return 0.0 if fine <= _EMPTY * middle else finest / fine


def with_noise_restored(
    image: Float[Tensor, "y x"], pixel_size_a: float
) -> tuple[Float[Tensor, "y x"], bool]:
    """Add the noise that a filter took away, and say whether one certainly did.

    White noise is restored up to that of the noise at periods of 20 to 40 A; what the filter took
    of the signal stays lost. The noise added is the same for images of the same size.

    Parameters
    ----------
    image : Tensor
        Micrograph (y, x) at the working pixel size.
    pixel_size_a : float
        Working pixel size in angstrom.
    """
    left = fading(image, pixel_size_a)
    if left > _FADING:
        return image, False
    shape = (image.shape[0], image.shape[1])
    k = frequency_grid(shape, pixel_size_a, image.device)
    power = torch.fft.rfft2(image - image.mean()).abs().square()
    level = (
        measure_noise(image[None] - image.mean()).between(
            pixel_size_a / _MIDDLE_A[1], pixel_size_a / _MIDDLE_A[0]
        )
        * image.numel()
    )
    # The mean power of narrow rings says how much is missing in each.
    ring = (k * 2 * pixel_size_a * _BINS).long().clamp(max=_BINS)  # the corners share the last
    mean = Rings(ring, _BINS + 1, torch.ones_like(k)).means(power)
    missing = (1 - mean[ring] / max(level, 1e-30)).clamp(min=0)
    missing = torch.where(k > 1 / _MIDDLE_A[0], missing, torch.zeros_like(missing))
    generator = stream(0, "restored noise", device=image.device)
    white = torch.fft.rfft2(torch.randn(shape, generator=generator, device=image.device))
    amplitude = (missing * level / image.numel()).sqrt()
    return image + torch.fft.irfft2(white * amplitude, s=shape), left < _FADED
