"""Training of a denoiser on pairs, and on real micrographs where they are given."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nt2c.core.device import choose_device
from nt2c.core.errors import SettingsError
from nt2c.core.random import stream
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.network import DenoisingNetwork, network_input
from nt2c.training.digest import digest
from nt2c.training.loop import Network, train, training_precision
from nt2c.training.pairs import Pairs, PairSource, Source
from nt2c.training.processes import ALONE, Team, join
from nt2c.training.recorrupted import RealCrops
from nt2c.training.settings import Recipe

Picture = Callable[[int, Tensor, Tensor, Tensor], None]

_LEAST_CORRELATION = 0.3  # below it a crop counts no more: strong ones must not pay for it


@dataclass(frozen=True)
class Material:
    """What a denoiser is trained on beside its recipe.

    Attributes
    ----------
    source : Source, optional
        Of the pairs, on the device of the training; by default the simulation of the recipe.
    start : DenoiserModel, optional
        Whose weights to start from; by default random ones.
    real : RealCrops, optional
        Recorrupted real micrographs, on the device of the training, as `Recipe.recorrupted` weighs
        them.
    windows : Tensor, optional
        Held-out particle-free windows of real micrographs (n, s, s), for validation.
    """

    source: Source | None = None
    start: DenoiserModel | None = None
    real: RealCrops | None = None
    windows: Tensor | None = None

    def describe(self) -> Mapping[str, object]:
        """Everything that the weights depend on; empty where it is the simulation alone."""
        given = dict(self.source.describe()) if self.source else {}
        if self.start is not None:
            given["start"] = digest(self.start.network.state_dict().values())
        if self.real is not None:
            given["real"] = dict(self.real.describe())
        return given


SIMULATION = Material()
"""The simulation of the recipe alone."""


class DenoisingTask:
    """Relative squared error against the clean signal; validation on held-out fields.

    Parameters
    ----------
    recipe : Recipe
        Simulation, weights of the losses and sizes.
    device : torch.device
        Where the network runs.
    material : Material
        What to train on.
    picture : callable, optional
        As for `train_denoiser`.
    team : Team
        Processes that share the batches.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        material: Material = SIMULATION,
        *,
        picture: Picture | None = None,
        team: Team = ALONE,
    ) -> None:
        self._recipe = recipe
        self.source: Source = material.source or PairSource(
            recipe.simulation, recipe.pairs, recipe.seed, device
        )
        self._picture = picture
        self._real = material.real
        self._real_power = material.real.signal_power if material.real else 0.0
        self._team = team
        self._windows = None if material.windows is None else material.windows.to(device)
        self._stride = recipe.network.stride
        self._held_out: tuple[Pairs, Pairs] | None = None

    def loss(self, network: Network, step: int) -> Tensor:
        """Mean over the crops of squared error / (power of the signal + floor).

        Faint crops count as much as strong ones, and empty ones most. That of recorrupted real
        crops, less what the noise of their targets adds, is the same measure, but with one power
        for all; it is added with its weight, and may be below 0 by chance.
        """
        pairs = self.source.batch(step, self._team)
        if self._real is None:
            output = network(
                pairs.noisy.contiguous(memory_format=torch.channels_last), pairs.condition
            )
            return self._error(output, pairs.clean)
        whole = self._real.batch(step)
        own = [self._team.share(part) for part in (whole.noisy, whole.condition, whole.clean)]
        noisy, condition, other = own
        output = network(
            torch.cat([pairs.noisy, noisy]).contiguous(memory_format=torch.channels_last),
            torch.cat([pairs.condition, condition]),
        )
        simulated, real = output.split([len(pairs.noisy), len(noisy)])
        first = self._error(simulated, pairs.clean)
        error = squared_error(real, other).mean() - self._real.target_noise(step)
        return first + self._recipe.recorrupted.weight * error / (
            self._real_power + self._recipe.pairs.loss_floor
        )

    def _error(self, output: Tensor, clean: Tensor) -> Tensor:
        """Mean of the relative errors of crops."""
        pairs = self._recipe.pairs
        power = clean.square().mean((-3, -2, -1))
        error = squared_error(output, clean) / (power + pairs.loss_floor)
        if pairs.weight_by_correlation:
            weight = correlation_weight(output.detach(), clean)
            error = error * torch.where(power > pairs.loss_floor / 4, weight, 1.0)
        return error.mean()

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """Mean squared correlation with the target on held-out fields, and the mean variance that
        is left of particle-free noise, of the source and of real windows, in units of the noise.
        """
        if self._held_out is None:
            self._held_out = self.source.held_out(
                self._recipe.pairs.validation_fields, self._stride
            )
        pairs, empty = self._held_out
        with torch.no_grad():
            output = network(pairs.noisy, pairs.condition)
            left = network(empty.noisy, empty.condition)
        if self._picture:
            self._picture(step, pairs.noisy[:, 0], output[:, 0], pairs.clean[:, 0])
        output, clean = output.flatten(1), pairs.clean.flatten(1)
        covariance = (output * clean).mean(1) - output.mean(1) * clean.mean(1)
        quality = covariance.square() / (output.var(1) * clean.var(1))
        figures = {
            "validation_correlation2": float(quality.mean()),
            "validation_empty_variance": float(left.flatten(1).var(1).mean()),
        }
        if self._windows is not None:
            figures["validation_window_variance"] = left_in_windows(
                network, self._windows, self._stride
            )
        return figures


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean of the squared difference of each image (n, 1, y, x)."""
    return (output - target).square().mean((-3, -2, -1))


def correlation_weight(output: Tensor, clean: Tensor) -> Tensor:
    """Weights (n) with which the relative error of an image counts as its correlation r would.

    At the best scale of the output the relative error is 1 - r^2, and d(-r) = d(1 - r^2) / 2r. The
    relative error alone hardly minds images of faint particles: from r = 0.1 to 0.3 it falls by
    less than from 0.8 to 0.85.
    """
    both = (output * clean).mean((-3, -2, -1))
    powers = output.square().mean((-3, -2, -1)) * clean.square().mean((-3, -2, -1))
    return 0.5 / (both / powers.clamp(min=1e-12).sqrt()).clamp(min=_LEAST_CORRELATION)


def left_in_windows(network: nn.Module, windows: Tensor, stride: int) -> float:
    """Variance of the network's output over all pixels of noise windows (n, s, s) of any side."""
    size = windows.shape[-1]
    more = -size % stride
    images, condition = network_input(windows, together=True)
    padded = functional.pad(images, (0, more, 0, more), mode="reflect")
    with torch.no_grad():
        parts = zip(padded.split(64), condition.split(64), strict=True)
        left = torch.cat([network(*part)[..., :size, :size] for part in parts])
    return float(left.var())


