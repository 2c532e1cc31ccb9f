"""Train a tiny denoiser and a tiny synthesizer into the folder given; run alone or by torchrun."""

import sys
from pathlib import Path

import torch

from nt2c.noise.samplers import WhiteNoise
from nt2c.training import synthesizer, synthesizer_task
from nt2c.training.denoiser import Material, train_denoiser
from nt2c.training.recorrupted import NoisyMicrograph, RealCrops
from nt2c.training.settings import Recipe
from nt2c.training.synthesizer import SynthesizerSettings, train_synthesizer

RECIPE = {
    "name": "tiny",
    "seed": 5,
    "simulation": {
        "shape": [64, 64],
        "pixel_size_a": 8.0,
        "specimen": {"species": 2, "views": 3, "diameter_a": [100, 150]},
    },
    "network": {"widths": [4, 6], "blocks": [1, 1]},
    "pairs": {"crop_px": 32, "batch": 4, "pool": 3, "steps_per_fields": 3, "validation_fields": 2},
    "recorrupted": {"weight": 0.5, "batch": 2},
    "optimizer": {
        "steps": 20, "warmup_steps": 2, "bf16": False, "log_every": 1, "validate_every": 10,
    },
}  # fmt: skip
SYNTHESIZER = {
    "generator": {"width": 4, "slow_px": [3.0]},
    "critic": [6, 6],
    "crop_px": 16,
    "batch": 4,
    "optimizer": {"steps": 20, "warmup_steps": 2, "log_every": 1, "validate_every": 10},
}


def train_both(folder: Path) -> list[dict[str, torch.Tensor]]:
    """Return the weights of the two networks; logs are left in folder/denoiser, /synthesizer."""
    synthesizer._FIELDS_MEASURED = synthesizer_task._FIELDS_JUDGED = 8
    random = torch.Generator().manual_seed(2)
    micrograph = torch.randn(80, 90, generator=random)
    levels = torch.rand(60, 1, 1, generator=random) + 0.5
    windows = levels * torch.randn(60, 16, 16, generator=random)
    recipe = Recipe.parse(RECIPE, "tiny")
    own = [NoisyMicrograph(micrograph, WhiteNoise(), 1.0)]
    crops = RealCrops(own, 32, recipe.recorrupted, recipe.seed, torch.device("cpu"))
    denoiser = train_denoiser(recipe, folder / "denoiser", Material(real=crops), device="cpu")
    sampler = train_synthesizer(
        windows, torch.arange(60), SynthesizerSettings.parse(SYNTHESIZER, "tiny"),
        folder / "synthesizer", device="cpu",
    )  # fmt: skip
    return [denoiser.network.state_dict(), sampler.generator.state_dict()]


if __name__ == "__main__":
    train_both(Path(sys.argv[1]))
