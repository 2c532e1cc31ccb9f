"""Training of a denoiser on simulated pairs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nt2c.core.random import stream
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet
from nt2c.training.loop import Network, train
from nt2c.training.pairs import Pairs, PairSource
from nt2c.training.settings import Recipe

Picture = Callable[[int, Tensor, Tensor, Tensor], None]


class DenoisingTask:
    """Relative squared error against the clean signal; validation on held-out fields."""

    def __init__(self, recipe: Recipe, device: torch.device, picture: Picture | None) -> None:
        self._source = PairSource(recipe.simulation, recipe.pairs, recipe.seed, device)
        self._recipe = recipe
        self._device = device
        self._picture = picture
        self._stride = 2 ** len(recipe.network.widths)
        self._held_out: tuple[Pairs, Pairs] | None = None

    def loss(self, network: Network, step: int) -> Tensor:
        """Mean over the crops of squared error / (power of the target + floor).

        Faint crops count as much as strong ones, and empty ones most.
        """
        pairs = self._source.batch(step)
        noisy = pairs.noisy.contiguous(memory_format=torch.channels_last)
        error = (network(noisy) - pairs.clean).square().mean((-3, -2, -1))
        power = pairs.clean.square().mean((-3, -2, -1))
        return (error / (power + self._recipe.pairs.loss_floor)).mean()

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """Mean squared correlation with the target on held-out fields, and the mean variance that
        is left of particle-free ice and counting noise, in units of the noise variance.
        """
        if self._held_out is None:
            self._held_out = self._fields(1), self._fields(0)
        pairs, empty = self._held_out
        with torch.no_grad():
            output, left = network(pairs.noisy), network(empty.noisy)
        if self._picture:
            self._picture(step, pairs.noisy[:, 0], output[:, 0], pairs.clean[:, 0])
        output, clean = output.flatten(1), pairs.clean.flatten(1)
        covariance = (output * clean).mean(1) - output.mean(1) * clean.mean(1)
        quality = covariance.square() / (output.var(1) * clean.var(1))
        return {
            "validation_correlation2": float(quality.mean()),
            "validation_empty_variance": float(left.flatten(1).var(1).mean()),
        }

    def _fields(self, particles: int) -> Pairs:
        """Held-out fields, each with particles or each without anything but ice."""
        recipe = self._recipe
        specimen = recipe.simulation.specimen.model_copy(update={"empty": 1.0 - particles})
        bare = {"contamination": 0.0, "carbon": 0.0, "texture": 0.0, "gradient": 0.0}
        simulation = recipe.simulation.model_copy(
            update={
                "specimen": specimen,
                "imaging": recipe.simulation.imaging.model_copy(update={} if particles else bare),
                "shape": tuple(n // self._stride * self._stride for n in recipe.simulation.shape),
            }
        )
        source = PairSource(simulation, recipe.pairs, recipe.seed, self._device, "validation")
        return source.fields(0, recipe.pairs.validation_fields)


def train_denoiser(
    recipe: Recipe,
    folder: Path,
    *,
    device: str = "auto",
    picture: Picture | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> DenoiserModel:
    """Train the denoiser of a recipe; state is kept in `folder`, from where it resumes.

    Parameters
    ----------
    recipe : Recipe
        Everything that the result depends on.
    folder : Path
        Receives the checkpoint and the log.
    device : str
        "auto", "cpu" or "cuda".
    picture : callable, optional
        Receives (step, noisy, output, clean) after each validation, images (n, y, x).
    on_step : callable, optional
        Receives (steps done, loss).
    """
    gpu = device != "cpu" and torch.cuda.is_available()
    where = torch.device("cuda" if gpu else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(recipe.seed, "initial weights").initial_seed()) % 2**63)
        network = UNet(recipe.network)
    task = DenoisingTask(recipe, where, picture)
    fingerprint = recipe.model_dump(mode="json")
    trained = train(
        network, task, recipe.optimizer, folder, fingerprint, device=device, on_step=on_step
    )
    metadata = {"name": recipe.name, "seed": recipe.seed, "recipe": fingerprint}
    assert isinstance(trained, UNet)
    return DenoiserModel(trained.cpu(), recipe.simulation.pixel_size_a, metadata)
