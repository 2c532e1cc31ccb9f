"""Discrete Fourier transforms of images: change of sampling, frequency grids, radial filters."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.limits import MAX_IMAGE_PX


def _resize_axis(image: Tensor, size: int, dim: int) -> Tensor:
    old = image.shape[dim]
    if old == size:
        return image
    spectrum = torch.fft.rfft(image, dim=dim, norm="forward")
    kept = (min(old, size) + 1) // 2  # strictly below both Nyquist frequencies
    spectrum = spectrum.narrow(dim, 0, kept)
    return torch.fft.irfft(spectrum, n=size, dim=dim, norm="forward")


def resize(image: Float[Tensor, "... y x"], shape: tuple[int, int]) -> Float[Tensor, "... v u"]:
    """Resample to `shape` by cropping or padding the Fourier transform (periodic image).

    The mean and every frequency below the Nyquist frequency of both grids are kept exactly;
    everything at or above it is dropped. Grey values keep their scale.

    Parameters
    ----------
    image : Tensor
        Real image(s), axes (..., y, x), any sizes.
    shape : tuple of int
        New (y, x) sizes, each >= 1.
    """
    if min(shape) < 1:
        raise ValueError(f"cannot resize to {shape}: sizes must be at least 1")
    # Cropping x first and padding x last keeps the intermediate array small.
    dims = (-1, -2) if shape[1] <= image.shape[-1] else (-2, -1)
    for dim in dims:
        image = _resize_axis(image, shape[dim], dim)
    return image


def resize_mirrored(
    image: Float[Tensor, "... y x"], shape: tuple[int, int]
) -> Float[Tensor, "... v u"]:
    """Resample to `shape` as `resize` does, but continue the image by its mirror image.

    What lies beyond a border is then like what lies before it: no ringing where opposite borders
    differ. In blocks of lines that fit into the cache, so that little more than the result is held.
    """
    for dim, across, size in ((-2, -1, shape[0]), (-1, -2, shape[1])):
        if image.shape[dim] != size:
            whole = list(image.shape)
            whole[dim] = size
            result = image.new_empty(whole)
            at_once = _lines_at_once(image.device, 2 * max(size, image.shape[dim]))
            for part, place in zip(
                image.split(at_once, across), result.split(at_once, across), strict=True
            ):
                mirrored = torch.cat([part, part.flip(dim)], dim)
                place.copy_(_resize_axis(mirrored, 2 * size, dim).narrow(dim, 0, size))
            image = result
    return image


def _lines_at_once(device: torch.device, length: int) -> int:
    """Lines of a block: on the CPU about a MiB, elsewhere many, since each call costs time."""
    return max(1, (1 << 18 if device.type == "cpu" else 1 << 23) // length)


def resampled_shape(
    shape: tuple[int, int], pixel_size_a: float, new_pixel_size_a: float
) -> tuple[int, int]:
    """Even sizes that cover the same field of view at (nearly) another pixel size in angstrom.

    Raises
    ------
    InputError
        The result would be larger than any micrograph.
    """

    def even(n: int) -> int:
        return max(2, 2 * round(n * pixel_size_a / new_pixel_size_a / 2))

    new = even(shape[0]), even(shape[1])
    if new[0] * new[1] > MAX_IMAGE_PX:
        raise InputError(
            f"{shape[1]} x {shape[0]} pixels of {pixel_size_a:g} A would be {new[1]} x {new[0]} "
            f"pixels of {new_pixel_size_a:g} A, more than any micrograph has; are the pixel sizes "
            "right?"
        )
    return new


def frequency_axes(
    shape: tuple[int, int], pixel_size_a: float, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "y 1"], Float[Tensor, "1 h"]]:
    """Return k_y and k_x in 1/angstrom on the half plane of `torch.fft.rfft2`, broadcastable."""
    ky = torch.fft.fftfreq(shape[0], pixel_size_a, device=device)[:, None]
    kx = torch.fft.rfftfreq(shape[1], pixel_size_a, device=device)[None, :]
    return ky, kx


def frequency_grid(
    shape: tuple[int, int], pixel_size_a: float, device: torch.device | str = "cpu"
) -> Float[Tensor, "y h"]:
    """Return |k| in 1/angstrom on the half plane of `torch.fft.rfft2`: shape (y, x // 2 + 1)."""
    ky, kx = frequency_axes(shape, pixel_size_a, device)
    return torch.hypot(ky, kx)


def apply_filter(
    image: Float[Tensor, "... y x"], transfer: Float[Tensor, "... y h"]
) -> Float[Tensor, "... y x"]:
    """Multiply the half-plane transform of `image` by `transfer` (periodic boundaries)."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=image.shape[-2:])


def _fast_size(size: int) -> int:
    """Smallest number >= size without prime factors above 5: its transforms are fast."""

    def is_fast(n: int) -> bool:
        for factor in (2, 3, 5):
            while n % factor == 0:
                n //= factor
        return n == 1

    return next(n for n in range(size, 2 * size + 1) if is_fast(n))


def gaussian_lowpass(image: Float[Tensor, "... y x"], sigma_px: float) -> Float[Tensor, "... y x"]:
    """Blur by a Gaussian of standard deviation `sigma_px` pixels, mirrored at the borders."""
    height, width = image.shape[-2:]
    margin = min(math.ceil(4 * sigma_px), height, width)
    lines = []
    for size in (height, width):
        index = torch.arange(-margin, _fast_size(size + 2 * margin) - margin, device=image.device)
        index = torch.remainder(index, 2 * size)
        lines.append(torch.where(index < size, index, 2 * size - 1 - index))
    padded = image[..., lines[0], :][..., lines[1]]
    k = frequency_grid((padded.shape[-2], padded.shape[-1]), 1.0, image.device)
    blurred = apply_filter(padded, torch.exp(-2 * (math.pi * sigma_px * k) ** 2))
    return blurred[..., margin : margin + height, margin : margin + width]


def radial_power(
    image: Float[Tensor, "... y x"], pixel_size_a: float, bins: int | None = None
) -> tuple[Float[Tensor, " bins"], Float[Tensor, "... bins"]]:
    """Mean power spectral density per shell of spatial frequency up to Nyquist.

    Parameters
    ----------
    image : Tensor
        Real image(s), axes (..., y, x). The mean is removed first.
    pixel_size_a : float
        Pixel size in angstrom.
    bins : int, optional
        Number of shells; half the shorter side by default.

    Returns
    -------
    frequency : Tensor
        Centres of the shells in 1/angstrom.
    power : Tensor
        Power per shell in (grey value)^2 angstrom^2: white noise of variance v has v * pixel^2.
    """
    height, width = image.shape[-2:]
    bins = bins or min(height, width) // 2
    k = frequency_grid((height, width), pixel_size_a, image.device)
    nyquist = 0.5 / pixel_size_a
    shell = (k / nyquist * bins).long().clamp(max=bins)  # the corners share the last, dropped
    spectrum = torch.fft.rfft2(image - image.mean((-2, -1), keepdim=True))
    density = spectrum.abs().square() * (pixel_size_a**2 / (height * width))
    # Columns strictly between DC and Nyquist stand for their mirror image too.
    weight = torch.full_like(k, 2.0)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    weight[0, 0] = 0
    flat = shell.flatten()
    total = torch.zeros(bins + 1, device=image.device).index_add_(0, flat, weight.flatten())
    leading = density.shape[:-2]
    summed = torch.zeros(*leading, bins + 1, device=image.device, dtype=density.dtype)
    summed.index_add_(-1, flat, (density * weight).reshape(*leading, -1))
    centres = (torch.arange(bins, device=image.device) + 0.5) * (nyquist / bins)
    return centres, summed[..., :bins] / total[:bins].clamp(min=1)
