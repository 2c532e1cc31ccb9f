"""The two networks of a WGAN-GP as one task of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.core.settings import Settings
from nt2c.models.critic import Critic
from nt2c.models.synthesizer import Generator, GeneratorSettings
from nt2c.noise.spectra import power_spectra
from nt2c.training.loop import (
    Network,
    learning_rate,
    load_optimizer,
    optimizer_tensors,
    part_of,
    with_prefix,
)
from nt2c.training.processes import ALONE, Team
from nt2c.training.settings import Decay, OptimizerSettings
from nt2c.training.synthesizer_fidelity import (
    corrected_windows,
    correction_kernel,
    distances,
    make_fields,
)

_STEEPEST = 1e6  # score of a critic that has lost its hold
_FIELDS_JUDGED = 96


class AdversarialSettings(OptimizerSettings):
    """The loop's settings with defaults for two networks that train each other."""

    steps: int = Field(600, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    betas: tuple[Decay, Decay] = Field((0.5, 0.999), description="of both networks' Adam")
    warmup_steps: int = Field(20, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(100.0, gt=0)
    ema_decay: float = Field(0.98, ge=0, lt=1)
    bf16: bool = False
    log_every: int = Field(10, ge=1)
    validate_every: int = Field(50, ge=1)


class SynthesizerSettings(Settings):
    """Noise synthesizer: what it is and how it is trained."""

    generator: GeneratorSettings = GeneratorSettings()
    critic: tuple[int, ...] = Field((24, 32, 32), min_length=1, description="channels")
    crop_px: int = Field(48, ge=8, description="side of what the critic sees, at most the window's")
    batch: int = Field(32, ge=2)
    critic_steps: int = Field(3, ge=1, description="steps of the critic per step of the generator")
    critic_rate: float = Field(0.5, gt=0, description="learning rate of the critic, relative")
    stir: float = Field(0.05, ge=0, description="what each noise map moves gains by at the start")
    penalty: float = Field(10.0, gt=0, description="weight of the gradient penalty")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the windows that only judge")
    least_windows: int = Field(32, ge=4)
    optimizer: AdversarialSettings = AdversarialSettings()


def gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor, share: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the critic's gradient norm (Gulrajani et al. 2017, eq. 3).

    The norm is that of a whole sample, in float32, at random points between real and made ones.

    Parameters
    ----------
    critic : nn.Module
        Gives one score for each sample.
    real, made : Tensor
        Samples (n, 1, y, x).
    share : Tensor
        Place of each point between them, 0 to 1, (n,).
    """
    with torch.autocast(real.device.type, enabled=False):
        point = torch.lerp(real.float(), made.float(), share[:, None, None, None])
        point.requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(point).sum(), point, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class Judgement(nn.Module):
    """What a critic learns from, in one call, so that processes can average its gradients."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, real: Tensor, made: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return how much higher real samples score than made ones, and the gradient penalty."""
        distance = self.critic(real).mean() - self.critic(made).mean()
        return distance, gradient_penalty(self.critic, real, made, share)


@dataclass(frozen=True)
class Best:
    """The generator that did best in validation: when, its figures and its weights."""

    step: int
    figures: dict[str, float]
    weights: dict[str, Tensor]


class SynthesisTask:
    """Wasserstein loss of the generator; the critic is trained beside it, `critic_steps` to one.

    Parameters
    ----------
    generator : Generator
        What the loop trains.
    windows, held_out : Tensor
        Standardised windows (n, s, s) to learn from and to judge by, on the training device.
    settings : SynthesizerSettings
        How it is trained.
    seed : int
        Of all draws.
    team : Team
        Processes that share the batches. Each draws the numbers of the whole batch.
    """

    def __init__(
        self,
        generator: Generator,
        windows: Float[Tensor, "n s s"],
        held_out: Float[Tensor, "m s s"],
        settings: SynthesizerSettings,
        seed: int,
        team: Team = ALONE,
    ) -> None:
        self._generator, self._windows, self._held_out = generator, windows, held_out
        self._settings, self._seed, self._team = settings, seed, team
        self.power = power_spectra(windows).mean(0)
        self._device = windows.device
        self._crop = min(settings.crop_px, windows.shape[-1]) // 2 * 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(initial_seed(seed, "critic weights"))
            critic = Critic(settings.critic)
        self._critic = critic.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._critic.calibrate(windows[:, None, : self._crop, : self._crop])
        self._optimizer = torch.optim.Adam(
            self._critic.parameters(), betas=settings.optimizer.betas
        )
        self._judgement = team.wrap(Judgement(self._critic))
        self.best: Best | None = None
        self._figures: dict[str, float] = {}

    def loss(self, network: Network, step: int) -> Tensor:
        """Train the critic for this step, then return minus its score of new noise."""
        settings, share = self._settings, self._team.share
        for group in self._optimizer.param_groups:
            group["lr"] = settings.critic_rate * learning_rate(settings.optimizer, step)
        random = stream(self._seed, "synthesizer", step, self._device)
        pool = 2 * settings.batch
        maps = self._generator.draw_windows(pool, self._crop, random)
        with torch.no_grad():
            made = self._team.gather(network(share(maps)))
        for _ in range(settings.critic_steps):
            chosen = torch.randperm(pool, generator=random, device=self._device)
            self._train_critic(self._real(random), made[chosen[: settings.batch]], random)
        self._critic.requires_grad_(False)
        maps = self._generator.draw_windows(settings.batch, self._crop, random)
        score = self._critic(network(share(maps))).mean()
        self._critic.requires_grad_(True)
        if not abs(float(self._team.mean(score.detach()))) < _STEEPEST:
            raise InputError(
                f"noise synthesizer: the critic diverged at step {step}; lower "
                "optimizer.learning_rate, or extract windows anew without outliers"
            )
        return -score

    def _train_critic(self, real: Tensor, made: Tensor, random: torch.Generator) -> None:
        between = torch.rand(len(real), generator=random, device=self._device)
        real, made, between = map(self._team.share, (real, made, between))
        distance, penalty = self._judgement(real, made, between)
        self._optimizer.zero_grad()
        (self._settings.penalty * penalty - distance).backward()
        self._optimizer.step()
        self._figures = {
            "critic_distance": float(self._team.mean(distance.detach())),
            "gradient_penalty": float(self._team.mean(penalty.detach())),
        }

    def _real(self, random: torch.Generator) -> Tensor:
        """Random crops of real windows, half of them turned by 180 degrees.

        The turn leaves every spectrum as it is, also an anisotropic one.
        """
        count, size = self._settings.batch, self._crop
        room = self._windows.shape[-1] - size + 1
        draws = torch.rand(count, 4, generator=random, device=self._device)
        index = (draws[:, 0] * len(self._windows)).long()[:, None, None]
        line = torch.arange(size, device=self._device)
        rows = ((draws[:, 1] * room).long()[:, None] + line)[:, :, None]
        columns = ((draws[:, 2] * room).long()[:, None] + line)[:, None, :]
        crops = self._windows[index, rows, columns]
        turned = (draws[:, 3] < 0.5)[:, None, None]
        return torch.where(turned, crops.flip(1, 2), crops)[:, None]

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """Fidelity of what the averaged network makes; the best network so far is kept."""
        assert isinstance(network, Generator)
        random = stream(self._seed, "synthesizer validation", 0, self._device)
        size = self._windows.shape[-1]
        fields = make_fields(network, size, _FIELDS_JUDGED, random)
        fields -= fields.mean()
        kernel = correction_kernel(fields, self.power)
        made = corrected_windows(fields, kernel, size)
        figures = distances(self._held_out, made, random)
        if self.best is None or figures["score"] < self.best.figures["score"]:
            weights = {k: v.detach().clone() for k, v in network.state_dict().items()}
            self.best = Best(step, figures, weights)
        return {**figures, **self._figures}

    def state(self) -> Mapping[str, Tensor]:
        """Return the critic, its optimizer and the best generator so far."""
        tensors = with_prefix("critic.", self._critic.state_dict())
        tensors |= with_prefix("optimizer.", optimizer_tensors(self._optimizer))
        if self.best is not None:
            tensors |= with_prefix("best.weights.", self.best.weights)
            figures = {
                k: torch.tensor(v, dtype=torch.float64) for k, v in self.best.figures.items()
            }
            tensors |= with_prefix("best.figures.", figures)
            tensors["best.step"] = torch.tensor(self.best.step)
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        self._critic.load_state_dict(part_of("critic.", tensors))
        load_optimizer(self._optimizer, part_of("optimizer.", tensors))
        if "best.step" in tensors:
            figures = {k: float(v) for k, v in part_of("best.figures.", tensors).items()}
            weights = part_of("best.weights.", tensors)
            self.best = Best(int(tensors["best.step"]), figures, weights)


def initial_seed(seed: int, role: str) -> int:
    """Seed for torch's own initialization of a network."""
    return int(stream(seed, role).initial_seed()) % 2**63
