"""`nt2c denoise --live`."""

import glob
import time
from pathlib import Path

from nt2c.batch.live import LiveState, watch
from nt2c.batch.plan import Job, plan_jobs, prepare_folders
from nt2c.batch.run import describe_run, ended
from nt2c.batch.runner import OnResult, Runner
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import (
    Summary,
    confirmed,
    standing,
    summary_path,
    try_to_write_summary,
    updated,
)
from nt2c.cli.commands import Denoise
from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError
from nt2c.denoising.settings import BatchOptions
from nt2c.io.inputs import find_inputs
from nt2c.models.denoiser import DenoiserModel
from nt2c.report.live import LivePage


def denoise_live(
    given: Denoise, options: BatchOptions, model: DenoiserModel, stop: Stop, on_result: OnResult
) -> Summary:
    """Watch the inputs and denoise what arrives; keep a page, a status file and the summary."""
    settings, output = given.settings, given.output

    def find() -> list[Job]:
        found = find_inputs(given.inputs, movies=settings.sum_frames)
        return plan_jobs(found, output, options.suffix)

    def write(state: LiveState, *, finished: bool = False) -> str:
        known = standing(state.found, path, about)
        return try_to_write_summary(path, updated(known, state.account()), about, finished=finished)

    def show(state: LiveState) -> None:
        write(state)
        page.update(state)

    for name in given.inputs:
        if not glob.has_magic(name) and not Path(name).exists():
            say(f"{name}: not there yet; waiting for it")
    started = time.perf_counter()
    about = describe_run(model, settings, options)
    path, page = summary_path(output), LivePage(output, given.poll_s)
    runner = Runner(model, settings, options, options.device)
    prepare_folders(output, [])
    if note := write(LiveState()):
        raise SettingsError(f"'output' {note}")
    state = watch(
        find,
        output,
        runner,
        poll_s=given.poll_s,
        idle_exit_s=given.idle_exit_s,
        stop=stop,
        on_result=on_result,
        on_look=show,
    )
    about = ended(about, started, stop)
    state.results = {result.input: result for result in confirmed(state.results.values())}
    note = write(state, finished=True)
    return Summary(tuple(state.account()), about.seconds, note)
