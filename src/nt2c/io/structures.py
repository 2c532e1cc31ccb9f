"""Atomic models (mmCIF, PDB) and density maps (MRC, CCP4), also compressed."""

import bz2
import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nt2c.core.errors import InputError

if TYPE_CHECKING:
    import gemmi

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

    path = _existing(path)
    try:
        content = _decompressed(path)
        if content.lstrip().startswith((b"data_", b"#", b"loop_")):
            structure = gemmi.make_structure_from_block(gemmi.cif.read_string(content).sole_block())
        else:
            structure = gemmi.read_pdb_string(_mend_remark_350(content))
    except (OSError, EOFError, ValueError, RuntimeError) as error:
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
        The file is not a three-dimensional map of cubic voxels of known size.
    """
    import mrcfile

    path = _existing(path)
    try:
        with mrcfile.open(path, permissive=False) as opened:
            header, data = opened.header, opened.data.copy()
            sizes = [float(opened.voxel_size[axis]) for axis in ("x", "y", "z")]
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an MRC map ({error})") from error
    if data.ndim != 3 or data.dtype.kind == "c":
        raise InputError(f"{path}: not a real three-dimensional map (shape {data.shape})")
    if not (min(sizes) > 0 and max(sizes) - min(sizes) < 0.01 * max(sizes)):
        raise InputError(
            f"{path}: voxels must be cubic and of known size, the header says {sizes} A; "
            "mend the header, for example with e2proc3d.py or relion_image_handler"
        )
    stored = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if sorted(stored) == [1, 2, 3]:
        data = data.transpose([stored.index(axis) for axis in (3, 2, 1)])
    return torch.from_numpy(data.astype("float32")), sum(sizes) / 3


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; check the path")
    return Path(path)


def _decompressed(path: Path) -> bytes:
    """Content of a file, decompressed by what its name ends with."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".bz2":
        return bz2.decompress(path.read_bytes())
    return path.read_bytes()


def _mend_remark_350(content: bytes) -> bytes:
    """Mark chain lists that go on without the words AND CHAINS, as entries before 2007 have it.

    gemmi reads only marked lines, and would build an assembly of the first line's chains.
    """

    def marked(match: re.Match[bytes]) -> bytes:
        chains = re.findall(rb"[A-Za-z0-9]", match.group(1))
        lines = [b", ".join(chains[start : start + 9]) for start in range(0, len(chains), 9)]
        return b"\n".join(b"REMARK 350                    AND CHAINS: " + line for line in lines)

    return _CHAINS_GO_ON.sub(marked, content)
