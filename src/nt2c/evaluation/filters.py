"""Reference filters to compare a denoiser with: Gaussian blur and the best radial linear filter.

Images are arrays (y, x). `InputError` is raised where they differ in shape or hold NaN or infinity.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.evaluation.checks import same_shape
from nt2c.evaluation.spectral import Float64, Image, centred, filtered, frequencies
from nt2c.evaluation.truth import correlation
from nt2c.imaging.fourier import Rings, gaussian_lowpass

WIENER_SHELLS = 64
"""Shells between zero and the Nyquist frequency in which a radial gain is constant."""


def gaussian(image: Image, sigma_px: float) -> Float64:
    """Blur with a Gaussian, the image being mirrored at its edges, as `gaussian_lowpass` does."""
    same_shape(image=image)
    blurred: Float64 = gaussian_lowpass(_tensor(image), sigma_px).numpy()
    return blurred


def best_gaussian(image: Image, truth: Image, sigmas_px: Sequence[float]) -> tuple[float, Float64]:
    """Choose the blur that correlates best with the truth: a bar set with the truth in hand.

    Return the standard deviation, of those to try, and the blurred image.

    Raises
    ------
    InputError
        There is no sigma.
    """
    if not sigmas_px:
        raise InputError("best_gaussian needs at least one sigma to try")
    blurred = {sigma: gaussian(image, sigma) for sigma in sigmas_px}
    best = max(sigmas_px, key=lambda sigma: correlation(blurred[sigma], truth))
    return best, blurred[best]


def wiener_gain(images: Sequence[Image], references: Sequence[Image]) -> Float64:
    """Estimate the best radial linear filter from micrographs and references of their signal.

    Per shell: gain = sum Re(Y* R) / sum |Y|^2, clipped to [0, 1]. R is the truth or an independent
    exposure: noise in R that is independent of Y cancels on average.

    Parameters
    ----------
    images, references : sequence of array, shape (y, x)
        Micrographs Y and references R, pair by pair of one shape, on the same grey scale of the
        signal and of one pixel size. Sums run over all pairs.

    Raises
    ------
    InputError
        There are no pairs, or all images are constant.
    """
    if not images or len(images) != len(references):
        raise InputError(f"expected pairs, got {len(images)} images, {len(references)} references")
    cross, power = np.zeros(WIENER_SHELLS), np.zeros(WIENER_SHELLS)
    for image, reference in zip(images, references, strict=True):
        shape = same_shape(image=image, reference=reference)
        y, r = (torch.fft.rfft2(_tensor(centred(x))) for x in (image, reference))
        shells = Rings.equal(shape, WIENER_SHELLS)
        cross += shells.sums((y.conj() * r).real).numpy()
        power += shells.sums(y.abs().square()).numpy()
    filled = np.flatnonzero(power)  # small images leave shells empty
    if filled.size == 0:
        raise InputError("the images of wiener_gain are constant")
    gain = np.interp(np.arange(WIENER_SHELLS), filled, cross[filled] / power[filled])
    return np.clip(gain, 0.0, 1.0)


def radial_wiener(image: Image, gain: Float64) -> Float64:
    """Apply the gain of `wiener_gain`, interpolated between the centres of its shells.

    The mean stays; the filter wraps around the edges.
    """
    same_shape(image=image)
    centres = (np.arange(WIENER_SHELLS) + 0.5) / WIENER_SHELLS / 2
    response = np.interp(frequencies(image, 1.0), centres, gain)
    response[0, 0] = 1.0
    return filtered(image, response)


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, np.float64))
