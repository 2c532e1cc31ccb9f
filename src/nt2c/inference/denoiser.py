"""Denoise one micrograph: crop in Fourier space, scale, network, restore, pad back."""

from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import ArrayLike
from torch import Tensor

from nt2c.core.errors import InputError, SettingsError
from nt2c.imaging.fourier import resampled_shape, resize
from nt2c.imaging.scale import clip_outliers, fit_scaling
from nt2c.imaging.tiles import plan_tiles
from nt2c.io.weights import read_weights
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet

BUNDLED = "general"
_BORDER_PX = 32  # mirrored around the image, so that its edge is nothing special


def bundled_models() -> dict[str, Path]:
    """Models that come with the package: name -> file."""
    folder = Path(str(resources.files("nt2c") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def load_model(name_or_path: str | Path = BUNDLED) -> DenoiserModel:
    """Load a bundled model by name, or a model file by path.

    Raises
    ------
    InputError
        Neither a bundled model nor a readable model file.
    """
    known = bundled_models()
    path = known.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise InputError(
            f"{name_or_path}: neither a bundled model ({', '.join(known) or 'none'}) nor a file"
        )
    return DenoiserModel.from_tensors(*read_weights(path), where=str(path))


def choose_device(device: str) -> torch.device:
    """Resolve "auto", "cpu", "cuda" or "cuda:1".

    Raises
    ------
    SettingsError
        The device does not exist here: never fall back in silence.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise SettingsError(f"--device {device}: use auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {device}: {torch.cuda.device_count()} CUDA devices are visible; "
            "use --device cpu, or check the driver"
        )
    return chosen


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))


def run_network(
    network: UNet, image: Float32[Tensor, "y x"], *, bf16: bool = False, tile_px: int | None = None
) -> Float32[Tensor, "y x"]:
    """Apply the network to an image of any size, whole or in tiles with the same result.

    Parameters
    ----------
    network : UNet
        On the device of `image`.
    image : Tensor
        In units of the noise, at the working pixel size.
    bf16 : bool
        Compute in bfloat16.
    tile_px : int, optional
        Greatest side given to the network at once; the whole image by default.
    """
    stride, halo = network.stride, network.receptive_field_px
    height, width = image.shape
    bottom, right = (-(height + 2 * _BORDER_PX) % stride, -(width + 2 * _BORDER_PX) % stride)
    padded = _mirror(image, (_BORDER_PX, _BORDER_PX + right, _BORDER_PX, _BORDER_PX + bottom))
    result = torch.empty_like(padded)
    side = max(padded.shape) if tile_px is None else max(tile_px, 2 * halo + stride)
    for tile in plan_tiles((padded.shape[0], padded.shape[1]), side, halo, stride):
        window = padded[slice(*tile.outer_y), slice(*tile.outer_x)]
        with torch.inference_mode(), torch.autocast(image.device.type, torch.bfloat16, bf16):
            batch = window[None, None].contiguous(memory_format=torch.channels_last)
            output = network(batch)[0, 0].float()
        y, x = tile.inner_y[0] - tile.outer_y[0], tile.inner_x[0] - tile.outer_x[0]
        result[slice(*tile.inner_y), slice(*tile.inner_x)] = output[
            y : y + tile.inner_y[1] - tile.inner_y[0], x : x + tile.inner_x[1] - tile.inner_x[0]
        ]
    return result[_BORDER_PX : _BORDER_PX + height, _BORDER_PX : _BORDER_PX + width]


def _mirror(image: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Extend by mirroring, also further than the image is wide (left, right, top, bottom)."""

    def index(size: int, before: int, after: int) -> Tensor:
        place = torch.arange(-before, size + after, device=image.device).remainder(2 * size)
        return torch.where(place < size, place, 2 * size - 1 - place)

    rows = index(image.shape[0], margins[2], margins[3])
    columns = index(image.shape[1], margins[0], margins[1])
    return image[rows][:, columns]


def denoise(
    image: ArrayLike | Tensor,
    pixel_size_a: float,
    model: DenoiserModel,
    *,
    device: str = "auto",
    bf16: bool = False,
    keep_background: bool = False,
    tile_px: int | None = None,
) -> Float32[np.ndarray, "y x"]:
    """Denoise one micrograph.

    Parameters
    ----------
    image : array
        Raw micrograph (y, x), protein dark, any real dtype and any size.
    pixel_size_a : float
        Its pixel size in angstrom.
    model : DenoiserModel
        From `load_model`.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    bf16 : bool
        Run the network in bfloat16.
    keep_background : bool
        Add the slow background (ice gradient) back; else its mean.
    tile_px : int, optional
        Give the network tiles of at most this side at the working pixel size.

    Returns
    -------
    ndarray
        Denoised micrograph on the grid, grey scale and polarity of the input.

    Raises
    ------
    InputError
        The image is not two-dimensional, holds values that are not finite, or is constant.
    """
    where = choose_device(device)
    raw = torch.as_tensor(np.asarray(image, dtype=np.float32) if not torch.is_tensor(image) else image)
    if raw.ndim != 2 or min(raw.shape) < 2:
        raise InputError(f"a micrograph is two-dimensional; this has shape {tuple(raw.shape)}")
    raw = raw.to(where, torch.float32)
    if not bool(torch.isfinite(raw).all()):
        raise InputError("holds values that are not finite (NaN or infinity); repair the file")
    shape = (raw.shape[0], raw.shape[1])
    working = resampled_shape(shape, pixel_size_a, model.pixel_size_a)
    small = resize(clip_outliers(raw), working)
    del raw
    scaling = fit_scaling(small, model.pixel_size_a, 2 * pixel_size_a)
    if not float(scaling.sigma) > 0:
        raise InputError("is constant or holds no noise: nothing to denoise")
    network = model.network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimate = run_network(network, scaling.apply(small), bf16=bf16, tile_px=tile_px)
    restored = resize(scaling.invert(estimate, background=keep_background), shape)
    return np.asarray(restored.cpu().numpy(), dtype=np.float32)
