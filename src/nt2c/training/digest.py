"""Short names of tensors by their content, for the fingerprint of a run."""

import hashlib
from collections.abc import Iterable

from torch import Tensor


def digest(tensors: Iterable[Tensor]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the values, shapes and types, in order."""
    total = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        total.update(f"{array.shape} {array.dtype}".encode())
        total.update(array.tobytes())
    return total.hexdigest()[:16]