def train_denoiser(
    recipe: Recipe,
    folder: Path,
    material: Material = SIMULATION,
    *,
    device: str = "auto",
    picture: Picture | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> DenoiserModel:
    """Train the denoiser of a recipe; state is kept in `folder`, from where it resumes.

    Processes started together by a launcher such as torchrun share the work.

    Parameters
    ----------
    recipe : Recipe
        Everything that the result depends on, but for the material.
    folder : Path
        Receives the checkpoint and the log.
    material : Material
        What to train on, on `choose_device(device)`.
    device : str
        "auto", "cpu" or "cuda".
    picture : callable, optional
        Receives (step, noisy, output, clean) after each validation, images (n, y, x).
    on_step : callable, optional
        Receives (steps done, loss).

    Raises
    ------
    SettingsError
        The model to start from has another network or pixel size, the folder holds another run,
        the device is not there, a batch cannot be shared by the processes, or the recipe weighs
        real micrographs and there are none.
    """
    team = join(device)
    team.check_batch("pairs.batch", recipe.pairs.batch)
    where = choose_device(device)
    if material.real is not None:
        team.check_batch("recorrupted.batch", recipe.recorrupted.batch)
    elif recipe.recorrupted.weight:
        raise SettingsError(
            "recorrupted.weight: there are no real micrographs to train on, which only nt2c fit "
            "has; leave it out"
        )
    network = _first_network(recipe, material.start)
    task = DenoisingTask(
        recipe, where, material, picture=picture if team.first else None, team=team
    )
    given, settings = material.describe(), recipe.model_dump(mode="json")
    trained = train(
        network,
        task,
        recipe.optimizer,
        folder,
        {**settings, **given},
        device=device,
        on_step=on_step,
    )
    metadata: dict[str, Any] = {"name": recipe.name, "seed": recipe.seed, "recipe": settings}
    metadata["precision"] = training_precision(recipe.optimizer, where, team)
    if given:
        metadata["given"] = given
    assert isinstance(trained, DenoisingNetwork)
    return DenoiserModel(trained.cpu(), recipe.simulation.pixel_size_a, metadata)


@dataclass(frozen=True)
class Pace:
    """Seconds that a training step takes, the making of a field, and the network in judging a pixel
    (in float32, whatever the training runs in).
    """

    step_s: float
    field_s: float
    pixel_s: float


class _Unjudged:
    """A task whose steps are counted, and that has no validation."""

    def __init__(self, task: DenoisingTask, clock: Callable[[], float]) -> None:
        self._task = task
        self._clock = clock
        self.started_s: float | None = None

    def loss(self, network: Network, step: int) -> Tensor:
        """Loss of the batch of a step."""
        if self.started_s is None:
            self.started_s = self._clock()
        return self._task.loss(network, step)

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """No figures."""
        return {}


def measure_pace(
    recipe: Recipe,
    material: Material = SIMULATION,
    *,
    device: str,
    clock: Callable[[], float] = time.monotonic,
) -> Pace:
    """Time some steps of the loop that `train_denoiser` goes through, and leave no trace.

    A source that is given keeps the fields that it has made, so that little is done twice. All
    processes that train together take part. `clock` tells seconds.
    """
    team, where = join(device), choose_device(device)
    network = _first_network(recipe, material.start)
    task = DenoisingTask(recipe, where, material, team=team)
    unjudged = _Unjudged(task, clock)
    timed = 2 * recipe.pairs.steps_per_fields
    ends_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            network,
            unjudged,
            recipe.optimizer.replace(steps=1 + timed),
            Path(folder),
            {},
            device=device,
            on_step=lambda step, loss: ends_s.append(clock()),
        )
    assert unjudged.started_s is not None
    first_s = ends_s[0] - unjudged.started_s  # fills the pool of fields
    step_s = (ends_s[-1] - ends_s[0]) / timed
    seen = task.source.batch(timed, team)
    started_s = clock()
    with torch.no_grad():
        float(network(seen.noisy, seen.condition).sum())  # waits for the device
    pixel_s = (clock() - started_s) / seen.clean.numel()
    return Pace(step_s, max(0.0, first_s - step_s) / recipe.pairs.pool, pixel_s)


def _first_network(recipe: Recipe, start: DenoiserModel | None) -> DenoisingNetwork:
    """Network with the weights of `start`, or with random ones of the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(recipe.seed, "initial weights").initial_seed()) % 2**63)
        network = recipe.network.build()
    if start is None:
        return network
    if start.network.settings != recipe.network:
        raise SettingsError(
            f"network: {recipe.network} is not that of the model to start from; use "
            f"{start.network.settings}, or start from random weights"
        )
    if start.pixel_size_a != recipe.simulation.pixel_size_a:
        raise SettingsError(
            f"simulation.pixel_size_a: {recipe.simulation.pixel_size_a:g} is not that of the model "
            f"to start from; use {start.pixel_size_a:g}, or start from random weights"
        )
    network.load_state_dict(start.network.state_dict())
    return network
