"""The commands `nt2c fit` and `nt2c run`: a model of one's own, from one's own micrographs."""

from nt2c.cli.commands import Fit, Run
from nt2c.cli.pick import told
from nt2c.cli.terminal import say, warn
from nt2c.cli.watch import ConsoleWatch
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.pipeline.fit import FitResult
from nt2c.report.batch import write_report
from nt2c.report.sources import find_source
from nt2c.training.processes import join
from nt2c.workflows import fit as workflow


def fit(given: Fit) -> int:
    """Fit a model."""
    job = workflow.plan(given.inputs, given.output, given.options)
    first = join(job.device).first
    with ConsoleWatch(quiet=not first) as watch:
        result = workflow.fit_job(job, watch)
    if not first:
        return 0
    say(f"\nmodel: {result.model}")
    say(f"use it: nt2c denoise {' '.join(given.inputs)} -o denoised --model {result.model}")
    return complain(result)


def run(given: Run) -> int:
    """Fit a model, denoise with it, measure, and write a page."""
    job = workflow.plan(given.inputs, given.output, given.options)
    with ConsoleWatch() as watch:
        done = workflow.run(job, given.independent, watch, given.diameter_a)
        page = write_report(find_source(given.output))
    say(f"\n{page.verdict}")
    say(f"model:    {done.fit.model}")
    say(f"denoised: {given.output / workflow.DENOISED}")
    say(f"open it:  {page.path}")
    if done.picks:
        say(f"picks:    {given.output / workflow.PICKS}")
        for line in told(done.picks):
            say(line)
    say(EXTRACT_FROM_RAW)
    code = complain(done.fit)
    for failed in done.summary.with_status("failed"):
        if failed.message not in done.fit.failed:
            warn(f"nt2c: {failed.message}")
            code = 1
    return code


def complain(result: FitResult) -> int:
    """Name the inputs that could not be used; return the exit code."""
    for message in result.failed:
        warn(f"nt2c: {message}")
    return 1 if result.failed else 0
