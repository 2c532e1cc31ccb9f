"""Denoising in a line of Python; `import nt2c` offers it as `nt2c.denoise`."""

from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nt2c.core.errors import InputError, SettingsError
from nt2c.denoising.denoiser import Precision, as_image, check_precision, load_model
from nt2c.denoising.denoiser import denoise as _denoise
from nt2c.denoising.settings import BUNDLED
from nt2c.models.denoiser import DenoiserModel


@overload
def denoise(
    image: Tensor,
    pixel_size_a: float,
    model: str | Path | DenoiserModel = ...,
    *,
    output_pixel_size_a: float | None = ...,
    device: str = ...,
    precision: Precision = ...,
    keep_background: bool = ...,
) -> Tensor: ...


@overload
def denoise(
    image: ArrayLike,
    pixel_size_a: float,
    model: str | Path | DenoiserModel = ...,
    *,
    output_pixel_size_a: float | None = ...,
    device: str = ...,
    precision: Precision = ...,
    keep_background: bool = ...,
) -> NDArray[np.float32]: ...


def denoise(
    image: ArrayLike | Tensor,
    pixel_size_a: float,
    model: str | Path | DenoiserModel = BUNDLED,
    *,
    output_pixel_size_a: float | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    keep_background: bool = False,
) -> NDArray[np.float32] | Tensor:
    """Denoise one micrograph.

    Parameters
    ----------
    image : array or Tensor
        Raw micrograph (y, x), protein dark, any real dtype and any size. It is not changed.
    pixel_size_a : float
        Its pixel size in angstrom.
    model : str, Path or DenoiserModel
        A bundled model by name, a model file, or what `load_model` returned.
    output_pixel_size_a : float, optional
        Sampling of the result in angstrom, kept to the next even size in pixels; by default the
        grid of the input.
    device : str
        "auto" (that of a tensor on a GPU, else a GPU if there is one), "cpu", "cuda" or "cuda:N".
    precision : str
        "fp32", "bf16", or "auto": bf16 where the device is built for it and the result agrees.
    keep_background : bool
        Keep the slow background (ice gradient) instead of its mean.

    Returns
    -------
    ndarray or Tensor
        Denoised micrograph, float32, on the grid, grey scale and polarity of the input. A tensor
        for a tensor, on its device.

    Raises
    ------
    InputError
        The image is no two-dimensional array of real numbers, too small, holds values that are not
        finite, or is constant; or the file is no model.
    SettingsError
        The pixel size is not plausible, or there is no such model, device or precision.
    """
    from nt2c.io.pixel_size import check_pixel_size

    if isinstance(image, str | Path):
        raise InputError(
            f"{image}: denoise takes an image, not the name of a file; read it with "
            "nt2c.open_micrograph, or give files to nt2c.denoise_files"
        )
    if pixel_size_a is None:  # what a header without one gives
        raise SettingsError("pixel_size_a = None: give the pixel size of the image in angstrom")
    check_pixel_size("pixel_size_a =", pixel_size_a)
    check_pixel_size("output_pixel_size_a =", output_pixel_size_a)
    check_precision(precision)
    raw = as_image(image.detach() if torch.is_tensor(image) else image)
    if device == "auto" and raw.is_cuda:
        device = str(raw.device)
    result = _denoise(
        raw,
        float(pixel_size_a),
        model if isinstance(model, DenoiserModel) else load_model(str(model)),
        output_pixel_size_a=None if output_pixel_size_a is None else float(output_pixel_size_a),
        device=str(device),
        precision=precision,
        keep_background=keep_background,
    )
    return torch.from_numpy(result).to(image.device) if torch.is_tensor(image) else result
