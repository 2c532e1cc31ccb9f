"""Topaz-Denoise, run as a program of its own environment on copies of the micrographs.

Version 0.3.20 ignores `--model` and takes the pretrained model of `--arch`; that option has no name
for `fcnn`, which its command cannot run for this reason. On the CPU, and on float32 copies, since
it fails on int16.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.quality.fields import DataSet, Images, Shot, read
from benchmarks.quality.methods import Method

from nt2c.io.micrographs import write_micrograph

TOPAZ_VERSION = "0.3.20"
TOPAZ_MODELS = ("unet", "unet-small", "affine")
AT_ONCE = 6  # images of a call: so many are lost at most when it is stopped


def topaz(model: str, program: Path | None, made: Path, threads: int) -> Method:
    """One of its pretrained models; images under `made` are kept and not made again."""

    def run(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
        folder = made / data.name / f"topaz-{model}" / data.key
        missing = [s for s in data.shots if not (folder / f"{s.name}.mrc").is_file()]
        if missing and program is None:
            raise SystemExit(f"topaz-{model} lacks images of {data.name}: give --topaz")
        for start in range(0, len(missing), AT_ONCE):
            call(model, str(program), missing[start : start + AT_ONCE], folder, threads)
        return {s.name: read(folder / f"{s.name}.mrc", 1.0)[0] for s in data.shots}, {}

    settings = {"topaz": TOPAZ_VERSION, "model": model}
    return Method(f"topaz-{model}", run, settings, keeps_images=True)


def call(model: str, program: str, shots: Sequence[Shot], folder: Path, threads: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        given, out = Path(work) / "in", Path(work) / "out"
        given.mkdir()
        paths = [given / f"{shot.name}.mrc" for shot in shots]
        for path, shot in zip(paths, shots, strict=True):
            write_micrograph(path, np.float32(shot.image), shot.field.pixel_size_a)
        command = [program, "denoise", "-d", "-1", "-j", str(threads), "--arch", model]
        subprocess.run([*command, "-o", str(out), *map(str, paths)], check=True)
        for path in paths:
            shutil.move(out / path.name, folder / path.name)
