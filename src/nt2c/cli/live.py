"""`nt2c denoise --live`."""

import glob
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError

if TYPE_CHECKING:
    from nt2c.inference.runner import RunOptions
    from nt2c.inference.stopping import Stop
    from nt2c.inference.summary import FileResult, Summary
    from nt2c.models.denoiser import DenoiserModel


def denoise_live(
    inputs: Sequence[str],
    output: Path,
    model: "DenoiserModel",
    options: "RunOptions",
    *,
    device: str,
    stars: Sequence[Path],
    suffix: str,
    poll_s: float,
    idle_exit_s: float | None,
    stop: "Stop",
    on_result: Callable[["FileResult"], None],
) -> "Summary":
    """Watch the inputs and denoise what arrives; keep a page, a status file and the summary."""
    from nt2c.inference.batch import describe_end, describe_run
    from nt2c.inference.live import LiveState, watch
    from nt2c.inference.plan import Job, plan_jobs, prepare_folders
    from nt2c.inference.runner import Runner
    from nt2c.inference.summary import (
        Summary,
        confirmed,
        standing,
        summary_path,
        try_to_write_summary,
        updated,
    )
    from nt2c.io.inputs import find_inputs
    from nt2c.report.live import LivePage

    def find() -> list[Job]:
        return plan_jobs(find_inputs(inputs, movies=options.settings.sum_frames), output, suffix)

    def write(state: LiveState, *, finished: bool = False) -> str:
        known = standing(state.found, path, about)
        return try_to_write_summary(path, updated(known, state.account()), about, finished=finished)

    def show(state: LiveState) -> None:
        write(state)
        page.update(state)

    for given in inputs:
        if not glob.has_magic(given) and not Path(given).exists():
            say(f"{given}: not there yet; waiting for it")
    started = time.perf_counter()
    about = describe_run(model, options.settings, [device], stars=stars)
    path, page = summary_path(output), LivePage(output, poll_s)
    runner = Runner(model, options, device)
    prepare_folders(output, [])
    if note := write(LiveState()):
        raise SettingsError(f"-o {note}")
    state = watch(
        find,
        output,
        runner,
        poll_s=poll_s,
        idle_exit_s=idle_exit_s,
        stop=stop,
        on_result=on_result,
        on_look=show,
    )
    about |= describe_end(started, stop)
    state.results = {result.input: result for result in confirmed(state.results.values())}
    note = write(state, finished=True)
    return Summary(tuple(state.account()), about["seconds"], note)
