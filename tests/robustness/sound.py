"""Small sound files of every kind that nt2c reads: what the damaged ones are made from."""

import bz2
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import tifffile

from tests.batch.make import random_model
from tests.io.eer import write_eer
from tests.io.make import write_mrc

STAR = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
g1 1 1.5 300 2.7 0.1

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
good.mrc 1 10000 11000
'good.mrc' 1 12000.5 1.1e4
"sub/x y.mrc" 1 12000 11000
"""
COORDINATES = (
    "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
    + "".join(f"{1.5 * i:.3f} {2 * i:.3f} good.mrc\n" for i in range(8))
)
LISTING = (
    "\ndata_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
    "good.mrc AutoPick/job001/good_autopick.star\n"
)
CBOX = (
    "\ndata_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n_CoordinateZ #3\n_Width #4\n"
    "_Height #5\n_Confidence #6\n1.0 2.0 <NA> 10 10 0.5\n3 4 <NA> 10 10 0.4\n"
)
TOPAZ = "image_name\tx_coord\ty_coord\tscore\ngood\t1\t2\t0.5\ngood\t3\t4\t0.1\n"
BOX = "1\t2\t10\t10\n3\t4\t10\t10\n"
RECIPE = """
name = "x"
seed = 3

[optimizer]
steps = 5
learning_rate = 4e-4
betas = [0.9, 0.999]

[network]
widths = [4, 6]
blocks = [1, 1]

[simulation]
shape = [448, 448]
pixel_size_a = 4.0
"""
LOG = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n{"st'
PDB = (
    "HEADER    X\nREMARK 350 BIOMOLECULE: 1\nREMARK 350 APPLY THE FOLLOWING TO CHAINS: A\n"
    + "".join(
        f"ATOM  {i:5d}  CA  ALA A{i:4d}    {i:8.3f}{2 * i:8.3f}{3 * i:8.3f}"
        "  1.00 20.00           C\n"
        for i in range(1, 9)
    )
    + "END\n"
)
CIF = gemmi.read_pdb_string(PDB).make_mmcif_document().as_string()


def image(size: int = 48, seed: int = 1) -> np.ndarray:
    """Return noise as counts (y, x)."""
    return np.random.default_rng(seed).normal(100, 10, (size, size))


def _written(write: Any, *args: Any, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path, *args, **options)
        return path.read_bytes()


def mrc(sections: int = 0, dtype: str = "f4", extended: bytes = b"", volume: bool = False) -> bytes:
    """Return an MRC file: one image, or a stack or volume of some."""
    data = np.stack([image(seed=i) for i in range(sections)]) if sections else image()
    content = bytearray(_written(write_mrc, data.astype(dtype), 1.5))
    if volume:
        content[36:40], content[48:52] = content[28:32], content[40:44]
        content[88:92] = (1).to_bytes(4, "little")
    content[92:96] = len(extended).to_bytes(4, "little")
    return bytes(content[:1024]) + extended + bytes(content[1024:])


def tiff(pages: int = 1, dtype: str = "u2", *, bigtiff: bool = False, **options: Any) -> bytes:
    """Return a TIFF file of one image or several."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=bigtiff) as writer:
        for page in range(pages):
            writer.write(
                image(seed=page).astype(dtype),
                resolution=(1e8, 1e8),
                resolutionunit=3,
                contiguous=False,
                **options,
            )
    return out.getvalue()


def eer(integrated: bool = False) -> bytes:
    """Return an EER movie of three frames."""
    return _written(write_eer, np.random.default_rng(2).random((3, 32, 32)) < 0.05, integrated)


def cs(**replaced: Any) -> bytes:
    """Return exposures of CryoSPARC that are their own picks, with some columns replaced."""
    path = np.array([b"good.mrc"] * 4, "S24")
    columns = {
        "uid": np.arange(4, dtype="<u8"),
        "micrograph_blob/path": path,
        "micrograph_blob/psize_A": np.full(4, 1.5, "<f4"),
        "micrograph_blob/shape": np.full((4, 2), 48, "<u4"),
        "location/micrograph_uid": np.arange(4, dtype="<u8"),
        "location/micrograph_path": path,
        "location/micrograph_shape": np.full((4, 2), 48, "<u4"),
        "location/center_x_frac": np.full(4, 0.5, "<f4"),
        "location/center_y_frac": np.full(4, 0.5, "<f4"),
    } | {name.replace("__", "/"): np.asarray(values) for name, values in replaced.items()}
    table = np.zeros(4, [(name, c.dtype, c.shape[1:]) for name, c in columns.items()])
    for name, values in columns.items():
        table[name] = values
    out = io.BytesIO()
    np.save(out, table)
    return out.getvalue()


def summary(folder: Path, **replaced: Any) -> bytes:
    """Return the summary of a finished run on `folder`/good.mrc, with some fields replaced."""
    row = {
        "input": str(folder / "good.mrc"),
        "output": str(folder / "good_out.mrc"),
        "status": "done",
        "message": "",
        "warnings": [],
        "seconds": 1.0,
        "shape": [48, 48],
        "sections": 1,
        "pixel_size_a": 1.5,
        "precision": "fp32",
    }
    own = {key[4:]: replaced.pop(key) for key in list(replaced) if key.startswith("row_")}
    record = {
        "format": 1,
        "version": "1",
        "shard": None,
        "stars": [str(folder / "list.star")],
        "model": "general",
        "model_hash": "x",
        "device": "cpu",
        "settings": {"float16": False},
        "seconds": 3.0,
        "stopped": None,
        "finished": True,
        "counts": {"done": 2},
        "results": [row | own, row],
    }
    return json.dumps(record | replaced).encode()


def model() -> bytes:
    """Return the file of a small denoiser."""
    from nt2c.io.weights import write_weights

    return _written(write_weights, *random_model(widths=(4, 6)).to_tensors())


def samplers() -> list[bytes]:
    """Return files of noise samplers, one of each kind."""
    import torch

    from nt2c.models.synthesizer import Generator, GeneratorSettings, NoiseSynthesizer
    from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, WhiteNoise
    from nt2c.training.sampler_files import write_sampler

    covariance = torch.zeros(32, 32)
    covariance[0, 0] = 1.0
    windows = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(1))
    network = Generator(GeneratorSettings(width=2, slow_px=(1.0,)), covariance, 8)
    kinds = (
        WhiteNoise(),
        ColouredNoise(covariance),
        BootstrapNoise(windows.half(), covariance),
        NoiseSynthesizer(network, torch.tensor(0.0), torch.ones(1, 1), {}),
    )
    return [_written(write_sampler, sampler, 4.0) for sampler in kinds]


def compressed(content: bytes) -> tuple[bytes, bytes]:
    """Return `content` as gzip and as bzip2."""
    return gzip.compress(content), bz2.compress(content)
