"""What the commands work on while they are killed: small micrographs, movies, lists, recipes."""

from pathlib import Path

import numpy as np
import torch

from nt2c.core.random import stream
from nt2c.io.micrographs import write_micrograph
from nt2c.io.weights import write_weights
from nt2c.noise.samplers import ColouredNoise
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings
from nt2c.training.sampler_files import write_sampler
from tests.batch.make import micrograph, random_model
from tests.io.make import write_mrc
from tests.robustness import sound

MICROGRAPHS = 8
_SHAPE = (80, 80)
_STEPS = {"train": 60, "fit": 30}
_RECIPE = """
name = "tiny"
seed = 5

[simulation]
shape = [96, 96]
{pixel_size}
[simulation.specimen]
species = 2
views = 3
diameter_a = [90.0, 120.0]

[network]
widths = [4, 6]
blocks = [1, 1]

[pairs]
crop_px = 32
batch = 2
pool = 2
validation_fields = 2

[optimizer]
steps = {steps}
warmup_steps = 1
validate_every = 10
log_every = 1
bf16 = false
checkpoint_minutes = 0.005
"""
_FIT = """
[extraction]
windows_a = [64.0]
count = 60

[transfer]
clean_fields = 2
band_a = [12.0, 100.0]
"""


def make_all(folder: Path) -> None:
    """Fill a project folder."""
    names = [f"m_{index:02d}" for index in range(MICROGRAPHS)]
    (folder / "mics").mkdir()
    for index, name in enumerate(names):
        micrograph(folder / "mics" / f"{name}.mrc", seed=index, shape=_SHAPE, pixel_size_a=3.0)
    for index in range(3):
        frames = np.stack([sound.image(96, seed=10 * index + frame) for frame in range(6)])
        path = folder / "movies" / f"movie_{index}.mrcs"
        path.parent.mkdir(exist_ok=True)
        write_mrc(path, frames.astype(np.float32), 3.0)
    rows = "\n".join(f"mics/{name}.mrc 1 10000 11000" for name in names)
    head = sound.STAR[: sound.STAR.index("good.mrc")].replace("g1 1 1.5", "g1 1 3.0")
    (folder / "micrographs.star").write_text(f"{head}{rows}\n\n")
    _picks(folder / "picks", names)
    _exposures(folder / "exposures.cs", names)
    _fields(folder)
    write_weights(folder / "tiny.safetensors", *random_model(widths=(4, 6)).to_tensors())
    recipe = _RECIPE.format(pixel_size="pixel_size_a = 4.0", steps=_STEPS["train"])
    (folder / "train.toml").write_text(recipe)
    recipe = _RECIPE.format(pixel_size="", steps=_STEPS["fit"]) + _FIT
    (folder / "fit.toml").write_text(f'noise = "coloured"\n{recipe}')


def _picks(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.box").write_text("1\t2\t10\t10\n" * 200)
        (folder / f"{name}_autopick.star").write_text(
            sound.COORDINATES.replace("good", f"mics/{name}")
        )


def _exposures(path: Path, names: list[str]) -> None:
    paths = np.array([f"mics/{name}.mrc".encode() for name in names[:4]], "S24")
    path.write_bytes(sound.cs(micrograph_blob__path=paths))


def _fields(folder: Path) -> None:
    """Make micrographs with particles, their truth, windows of noise, and a sampler of it."""
    settings = SimulationSettings(
        pixel_size_a=4.0,
        shape=(208, 192),
        specimen=SpecimenSettings(coverage=(0.05, 0.05), empty=0.0),
        imaging=ImagingSettings(carbon=0.0, contamination=0.0, contrast_gain=(1.5, 1.5)),
    )
    bank = procedural_bank(1, 4.0, 4, (120.0, 120.0), stream(3, "particle"))
    for index in range(2):
        made = simulate(bank, settings, 1, stream(3, "place", index), stream(3, "noise", index))
        for place, image in (("fields", made.noisy), ("truth", made.clean)):
            write_micrograph(folder / place / f"field_{index}.mrc", image[0].numpy(), 4.0)
    windows = np.random.default_rng(5).normal(size=(60, 16, 16)).astype(np.float32)
    np.save(folder / "windows.npy", windows)
    covariance = torch.zeros(32, 32)
    covariance[0, 0] = 1.0
    write_sampler(folder / "noise.safetensors", ColouredNoise(covariance), 4.0)
