"""Processes that train together: each takes its share of every batch.

A launcher such as torchrun starts them. Started without one, a process is alone, and what is here
passes values through.
"""

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from nt2c.core.errors import SettingsError

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""Longest wait for another process, which may be finding noise windows meanwhile."""


@dataclass(frozen=True)
class Team:
    """A process and those that train with it.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    count : int
        Number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def check_batch(self, name: str, batch: int) -> None:
        """Refuse a batch that cannot be shared equally.

        Raises
        ------
        SettingsError
            Its size is no multiple of the number of processes.
        """
        if batch % self.count:
            raise SettingsError(
                f"{name}: a batch of {batch} cannot be shared equally by {self.count} processes; "
                "start another number of them, or set another batch"
            )

    def share(self, batch: Tensor) -> Tensor:
        """Return what this process takes of a batch (n, ...) that all have: (n / count, ...)."""
        return batch.tensor_split(self.count)[self.rank]

    def gather(self, part: Tensor) -> Tensor:
        """Join the parts (m, ...) of all processes in their order: (count * m, ...)."""
        if self.count == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.count)]
        torch.distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a detached value over the processes."""
        return value if self.count == 1 else self.gather(value[None]).mean(0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are means over the processes: one call a step."""
        return network if self.count == 1 else nn.parallel.DistributedDataParallel(network)

    def lead(self, work: Callable[[], T]) -> T:
        """Do something in the first process alone, and return in each what came out of it.

        An error of the first process is raised in all of them.
        """
        if self.count == 1:
            return work()
        said: list[tuple[T | None, Exception | None]] = [(None, None)]
        if self.first:
            try:
                said = [(work(), None)]
            except Exception as error:
                said = [(None, error)]
        torch.distributed.broadcast_object_list(said)
        result, failure = said[0]
        if failure is not None:
            raise failure
        return result  # type: ignore[return-value]


ALONE = Team()


def join(device: str) -> Team:
    """Join the processes that a launcher started with this one, to train on a kind of device.

    Parameters
    ----------
    device : str
        "auto", "cpu" or "cuda": each process of a machine takes a GPU of its own.

    Raises
    ------
    SettingsError
        There are more processes than GPUs on this machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not torch.distributed.is_initialized():
        _check_gpus(device)
        from accelerate import PartialState

        PartialState(cpu=device == "cpu", timeout=PATIENCE)
        atexit.register(torch.distributed.destroy_process_group)
    return Team(torch.distributed.get_rank(), torch.distributed.get_world_size())


def _check_gpus(device: str) -> None:
    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if gpus and here > gpus:
        raise SettingsError(
            f"{here} processes on a machine with {gpus} GPUs; start one for each, or use "
            "'device' cpu"
        )
