"""What an output tells of how it was made.

The last label line of an output reads "nt2c VERSION denoise STAMP PRECISION MODEL DATE", where the
stamp is a hash of the input file (size and modification time), the model's weights, the settings,
the version and the revision of the results. An output with the stamp that would be written now is
done; one with another stamp is made again; a file without such a line is not ours.
"""

import hashlib
import json
import re
from pathlib import Path

from nt2c.core.errors import InputError
from nt2c.core.revision import made_by
from nt2c.denoising.settings import DenoiseSettings
from nt2c.io.inputs import MicrographInput
from nt2c.io.mrc import MrcReader
from nt2c.models.denoiser import DenoiserModel

_LABEL = re.compile(r"nt2c \S+ denoise ([0-9a-f]{12}) (fp32|bf16) ")

FileState = tuple[int, int]
"""Size in bytes and time of the last change in ns."""


def file_state(path: Path) -> FileState | None:
    """Return size and time of the last change of a file; None when it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def stamp(
    item: MicrographInput, state: FileState | None, model_hash: str, settings: DenoiseSettings
) -> str:
    """Hash of all that decides the output; changes with the input file."""
    what = [list(state or ()), item.star_pixel_size_a, model_hash, settings.model_dump()]
    return hashlib.sha256(json.dumps([*what, made_by("denoising")]).encode()).hexdigest()[:12]


def made_by_us(path: Path) -> tuple[str, str] | None:
    """Return stamp and precision in the last label of an output of ours, None for other files."""
    try:
        reader = MrcReader(path)
    except (InputError, OSError):
        return None
    reader.close()
    lines = [bytes(line).decode("ascii", "replace") for line in reader.header.record["label"]]
    found = _LABEL.match(next((line for line in reversed(lines) if line.strip()), ""))
    return (found[1], found[2]) if found else None


def model_fingerprint(model: DenoiserModel) -> str:
    """Hash of what a model computes, and the other one with it: weights, network, pixel size."""
    digest = hashlib.sha256(model.network.settings.model_dump_json().encode())
    digest.update(str(model.pixel_size_a).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    if model.other is not None:
        digest.update(model_fingerprint(model.other).encode())
    return digest.hexdigest()[:16]
