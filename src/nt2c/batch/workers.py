"""One process for each of several devices, with every n-th micrograph of a batch each."""

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from nt2c.batch.plan import Job
from nt2c.batch.runner import OnResult, Runner
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import FileResult
from nt2c.core.device import set_threads

_LOOK_EVERY_S = 0.5


def run_on_devices(
    devices: Sequence[str],
    make: Callable[[str], Runner],
    jobs: Sequence[Job],
    shared: Sequence[Job],
    on_result: OnResult | None = None,
    stop: Stop | None = None,
) -> list[FileResult]:
    """Denoise micrographs as `Runner.run` does, in a process for each device.

    Parameters
    ----------
    devices : sequence of str
        "cpu" or "cuda:N".
    make : callable
        Makes the runner for a device; can be pickled.
    jobs, on_result, stop
        As for `Runner.run`. Results are told as they come.
    shared : sequence of Job
        All jobs of which these may be a part: the first of them decides the precision for all.

    Returns
    -------
    list of FileResult
        One for each job, in order. What a process that died had still to do is "failed".
    """
    threads = max(1, torch.get_num_threads() // len(devices))
    work = [
        _Work(device, threads, tuple(jobs[index :: len(devices)]), tuple(shared), share)
        for index, (device, share) in enumerate(zip(devices, _shares(stop, devices), strict=True))
    ]
    frozen = pickle.dumps(make)
    workers = [_start(part, frozen) for part in work]
    results: list[list[FileResult]] = [[] for _ in workers]
    told_to_stop = False
    talking = {connection: index for index, (_, connection) in enumerate(workers)}
    while talking:
        for ready in wait(list(talking), timeout=_LOOK_EVERY_S):
            index = talking[ready]  # type: ignore[index]
            try:
                result = workers[index][1].recv()
            except EOFError:
                del talking[workers[index][1]]
                continue
            results[index].append(result)
            if on_result:
                on_result(result)
        if stop and stop.signal and not told_to_stop:
            told_to_stop = True
            for process, _ in workers:
                process.terminate()
    for (process, _), part, known in zip(workers, work, results, strict=True):
        process.join()
        known += _untold(part, len(known), process.exitcode)
    return [results[i % len(devices)][i // len(devices)] for i in range(len(jobs))]


@dataclass(frozen=True)
class _Work:
    device: str
    threads: int
    jobs: tuple[Job, ...]
    shared: tuple[Job, ...]
    at_most: int | None


def _shares(stop: Stop | None, devices: Sequence[str]) -> list[int | None]:
    """Deal out over the devices how many micrographs are wanted at most."""
    if stop is None or stop.at_most is None:
        return [None] * len(devices)
    return [len(range(index, stop.at_most, len(devices))) for index in range(len(devices))]


def _start(work: _Work, frozen: bytes) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, frozen, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _do(work: _Work, frozen: bytes, connection: Connection) -> None:
    """Be one of the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears of it and tells
    set_threads(work.threads)
    make: Callable[[str], Runner] = pickle.loads(frozen)
    stop = Stop(work.at_most)
    with stop.on_signals([signal.SIGTERM]):
        runner = make(work.device)
        runner.decide_precision(work.shared)
        runner.run(work.jobs, connection.send, stop)
    connection.close()


def _untold(work: _Work, told: int, exit_code: int | None) -> list[FileResult]:
    """Results of the jobs that a process told nothing of."""
    if not exit_code:
        return [FileResult(job.item.path, job.output, "left") for job in work.jobs[told:]]
    why = (
        f"the process for {work.device} ended with exit code {exit_code} before this one was done; "
        "run again, it does the rest"
    )
    return [
        FileResult(job.item.path, job.output, "failed", f"{job.item.path}: {why}")
        for job in work.jobs[told:]
    ]
