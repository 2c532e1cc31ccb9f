"""Small models with known or random weights, and micrographs."""

import mrcfile
import numpy as np
import torch

from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings
from tests.io.make import write_mrc

WORKING_A = 4.0


def random_model(widths=(8, 16), seed=0, name="tiny") -> DenoiserModel:
    """Return a model whose every weight is random: each pixel depends on all it can reach."""
    generator = torch.Generator().manual_seed(seed)
    network = UNet(UNetSettings(widths=widths, blocks=(1,) * len(widths)))
    for parameter in network.parameters():
        spread = 1 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    network.eval().requires_grad_(False)
    return DenoiserModel(network, WORKING_A, {"name": name})


def identity_model() -> DenoiserModel:
    """Return a model that returns what it is given."""
    network = UNet(UNetSettings(widths=(4,), blocks=(1,)))
    for parameter in network.parameters():
        parameter.data.zero_()
    for layer in (network.stem, network.head):  # of the stem's 8 channels 4 are the first image
        layer.weight.data[range(4), range(4), 1, 1] = 1.0
    network.eval().requires_grad_(False)
    return DenoiserModel(network, WORKING_A, {"name": "identity"})


def noise(shape=(48, 56), seed=0, mean=100.0, sigma=10.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(mean, sigma, shape)
    return values.astype(np.float32)


def micrograph(path, seed=0, pixel_size_a=2.0, shape=(48, 56)):
    return write_mrc(path, noise(shape, seed), pixel_size_a)


def pixels(path) -> np.ndarray:
    with mrcfile.open(path, permissive=True) as mrc:
        return mrc.data.copy()


def files(folder, but=()) -> list[str]:
    """Return the names of all files in a folder and below, hidden ones too, but the summaries."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name not in but)
    return sorted(str(p.relative_to(folder)) for p in found if not p.name.startswith("summary."))
