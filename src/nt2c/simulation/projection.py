"""Projections of volumes by the Fourier slice theorem, and uniform random rotations."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def random_rotations(count: int, generator: torch.Generator) -> Float[Tensor, "count 3 3"]:
    """Uniform random rotation matrices acting on (x, y, z) columns (Shoemake 1992, quaternions)."""
    q = torch.randn(count, 4, generator=generator, device=generator.device)
    w, x, y, z = functional.normalize(q, dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def project(
    volume: Float[Tensor, "n n n"], rotations: Float[Tensor, "views 3 3"], voxel_size_a: float
) -> Float[Tensor, "views n n"]:
    """Project a volume along z after rotating it about its centre voxel n // 2.

    Parameters
    ----------
    volume : Tensor
        Cubic, even-sized, axes (z, y, x), e.g. potential in volt.
    rotations : Tensor
        Matrices that rotate the object: a point p = (x, y, z) moves to R p.
    voxel_size_a : float
        Voxel size in angstrom; the result is the line integral (volt angstrom).

    Notes
    -----
    Trilinear interpolation in the transform of the volume padded to twice its size, with the
    volume divided beforehand by the real-space image of that interpolation (sinc squared).
    """
    n = volume.shape[0]
    size = 2 * n
    position = (torch.arange(n, device=volume.device) - n // 2) / size
    taper = torch.sinc(position) ** 2
    corrected = volume / (taper[:, None, None] * taper[:, None] * taper)
    padded = functional.pad(corrected, (n // 2,) * 6)  # centre n // 2 -> n, the middle of `size`
    spectrum = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(padded)))
    channels = torch.view_as_real(spectrum).permute(3, 0, 1, 2)[None]

    k = torch.arange(-n, n, device=volume.device, dtype=volume.dtype)
    kx = torch.cat([k[n:], -k[:1]])  # half plane with the Nyquist column
    plane = torch.stack(
        torch.broadcast_tensors(kx[None, :], k[:, None], torch.zeros((), device=volume.device)),
        -1,
    )
    # F of the rotated object at k is F of the object at R^T k; columns are (x, y, z).
    points = torch.einsum("yxi,vij->vyxj", plane, rotations.to(volume))
    # grid_sample with align_corners: index 0 -> -1, index size - 1 -> +1; zero is index n.
    grid = (points + n) * (2 / (size - 1)) - 1
    sampled = functional.grid_sample(
        channels, grid[None], mode="bilinear", padding_mode="zeros", align_corners=True
    )
    slices = torch.complex(sampled[0, 0], sampled[0, 1])
    images = torch.fft.irfft2(torch.fft.ifftshift(slices, dim=-2), s=(size, size))
    images = torch.fft.fftshift(images, dim=(-2, -1))
    inner = slice(n // 2, n // 2 + n)
    return images[:, inner, inner] * voxel_size_a
