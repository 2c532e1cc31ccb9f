"""The one training loop: precision, averaging, schedule, checkpoints, resume, log."""

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nt2c.core.device import choose_device, has_fast_bf16
from nt2c.core.errors import SettingsError
from nt2c.core.revision import Part, made_by
from nt2c.io.records import append_record, read_records, write_records
from nt2c.io.weights import read_weights, write_weights
from nt2c.training.processes import Team, join
from nt2c.training.settings import OptimizerSettings

Network = Callable[..., Tensor]
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
_HOPELESS = 20  # steps in a row without a finite loss
_RECENT = 50
_GREAT = 100.0  # times the median of the recent losses
_LEAST_LOSS = 0.1


class Task(Protocol):
    """What is trained: the loop knows nothing of images."""

    def loss(self, network: Network, step: int) -> Tensor:
        """Scalar loss of the batch of a step."""

    def validate(self, network: nn.Module, step: int) -> Mapping[str, float]:
        """Figures of the averaged network, for the log."""


@runtime_checkable
class TaskWithState(Task, Protocol):
    """A task that trains or keeps something besides the network, such as a critic."""

    def state(self) -> Mapping[str, Tensor]:
        """What the checkpoint must hold for the task to continue."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from the tensors that `state` gave."""


def learning_rate(settings: OptimizerSettings, step: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def training_precision(settings: OptimizerSettings, device: torch.device, team: Team) -> str:
    """What the network runs in, "bf16" or "fp32": in all processes what the first one's device can.

    Parameters
    ----------
    settings : OptimizerSettings
        Whether bfloat16 is allowed.
    device : torch.device
        Of this process.
    team : Team
        Those that train together.
    """
    return team.lead(lambda: "bf16" if settings.bf16 and has_fast_bf16(device) else "fp32")


def in_precision(network: nn.Module, device: torch.device, precision: str) -> Network:
    """The network in mixed precision, alone: batches are made in float32, and so is its result."""

    def forward(*inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, precision == "bf16"):
            result: Tensor = network(*inputs)
        return result.float()

    return forward


def _is_great(loss: float, recent: Collection[float]) -> bool:
    """Whether a finite loss is far from the recent ones, of which there must be some."""
    if not math.isfinite(loss):
        return False
    return len(recent) >= _RECENT // 5 and loss > _GREAT * max(median(recent), _LEAST_LOSS)


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put `prefix` before every name."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def part_of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors whose names start with `prefix`, which is cut off."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimizer (not its settings), named "INDEX.NAME"."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{k}": v for index, state in states.items() for k, v in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Continue from the tensors that `optimizer_tensors` gave."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        weight = weights[int(index)]
        if value.shape == weight.shape:  # a fused step goes through memory: all in one order
            value = torch.empty_like(weight, device=value.device).copy_(value)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _pack(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, task: Task
) -> dict[str, Tensor]:
    tensors = with_prefix("network.", network.state_dict())
    tensors |= with_prefix("average.", average.state_dict())
    tensors |= with_prefix("optimizer.", optimizer_tensors(optimizer))
    if isinstance(task, TaskWithState):
        tensors |= with_prefix("task.", task.state())
    return tensors


def _unpack(
    tensors: dict[str, Tensor],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
) -> None:
    network.load_state_dict(part_of("network.", tensors))
    average.load_state_dict(part_of("average.", tensors))
    load_optimizer(optimizer, part_of("optimizer.", tensors))
    if isinstance(task, TaskWithState):
        task.restore(part_of("task.", tensors))


def train(
    network: nn.Module,
    task: Task,
    settings: OptimizerSettings,
    folder: Path,
    fingerprint: Mapping[str, object],
    *,
    code: Part = "training",
    device: str = "auto",
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train `network` and return the average of its weights over time, in evaluation mode.

    Where a launcher has started several processes, each trains on its share of a batch, which the
    task takes, and all return the same. The first one writes the files.

    Parameters
    ----------
    network : nn.Module
        Trained in place.
    task : Task
        Gives the loss of a step and the validation figures; its state, if it has one, is kept
        in the checkpoint.
    settings : OptimizerSettings
        Steps, rates, intervals.
    folder : Path
        Receives `checkpoint.safetensors` and `log.jsonl`. A checkpoint found there is resumed and
        continues as if it had not been interrupted.
    fingerprint : mapping
        What the run depends on, besides the precision that the device decides; a checkpoint of
        another one is refused.
    code : str
        Part of the code that the task is, by its name in `core.revision`; a checkpoint of another
        revision is refused.
    device : str
        "auto", "cpu" or "cuda".
    on_step : callable, optional
        Receives (steps done, loss), for a progress bar.

    Raises
    ------
    SettingsError
        The folder holds another run, the device is not there, or the training diverged.
    """
    from accelerate import Accelerator

    choose_device(device)  # refuses one that is not there
    team = join(device)
    accelerator = Accelerator(cpu=device == "cpu")
    if accelerator.num_processes != team.count:  # each would train on the same batches
        raise SettingsError("training: this launcher is not known; start with torchrun")
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(),
        settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,  # half the time of a step that goes through the weights one operation at a time
    )
    network, optimizer = accelerator.prepare(network, optimizer)
    plain = accelerator.unwrap_model(network)
    average = torch.optim.swa_utils.AveragedModel(
        plain, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema_decay)
    )
    precision = training_precision(settings, accelerator.device, team)
    fingerprint = {**fingerprint, "precision": precision, "made_by": made_by(code)}
    done = _resume(folder, fingerprint, plain, average, optimizer, task, team)

    forward = in_precision(network, accelerator.device, precision)
    started = saved = time.monotonic()
    losses: list[float] = []
    recent: deque[float] = deque(maxlen=_RECENT)
    great: list[tuple[int, float, float]] = []
    skipped = in_a_row = 0
    for step in range(done, settings.steps):
        now, last = step + 1, step + 1 == settings.steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        loss = task.loss(forward, step)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(network.parameters(), settings.clip_norm)
        value = float(team.mean(loss.detach()))
        false = False
        if _is_great(value, recent) and not isinstance(task, TaskWithState):
            # Batches depend on the step alone: what is not found again, the machine has made.
            with torch.no_grad():
                again = float(team.mean(task.loss(forward, step)))
            false = not again > value / 2
            great.append((now, value, again))
        # One batch that overflows must not cost the weights: it is left out, and counted.
        if not false and math.isfinite(value) and norm is not None and math.isfinite(float(norm)):
            optimizer.step()
            losses.append(value)
            recent.append(value)
            in_a_row = 0
        else:
            skipped, in_a_row = skipped + 1, in_a_row + 1
        if in_a_row == _HOPELESS:
            raise SettingsError(
                f"{folder}: {in_a_row} steps in a row gave no finite loss or gradient; set a lower "
                "optimizer.learning_rate, and start again in another folder"
            )
        optimizer.zero_grad()
        average.update_parameters(plain)
        if on_step:
            on_step(now, value)
        record: dict[str, Any] = {}
        if now % settings.validate_every == 0 or last:
            record = dict(task.validate(average.module, now))
        if not team.first:
            continue
        if record or now % settings.log_every == 0:
            rate = (now - done) / (time.monotonic() - started)
            if skipped:
                record["skipped"] = skipped
            if great:
                record["great_losses"] = [list(one) for one in great]  # step, loss, loss again
            # Rare steps have a loss thousands of times the others', which a mean would show alone.
            usual = median(losses) if losses else None
            figures = {"step": now, "loss": usual, "loss_max": max(losses, default=None)}
            append_record(folder / LOG, figures | {"steps_per_s": rate, **record})
            losses.clear()
            great.clear()
            skipped = 0
        if last or time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            state = _pack(plain, average, optimizer, task)
            write_weights(folder / CHECKPOINT, state, {"step": now, "run": dict(fingerprint)})
            saved = time.monotonic()
    return average.module.eval()


def _resume(
    folder: Path,
    fingerprint: Mapping[str, object],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    team: Team,
) -> int:
    """Load the checkpoint of `folder`, if any, and return the number of steps done."""
    stored = team.lead(lambda: _stored_run(folder, fingerprint))
    if stored is None:
        return 0
    tensors, done = stored
    _unpack(tensors, network, average, optimizer, task)
    return done


def _stored_run(
    folder: Path, fingerprint: Mapping[str, object]
) -> tuple[dict[str, Tensor], int] | None:
    """Read the checkpoint of `folder`, which is made when missing, and cut the log to match."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CHECKPOINT).exists():
        if (folder / LOG).exists():
            (folder / LOG).unlink()
        return None
    tensors, metadata = read_weights(folder / CHECKPOINT)
    begun, now = dict(metadata["run"]), dict(fingerprint)
    if begun != now:
        if begun | {"made_by": now["made_by"]} == now:
            raise SettingsError(
                f"{folder}: the training was begun by another state of nt2c "
                f"({begun.get('made_by')}); go on with that, or delete the folder to start again"
            )
        if begun | {"precision": now["precision"]} == now:
            raise SettingsError(
                f"{folder}: the training was begun in {begun.get('precision')}, and this device "
                f"computes in {now['precision']}; go on with a device like the first, or "
                "delete the folder to start again"
            )
        raise SettingsError(
            f"{folder}: holds a training run with other settings; choose another folder, or "
            "delete it to start again"
        )
    done = int(metadata["step"])
    if (folder / LOG).exists():
        records = read_records(folder / LOG)
        write_records(folder / LOG, (r for r in records if r.get("step", 0) <= done))
    return tensors, done
