"""The command `nt2c relion`: an external job of RELION."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from nt2c.batch.stopping import Stop
from nt2c.batch.summary import FileResult
from nt2c.cli.batch import tell
from nt2c.cli.commands import Relion
from nt2c.cli.fit import complain
from nt2c.cli.pick import told as picks_told
from nt2c.cli.terminal import say
from nt2c.cli.watch import ConsoleWatch
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.device import choose_device, describe_device
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.denoising.denoiser import load_model
from nt2c.hosts.relion import LOGFILE, denoise_listed, is_there, write_lists, write_nodes
from nt2c.hosts.relion_end import relion_job
from nt2c.io.micrographs import open_micrograph
from nt2c.pipeline.fit import FitResult
from nt2c.report.logfile import Pair, write_logfile
from nt2c.workflows import fit as workflow
from nt2c.workflows.options import PickOptions
from nt2c.workflows.pick import pick

_SHOWN = 3

Poll = Callable[[], None]


def relion(given: Relion) -> int:
    """Do the job, and tell RELION how it ended."""
    assert given.in_mics is not None
    with relion_job(given.output) as poll:
        if given.threads is not None:
            torch.set_num_threads(given.threads)
        work = {"fit": _fit, "pick": _pick, "denoise": _denoise}[given.mode]
        lines = work(given, given.in_mics, poll)
        write_nodes(given.output)
        say("\n".join(lines))
    return 0  # as RELION_JOB_EXIT_SUCCESS says: what failed is named, and left out of the lists


def _denoise(given: Relion, star: Path, poll: Poll) -> list[str]:
    folder, settings = given.output, given.settings.replace(pixel_size_a=given.pixel_size_a)
    where = describe_device(choose_device(given.batch.device))
    loaded = load_model(given.model)
    say(f"device  {where}\nmodel   {given.model} ({loaded.metadata.get('name', 'unnamed')})")
    stop = Stop(given.do_at_most or None)
    results = denoise_listed(
        star, folder, loaded, settings, given.batch, stop, on_result=tell, poll=poll
    )
    write_lists(star, folder, results, settings.pixel_size_a)
    failed = [result for result in results if result.status == "failed"]
    there = sum(map(is_there, results))
    lines = [
        f"{plural(there, 'micrograph')} of {star} denoised, {len(failed)} failed",
        f"model {given.model} on {where}",
        "",
        EXTRACT_FROM_RAW,
        "micrographs.star: denoised, to look at and to pick on",
        "micrographs_raw.star: the same micrographs raw, to extract from",
        *(f"failed: {result.message}" for result in failed),
    ]
    _write_logfile(folder, lines, _pairs(results, settings.pixel_size_a))
    return lines[:1] + lines[3:]


def _pairs(results: list[FileResult], pixel_size_a: float | None) -> Iterator[Pair]:
    """Yield raw and denoised images of some micrographs, spread over the list."""
    done = list(filter(is_there, results))
    for result in done[:: -(-len(done) // _SHOWN)]:
        try:
            with (
                open_micrograph(result.output) as after,
                open_micrograph(result.input, pixel_size_a or after.pixel_size_a) as before,
            ):
                yield result.input.name, before.read(), after.read()
        except InputError:  # named where it failed
            continue


def _write_logfile(folder: Path, lines: list[str], pairs: Iterable[Pair] = ()) -> None:
    write_logfile(folder / LOGFILE, f"nt2c: {folder.as_posix()}", lines, pairs)


class _PollingWatch(ConsoleWatch):
    """Shows the stages of a fit, and stops it when RELION asks."""

    def __init__(self, poll: Poll) -> None:
        super().__init__()
        self._poll = poll

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        """Look whether to stop, and show how far the stage is."""
        self._poll()
        super().advance(done, note, loss)


def _fit(given: Relion, star: Path, poll: Poll) -> list[str]:
    options = given.fit.replace(
        pixel_size_a=given.pixel_size_a,
        structure=(given.in_3dref,) if given.in_3dref else (),
        model=given.model,
        device=given.batch.device,
    )
    with _PollingWatch(poll) as watch:
        result = workflow.fit_job(workflow.plan([star], given.output, options), watch)
    use = f"denoise with it: nt2c relion, with label model and value {result.model.as_posix()}"
    _write_logfile(given.output, [*_told(result), "", use])
    complain(result)
    return ["", use]


def _pick(given: Relion, star: Path, poll: Poll) -> list[str]:
    assert given.diameter_a is not None
    options = PickOptions(
        diameter_a=(given.diameter_a,), fdr=given.fdr, pixel_size_a=given.pixel_size_a
    )

    def show(path: Path, reason: str, _: int) -> None:
        say(f"{path}: {reason or 'looked at'}")
        poll()

    device = given.batch.device
    summary = pick(star, given.output, options, given.model, device=device, on_file=show)
    lines = [
        *picks_told(summary),
        EXTRACT_FROM_RAW,
        "autopick.star: the picks, on the raw micrographs of the input",
        *(f"failed: {reason}" for reason in summary.failed),
    ]
    _write_logfile(given.output, lines)
    return lines


def _told(result: FitResult) -> list[str]:
    stages = result.record.stages
    return [f"{name}: {stage.verdict}" for name, stage in stages.items()] + [
        f"failed: {message}" for message in result.failed
    ]
