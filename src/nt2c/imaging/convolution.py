"""Linear filters as kernels of limited size: what lies beyond them has no influence."""

import torch
from jaxtyping import Float
from torch import Tensor


def transfer_kernel(transfer: Float[Tensor, "... m h"], side: int) -> Float[Tensor, "... k k"]:
    """Centred convolution kernel of a real transfer function.

    Parameters
    ----------
    transfer : Tensor
        Values on the half plane of `torch.fft.rfft2` of an m x m grid, m even.
    side : int
        Side k of the kernel in pixels, odd and below m; what lies farther out is dropped.
    """
    grid = transfer.shape[-2]
    kernel = torch.fft.fftshift(torch.fft.irfft2(transfer, s=(grid, grid)), dim=(-2, -1))
    first = grid // 2 - side // 2
    return kernel[..., first : first + side, first : first + side].contiguous()


def convolve(
    image: Float[Tensor, "n y x"], kernels: Float[Tensor, "b k k"]
) -> Float[Tensor, "n b v u"]:
    """Convolve every image with every kernel, where the image holds all that the kernel needs.

    The result is smaller by k - 1 on each axis: nothing is padded and nothing wraps around.
    """
    reach = kernels.shape[-1] - 1
    shape = (image.shape[-2], image.shape[-1])
    spectrum = torch.fft.rfft2(image)[:, None] * torch.fft.rfft2(kernels, s=shape)
    return torch.fft.irfft2(spectrum, s=shape)[..., reach:, reach:]
