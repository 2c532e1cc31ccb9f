"""Atomic models (mmCIF, PDB) and density maps (MRC, CCP4), also compressed."""

import bz2
import gzip
import math
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.io.files import check_regular
from nt2c.io.mrc import MrcReader

if TYPE_CHECKING:
    import gemmi

_COMPRESSION = {".gz": "gzip", ".bz2": "bzip2"}
_LARGEST_MODEL_BYTES = 384 << 20  # the largest entry of the PDB has 350 MB
_LARGEST_MAP_PX = 600**3
_CHAINS_GO_ON = re.compile(rb"^REMARK 350 ([A-Za-z0-9](?:, ?[A-Za-z0-9])*,?) *$", re.MULTILINE)


def read_structure(path: str | Path) -> "gemmi.Structure":
    """Read an atomic model.

    Parameters
    ----------
    path : str or Path
        mmCIF or PDB file; .gz and .bz2 are decompressed.

    Returns
    -------
    gemmi.Structure
        With at least one atom; its assemblies are those the file lists.

    Raises
    ------
    InputError
        The file cannot be read as an atomic model.
    """
    import gemmi

    path = Path(path)
    try:
        content = _decompressed(path)
        if content.lstrip().startswith((b"data_", b"#", b"loop_")):
            structure = gemmi.make_structure_from_block(gemmi.cif.read_string(content).sole_block())
        else:
            structure = gemmi.read_pdb_string(_mend_remark_350(content))
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read as mmCIF or PDB ({error}); download it again from wwpdb.org"
        ) from error
    if not any(model.count_atom_sites() for model in structure):
        raise InputError(f"{path}: holds no atoms; it must be an mmCIF or PDB file")
    structure.name = structure.name or path.name.split(".")[0]
    return structure


def read_map(path: str | Path) -> tuple[Tensor, float]:
    """Read a density map.

    Parameters
    ----------
    path : str or Path
        MRC or CCP4 file of real numbers; .gz and .bz2 are decompressed.

    Returns
    -------
    density : Tensor
        float32 [z, y, x]; axes stored in another order are put into this one.
    pixel_size_a : float
        Voxel size in angstrom.

    Raises
    ------
    InputError
        The file is not a three-dimensional map of cubic voxels of known size, or too large.
    """
    check_regular(path)
    path = Path(path)
    reader = MrcReader(path, _COMPRESSION.get(path.suffix, ""))
    try:
        record = reader.header.record
        shape = (reader.sections, *reader.shape)
        sizes = _voxel_sizes_a(record)
        if not (min(sizes) > 0 and max(sizes) - min(sizes) < 0.01 * max(sizes)):
            raise InputError(
                f"{path}: voxels must be cubic and of known size, the header says {sizes} A; "
                "mend the header, for example with e2proc3d.py or relion_image_handler"
            )
        if shape[0] < 2:
            raise InputError(f"{path}: not a three-dimensional map (shape {shape})")
        if math.prod(shape) > _LARGEST_MAP_PX:
            raise InputError(
                f"{path}: a map of {shape} voxels; cut or scale it to {_LARGEST_MAP_PX:,} at most, "
                "for example with relion_image_handler --rescale_angpix"
            )
        data = np.stack([reader.read(section) for section in range(reader.sections)])
    finally:
        reader.close()
    stored = [int(record[name]) for name in ("maps", "mapr", "mapc")]
    if sorted(stored) == [1, 2, 3]:
        data = np.ascontiguousarray(data.transpose([stored.index(axis) for axis in (3, 2, 1)]))
    return torch.from_numpy(data), sum(sizes) / 3


def _voxel_sizes_a(record: Any) -> list[float]:
    """Sizes along x, y and z; 0 where the header does not tell."""
    cells = [(float(record["cella"][axis]), int(record[f"m{axis}"])) for axis in "xyz"]
    return [cell / count if count > 0 and math.isfinite(cell) else 0.0 for cell, count in cells]


def _decompressed(path: Path) -> bytes:
    """Content of a file, decompressed by what its name ends with."""
    check_regular(path)
    opened: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opened(path, "rb") as file:
        content: bytes = file.read(_LARGEST_MODEL_BYTES + 1)
    if len(content) > _LARGEST_MODEL_BYTES:
        raise InputError(f"{path}: more than {_LARGEST_MODEL_BYTES >> 20} MiB, not an atomic model")
    return content


def _mend_remark_350(content: bytes) -> bytes:
    """Mark chain lists that go on without the words AND CHAINS, as entries before 2007 have it.

    gemmi reads only marked lines, and would build an assembly of the first line's chains.
    """

    def marked(match: re.Match[bytes]) -> bytes:
        chains = re.findall(rb"[A-Za-z0-9]", match.group(1))
        lines = [b", ".join(chains[start : start + 9]) for start in range(0, len(chains), 9)]
        return b"\n".join(b"REMARK 350                    AND CHAINS: " + line for line in lines)

    return _CHAINS_GO_ON.sub(marked, content)
