"""Noise samplers in files: one safetensors file each, told apart by the "kind" in its metadata."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.io.weights import read_model_file, write_weights
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.samplers import FITTED, NoiseSampler

SAMPLERS: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], NoiseSampler]] = {
    NoiseSynthesizer.kind: NoiseSynthesizer.from_tensors,
    **{kind: sampler.from_tensors for kind, sampler in FITTED.items()},
}
_SAME_PIXEL = 1e-3  # relative
_AXES = {"mean": 0, "covariance": 2, "correction": 2, "windows": 3}
"""Axes of the tensors; the last two are as long as each other."""


def write_sampler(path: Path | str, sampler: NoiseSampler, pixel_size_a: float) -> None:
    """Write a sampler of any kind to `path`, usually ending in ".safetensors".

    `pixel_size_a` is that of the windows that it was made from, angstrom, and so of what it draws.
    """
    tensors, metadata = sampler.to_tensors()
    write_weights(path, tensors, {**metadata, "pixel_size_a": pixel_size_a})


def load_sampler(path: Path | str, pixel_size_a: float) -> NoiseSampler:
    """Read a sampler of any kind that draws noise of a pixel size, angstrom.

    Raises
    ------
    InputError
        As `read_sampler` does, or its noise has another pixel size.
    """
    sampler, own_a = read_sampler(path)
    if not math.isclose(own_a, pixel_size_a, rel_tol=_SAME_PIXEL):
        raise InputError(
            f"{path}: draws noise of {own_a:g} A per pixel, and {pixel_size_a:g} A are needed; "
            "learn it from windows of that pixel size"
        )
    return sampler


def read_sampler(path: Path | str) -> tuple[NoiseSampler, float]:
    """Read a sampler of any kind, and the pixel size of what it draws, angstrom.

    Raises
    ------
    InputError
        The file is missing or damaged, or holds something else, such as a denoiser.
    """
    tensors, metadata = read_model_file(path)
    kind = metadata.get("kind")
    if not isinstance(kind, str) or kind not in SAMPLERS:
        raise InputError(
            f"{path}: holds {kind!r}, not a noise sampler ({', '.join(SAMPLERS)}); give a file "
            "that nt2c train-noise wrote"
        )
    for name, tensor in tensors.items():
        _check(path, name, tensor)
    pixel_size_a = metadata.pop("pixel_size_a", None)
    if not isinstance(pixel_size_a, int | float) or not 0 < pixel_size_a < math.inf:
        raise InputError(f"{path}: damaged: pixel_size_a is {pixel_size_a!r}; write it again")
    try:
        return SAMPLERS[kind](tensors, metadata), float(pixel_size_a)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except KeyError as error:
        raise InputError(f"{path}: the {kind} sampler lacks {error}; write it again") from None


def _check(path: Path | str, name: str, tensor: Tensor) -> None:
    sides = set(tensor.shape[-2:])
    axes = _AXES.get(name, tensor.ndim)
    square = name not in _AXES or (0 not in sides and len(sides) <= 1)
    if tensor.ndim != axes or not square or not tensor.is_floating_point():
        raise InputError(
            f"{path}: damaged: {name} of shape {tuple(tensor.shape)} and type {tensor.dtype}; "
            "write it again"
        )
