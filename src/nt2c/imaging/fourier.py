"""Discrete Fourier transforms of images: change of sampling, frequencies, filters, rings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from scipy.fft import next_fast_len
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
    shape: tuple[int, int],
    pixel_size_a: float,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Float[Tensor, "y 1"], Float[Tensor, "1 h"]]:
    """Return k_y and k_x in 1/angstrom on the half plane of `torch.fft.rfft2`, broadcastable."""
    ky = torch.fft.fftfreq(shape[0], pixel_size_a, device=device, dtype=dtype)[:, None]
    kx = torch.fft.rfftfreq(shape[1], pixel_size_a, device=device, dtype=dtype)[None, :]
    return ky, kx


def frequency_grid(
    shape: tuple[int, int],
    pixel_size_a: float,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "y h"]:
    """Return |k| in 1/angstrom on the half plane of `torch.fft.rfft2`: shape (y, x // 2 + 1)."""
    ky, kx = frequency_axes(shape, pixel_size_a, device, dtype)
    return torch.hypot(ky, kx)


def half_plane_weights(width: int, device: torch.device | str = "cpu") -> Float[Tensor, " h"]:
    """How often each column of the half plane of images `width` wide is in the full plane: 1 or 2.

    Columns strictly between DC and Nyquist stand for their mirror image too.
    """
    weights = torch.full((width // 2 + 1,), 2.0, device=device)
    weights[0] = 1
    if width % 2 == 0:
        weights[-1] = 1
    return weights


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of spatial frequency on the half plane of `torch.fft.rfft2`.

    Attributes
    ----------
    index : Tensor, shape (y, x // 2 + 1)
        Ring of each coefficient, from 0; `count` where it is in none.
    count : int
        Number of rings.
    weights : Tensor, shape (y, x // 2 + 1)
        What each coefficient counts in sums and means; as often as it is in the full plane, unless
        another is said.
    """

    index: Int[Tensor, "y h"]
    count: int
    weights: Float[Tensor, "y h"]

    @classmethod
    def nearest(cls, shape: tuple[int, int], device: torch.device | str = "cpu") -> Self:
        """Rings one Fourier pixel of the longer side wide, around 0, 1, ... of them to Nyquist."""
        k = frequency_grid(shape, 1.0, device, torch.float64)
        return cls._of((k * max(shape)).round().long(), max(shape) // 2 + 1, shape[1])

    @classmethod
    def equal(
        cls,
        shape: tuple[int, int],
        count: int,
        pixel_size_a: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> Self:
        """So many rings of equal width from 0 up to Nyquist."""
        k = frequency_grid(shape, pixel_size_a, device)
        return cls._of((k / (0.5 / pixel_size_a) * count).long(), count, shape[1])

    @classmethod
    def between(cls, side: int, edges: Sequence[float], device: torch.device | str = "cpu") -> Self:
        """Rings of square images between `edges` in cycles per side, the lower one included."""
        k = frequency_grid((side, side), 1.0, device) * side
        limits = torch.tensor(edges, device=device, dtype=torch.float32)
        index = torch.bucketize(k.round(decimals=4), limits, right=True) - 1
        count = len(edges) - 1
        return cls._of(torch.where(index < 0, count, index), count, side)

    @classmethod
    def _of(cls, index: Tensor, count: int, width: int) -> Self:
        weights = half_plane_weights(width, index.device).repeat(len(index), 1)
        return cls(index.clamp(max=count), count, weights)

    def sums(self, values: Float[Tensor, "... y h"]) -> Float[Tensor, "... rings"]:
        """Weighted sums over the rings."""
        return self._added(values * self.weights)

    def means(self, values: Float[Tensor, "... y h"]) -> Float[Tensor, "... rings"]:
        """Weighted means over the rings; 0 where a ring is empty."""
        return self.sums(values) / self._added(self.weights).clamp(min=1)

    def _added(self, values: Tensor) -> Tensor:
        total = values.new_zeros(*values.shape[:-2], self.count + 1)
        return total.index_add_(-1, self.index.flatten(), values.flatten(-2))[..., : self.count]

    @property
    def matrix(self) -> Float[Tensor, "plane rings"]:
        """Weights whose product with a flat half plane gives the sums."""
        ones = torch.nn.functional.one_hot(self.index.flatten(), self.count + 1)[:, :-1]
        return ones * self.weights.reshape(-1, 1)


def apply_filter(
    image: Float[Tensor, "... y x"], transfer: Float[Tensor, "... y h"]
) -> Float[Tensor, "... y x"]:
    """Multiply the half-plane transform of `image` by `transfer` (periodic boundaries)."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=image.shape[-2:])


def filtered_noise(
    gain: Float[Tensor, "... y h"], shape: tuple[int, int, int], generator: torch.Generator
) -> Float[Tensor, "n y x"]:
    """Draw white Gaussian noise of variance 1, shape (n, y, x), and filter it.

    Unlike random half-plane coefficients it has no mirror symmetry.
    """
    return apply_filter(torch.randn(shape, generator=generator, device=generator.device), gain)


def gaussian_lowpass(image: Float[Tensor, "... y x"], sigma_px: float) -> Float[Tensor, "... y x"]:
    """Blur by a Gaussian of standard deviation `sigma_px` pixels, mirrored at the borders."""
    height, width = image.shape[-2:]
    margin = min(math.ceil(4 * sigma_px), height, width)
    lines = []
    for size in (height, width):
        whole = next_fast_len(size + 2 * margin, real=True)
        index = torch.arange(-margin, whole - margin, device=image.device)
        index = torch.remainder(index, 2 * size)
        lines.append(torch.where(index < size, index, 2 * size - 1 - index))
    padded = image[..., lines[0], :][..., lines[1]]
    k = frequency_grid((padded.shape[-2], padded.shape[-1]), 1.0, image.device, image.dtype)
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
    rings = Rings.equal((height, width), bins, pixel_size_a, image.device)
    rings.weights[0, 0] = 0  # the mean, which is removed
    spectrum = torch.fft.rfft2(image - image.mean((-2, -1), keepdim=True))
    power = rings.means(spectrum.abs().square() * (pixel_size_a**2 / (height * width)))
    nyquist = 0.5 / pixel_size_a
    centres = (torch.arange(bins, device=image.device) + 0.5) * (nyquist / bins)
    return centres, power
