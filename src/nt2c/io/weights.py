"""Network weights with their metadata in one safetensors file (no pickle)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from nt2c.core.errors import InputError
from nt2c.io.files import atomic_path, check_regular
from nt2c.io.records import parse_json

_KEY = "nt2c"


def write_weights(
    path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors and metadata to `path`, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File to write, usually ending in ".safetensors".
    tensors : mapping of str to Tensor
        Any shapes, dtypes and devices; shared storage is duplicated.
    metadata : mapping
        Values that JSON can hold; kept as JSON under the key "nt2c".
    """
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(metadata, allow_nan=False)
    with atomic_path(path) as temporary:
        # save_file would make the file readable by its owner alone, whatever the umask.
        temporary.write_bytes(safetensors.torch.save(own, metadata={_KEY: text}))


def read_weights(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) and the metadata of a file made by `write_weights`.

    Raises
    ------
    InputError
        The file is missing, damaged, not safetensors, or not written by nt2c.
    """
    check_regular(path)
    try:
        with safetensors.safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {}).get(_KEY)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a readable safetensors model ({error}); fetch or train it again"
        ) from None
    if text is None:
        raise InputError(f"{path}: these weights were not written by nt2c (no metadata '{_KEY}')")
    return tensors, parse_json(text, f"{path}: the description in this model file")


def read_model_file(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read weights that shall be used, not trained on: every value must be finite.

    Raises
    ------
    InputError
        As `read_weights` does, or a tensor holds NaN or infinity.
    """
    tensors, metadata = read_weights(path)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{path}: damaged: {name} holds NaN or infinity; fetch or train it again"
            )
    return tensors, metadata
