"""Noise samplers in files: one safetensors file each, told apart by the "kind" in its metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.io.weights import read_model_file, write_weights
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, NoiseSampler, WhiteNoise

SAMPLERS: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], NoiseSampler]] = {
    kind.kind: kind.from_tensors
    for kind in (WhiteNoise, ColouredNoise, BootstrapNoise, NoiseSynthesizer)
}
_AXES = {"mean": 0, "covariance": 2, "correction": 2, "windows": 3}
"""Axes of the tensors; the last two are as long as each other."""


def write_sampler(path: Path | str, sampler: NoiseSampler) -> None:
    """Write a sampler of any kind to `path`, usually ending in ".safetensors"."""
    write_weights(path, *sampler.to_tensors())


def load_sampler(path: Path | str) -> NoiseSampler:
    """Read a sampler of any kind.

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
    try:
        return SAMPLERS[kind](tensors, metadata)
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
