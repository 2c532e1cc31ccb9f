"""Train the reference row Noise2Noise: what second exposures of a data set would be worth.

    python -m benchmarks.noise2noise [--steps 400] [--folds 2]
    python -m benchmarks.quality --methods nt2c --reference-model \\
        noise2noise:empiar10146=FOLDER/fold0.safetensors,FOLDER/fold1.safetensors

From the weights of the bundled model, the network learns to predict the independent exposure of a
field of EMPIAR-10146 from its micrograph. A user has no such exposures. Model i of n is trained
without the fields i, i + n, i + 2 n ..., and only those it denoises in the benchmark. It resumes.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from benchmarks.about import DATA, OUTPUTS
from benchmarks.quality.fields import Field, read_pairs
from torch import Tensor, nn

from nt2c.core.random import stream
from nt2c.denoising.denoiser import load_model, prepare
from nt2c.io.weights import write_weights
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.network import network_input
from nt2c.models.unet import UNet
from nt2c.training.loop import Network, train
from nt2c.training.settings import OptimizerSettings

CROP_PX, BATCH, SEED = 192, 8, 0


class SecondExposure:
    """Squared error against the independent exposure, in units of that exposure's variance.

    `pairs` are (micrograph, exposure), both in units of the micrograph's noise at the working pixel
    size.
    """

    def __init__(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._images = []
        for micrograph, exposure in pairs:
            images, condition = network_input(micrograph[None])
            self._images.append((torch.cat([images[0], exposure[None]]), condition[0]))

    def loss(self, network: Network, step: int) -> Tensor:
        generator = stream(SEED, "noise2noise", step)
        crops = [self._crop(generator) for _ in range(BATCH)]
        images, conditions = (torch.stack(parts) for parts in zip(*crops, strict=True))
        noisy, other = images[:, :-1], images[:, -1:]
        output = network(noisy.contiguous(memory_format=torch.channels_last), conditions)
        return (output - other).square().mean() / other.var()

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        return {}

    def _crop(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same place of the network's images and the exposure, turned alike; condition."""

        def draw(below: int) -> int:
            return int(torch.randint(below, (), generator=generator))

        images, condition = self._images[draw(len(self._images))]
        top, left = (draw(side - CROP_PX + 1) for side in images.shape[-2:])
        part = images[:, top : top + CROP_PX, left : left + CROP_PX].rot90(draw(4), (-2, -1))
        return (part.flip(-1) if draw(2) else part), condition


def exposures(field: Field, pixel_size_a: float) -> tuple[Tensor, Tensor]:
    own = prepare(field.image, field.pixel_size_a, pixel_size_a)
    other = prepare(field.reference, field.pixel_size_a, pixel_size_a)
    return own.scaled, other.scaled * other.scaling.sigma / own.scaling.sigma


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--model", default="general", help="the weights to start from")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUTS / "noise2noise")
    arguments = parser.parse_args()
    start = load_model(arguments.model)
    pairs = [exposures(f, start.pixel_size_a) for f in read_pairs(arguments.data)]
    settings = OptimizerSettings(
        steps=arguments.steps, learning_rate=2e-4, warmup_steps=50, ema_decay=0.99
    )
    for fold in range(arguments.folds):
        network = UNet(start.network.settings)
        network.load_state_dict(start.network.state_dict())
        others = [pair for i, pair in enumerate(pairs) if i % arguments.folds != fold]
        about = {
            "name": "noise2noise",
            "fold": fold,
            "folds": arguments.folds,
            "start": arguments.model,
            "optimizer": settings.model_dump(mode="json"),
        }
        folder = arguments.output / f"fold{fold}"
        trained = train(
            network, SecondExposure(others), settings, folder, about, device=arguments.device
        )
        network.load_state_dict(trained.cpu().state_dict())
        model = DenoiserModel(network, start.pixel_size_a, about)
        path = arguments.output / f"fold{fold}.safetensors"
        write_weights(path, *model.to_tensors())
        print(path, flush=True)


if __name__ == "__main__":
    main()
