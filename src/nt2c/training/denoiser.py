"""Training of a denoiser on simulated pairs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nt2c.core.random import stream
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet
from nt2c.training.loop import train
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
        self._held_out: Pairs | None = None

    def loss(self, network: nn.Module, step: int) -> Tensor:
        """Mean over the crops of squared error / (power of the target + floor).

        Faint crops count as much as strong ones, and empty ones most.
        """
        pairs = self._source.batch(step)
        noisy = pairs.noisy.contiguous(memory_format=torch.channels_last)
        error = (network(noisy).float() - pairs.clean).square().mean((-3, -2, -1))
        power = pairs.clean.square().mean((-3, -2, -1))
        return (error / (power + self._recipe.pairs.loss_floor)).mean()

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """Squared correlation with the truth (mean over fields that hold particles) and the
        output's variance in empty fields, in units of the noise variance.
        """
        if self._held_out is None:
            recipe = self._recipe
            source = PairSource(
                recipe.simulation, recipe.pairs, recipe.seed, self._device, "validation"
            )
            self._held_out = source.fields(0, recipe.pairs.validation_fields)
        pairs = self._held_out
        stride = int(network.stride)  # type: ignore[arg-type]
        height, width = (s // stride * stride for s in pairs.noisy.shape[-2:])
        noisy, clean = pairs.noisy[..., :height, :width], pairs.clean[..., :height, :width]
        with torch.no_grad():
            output = network(noisy)
        if self._picture:
            self._picture(step, noisy[:, 0], output[:, 0], clean[:, 0])
        covariance = (output * clean).mean((-3, -2, -1)) - output.mean((-3, -2, -1)) * clean.mean(
            (-3, -2, -1)
        )
        full = clean.var((-3, -2, -1)) > 1e-6
        quality = covariance.square() / (output.var((-3, -2, -1)) * clean.var((-3, -2, -1)))
        empty = output.var((-3, -2, -1))[~full]
        return {
            "validation_correlation2": float(quality[full].mean()),
            "validation_empty_variance": float(empty.mean()) if len(empty) else float("nan"),
        }


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
