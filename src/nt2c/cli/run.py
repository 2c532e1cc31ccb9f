"""The command `nt2c run`: from raw micrographs to denoised ones with a model of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.fit import (
    Coarse,
    Device,
    Inputs,
    Masks,
    Noise,
    Output,
    PixelSize,
    RecipeOption,
    Seed,
    Structures,
    Time,
    complain,
    plan,
    within,
)
from nt2c.cli.terminal import say, warn
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.core.words import plural

if TYPE_CHECKING:
    from nt2c.cli.watch import ConsoleWatch
    from nt2c.inference.summary import FileResult, Summary
    from nt2c.pipeline.fit import FitResult
    from nt2c.pipeline.job import FitJob


def run(
    inputs: Inputs,
    output: Output,
    recipe: RecipeOption = "fit",
    pixel_size: PixelSize = None,
    structure: Structures = None,
    model: Coarse = "general",
    noise: Noise = None,
    mask: Masks = None,
    independent: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Independent exposures of the same fields, to measure how much signal is "
            "recovered; nothing is learned from them.",
        ),
    ] = None,
    device: Device = "auto",
    seed: Seed = None,
    time: Time = None,
) -> int:
    """Fit a model to micrographs, denoise them with it, measure, and write a page.

    Does what `nt2c fit` does, then writes DIR/denoised, DIR/evaluation.json and DIR/report.html.
    The same command again does only what is missing. For several processes that train together
    start `nt2c fit` with torchrun first.
    """
    if independent is not None and not independent.is_dir():
        raise SettingsError(f"--independent {independent}: no such folder")
    from nt2c.cli.watch import ConsoleWatch
    from nt2c.pipeline.fit import fit as fit_model
    from nt2c.pipeline.stages import locked
    from nt2c.report.batch import write_report
    from nt2c.report.sources import find_source

    job = plan(inputs, output, recipe, pixel_size, structure, model, noise, mask, device, seed)
    job = within(time, job)
    with locked(output), ConsoleWatch() as watch:
        result = fit_model(job, watch)
        summary = _denoise(job, result, watch)
        _evaluate(job, result, independent, watch)
        page = write_report(find_source(output))
    say(f"\n{page.verdict}")
    say(f"model:    {result.model}")
    say(f"denoised: {output / 'denoised'}")
    say(f"open it:  {page.path}")
    say(EXTRACT_FROM_RAW)
    code = complain(result)
    for failed in summary.with_status("failed"):
        if failed.message not in result.failed:
            warn(f"nt2c: {failed.message}")
            code = 1
    return code


def _denoise(job: "FitJob", result: "FitResult", watch: "ConsoleWatch") -> "Summary":
    """Denoise the micrographs with the fitted model; what is done already is skipped."""
    from nt2c.inference.batch import denoise_files
    from nt2c.inference.denoiser import load_model
    from nt2c.inference.settings import DenoiseSettings

    watch.begin("denoise", len(job.inputs))
    shown: list[FileResult] = []

    def show(one: "FileResult") -> None:
        shown.append(one)
        watch.advance(len(shown), one.input.name)

    summary = denoise_files(
        job.inputs,
        job.folder / "denoised",
        load_model(result.model),
        DenoiseSettings(pixel_size_a=job.pixel_size_a),
        device=job.device,
        on_result=show,
    )
    done, skipped = (len(summary.with_status(status)) for status in ("done", "skipped"))
    there = plural(done + skipped, "micrograph")
    watch.verdict("denoise", there, summary.seconds, reused=not done)
    return summary


def _evaluate(
    job: "FitJob", result: "FitResult", independent: Path | None, watch: "ConsoleWatch"
) -> None:
    """Measure what can be measured without the truth; kept in DIR/evaluation.json."""
    import time

    from nt2c.io.records import write_json
    from nt2c.pipeline.judging import judge_independent

    training = result.record["stages"]["training"]
    figures: dict[str, Any] = {key: training[key] for key in ("noise_left", "noise_left_before")}
    if independent is not None:
        watch.begin("evaluate", len(job.inputs))
        started = time.perf_counter()
        scores = judge_independent(job, job.folder / "denoised", independent, watch)
        figures["independent"] = scores
        fraction = scores["fraction"]
        watch.verdict(
            "evaluate",
            f"recovered share of the signal {fraction['fitted']:.3f} (before the fit "
            f"{fraction['coarse']:.3f}, raw {fraction['raw']:.3f})",
            time.perf_counter() - started,
            reused=False,
        )
        for message in scores["failed"]:
            watch.warn(message)
    write_json(job.folder / "evaluation.json", figures)
