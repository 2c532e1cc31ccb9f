"""The Topaz picker with its pretrained detector, run as a program on denoised images.

Images are brought to 8 px to the particle's radius, which suits the detector `resnet16`, and to
zero mean and unit variance. Its scores are log-likelihood ratios; picks above `LEAST` are taken.
"""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.picking.blobs import Picks
from benchmarks.quality.fields import Array, Field

from nt2c.imaging.fourier import resize
from nt2c.io.micrographs import write_micrograph

RADIUS_PX = 8
LEAST = -6.0


def topaz_detector(program: Path, threads: int) -> Callable[[Field, Array], Picks]:
    """A picker that calls `topaz extract` on the CPU."""

    def pick(field: Field, image: Array) -> Picks:
        scale = RADIUS_PX / (field.diameter_a / field.pixel_size_a / 2)
        shape = tuple(2 * round(side * scale / 2) for side in image.shape)
        small = resize(torch.from_numpy(np.ascontiguousarray(image, np.float32)), shape).numpy()
        unit = (small - small.mean()) / small.std()
        with tempfile.TemporaryDirectory() as work:
            path, table = Path(work) / "image.mrc", Path(work) / "picks.txt"
            write_micrograph(path, unit, field.pixel_size_a / scale)
            command = [
                str(program),
                "extract",
                "-d",
                "-1",
                "-j",
                str(threads),
                "-r",
                str(RADIUS_PX),
            ]
            command += ["-t", str(LEAST), "-o", str(table), str(path)]
            subprocess.run(command, check=True)
            rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
        found = np.array([[float(value) for value in row[1:4]] for row in rows]).reshape(-1, 3)
        found = found[np.argsort(-found[:, 2], kind="stable")]
        grid = np.array(image.shape) / np.array(shape)
        return Picks((found[:, 1::-1] + 0.5) * grid - 0.5, found[:, 2])

    return pick
