"""Noise samplers in files: one safetensors file each, told apart by the "kind" in its metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.io.weights import read_weights, write_weights
from nt2c.models.synthesizer import NoiseSynthesizer
from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, NoiseSampler, WhiteNoise

SAMPLERS: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], NoiseSampler]] = {
    kind.kind: kind.from_tensors
    for kind in (WhiteNoise, ColouredNoise, BootstrapNoise, NoiseSynthesizer)
}


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
    tensors, metadata = read_weights(path)
    kind = metadata.get("kind")
    if kind not in SAMPLERS:
        raise InputError(
            f"{path}: holds {kind!r}, not a noise sampler ({', '.join(SAMPLERS)}); give a file "
            "that nt2c train-noise wrote"
        )
    try:
        return SAMPLERS[kind](tensors, metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except KeyError as error:
        raise InputError(f"{path}: the {kind} sampler lacks {error}; write it again") from None
