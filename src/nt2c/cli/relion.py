"""The command `nt2c relion`: an external job of RELION."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nt2c.cli.terminal import say, warn
from nt2c.cli.watch import ConsoleWatch
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import plural
from nt2c.hosts.relion import (
    LOGFILE,
    denoise_listed,
    is_there,
    relion_job,
    write_lists,
    write_nodes,
)
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.inference.summary import FileResult
    from nt2c.pipeline.fit import FitResult
    from nt2c.report.logfile import Pair

DEFAULTS = DenoiseSettings()
_SHOWN = 3

Poll = Callable[[], None]


def relion(
    o: Annotated[
        Path, typer.Option("--o", metavar="DIR", help="Folder of the job; RELION gives it.")
    ],
    mode: Annotated[
        str, typer.Argument(metavar="[denoise|fit]", help="What the job does.", show_default=False)
    ] = "denoise",
    in_mics: Annotated[
        Path | None,
        typer.Option("--in_mics", metavar="STAR", help="Input micrographs, a micrographs.star."),
    ] = None,
    in_3dref: Annotated[
        Path | None,
        typer.Option("--in_3dref", metavar="MAP", help="fit: your particle, among those to learn."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--j", min=1, help="Threads of the processor to compute with.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled model or a model file.")
    ] = "general",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    pixel_size: Annotated[
        float | None, typer.Option(metavar="A", help="In angstrom, where the STAR file is wrong.")
    ] = DEFAULTS.pixel_size_a,
    precision: Annotated[
        str, typer.Option(help="denoise: fp32, bf16 or auto.")
    ] = DEFAULTS.precision,
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="denoise: keep the slow background.")
    ] = DEFAULTS.keep_background,
    float16: Annotated[
        bool, typer.Option("--float16", help="denoise: half the size.")
    ] = DEFAULTS.float16,
    do_at_most: Annotated[
        int | None,
        typer.Option("--do-at-most", help="denoise: stop after so many; Continue does more."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="fit: quick, fit, paper, or a file.")
    ] = "fit",
    noise: Annotated[
        str | None, typer.Option(metavar="KIND", help="fit: wgan, coloured, bootstrap or white.")
    ] = None,
    pipeline_control: Annotated[str | None, typer.Option("--pipeline_control", hidden=True)] = None,
) -> int:
    """Denoise micrographs, or fit a model to them, as an external job of RELION.

    Give `nt2c relion` as external executable, or `nt2c relion fit`, a micrographs.star as input,
    and other options as parameters: label model, value FILE. Continue does what is missing.
    """
    with relion_job(o) as poll:
        if in_mics is None:
            raise SettingsError(
                "no --in_mics: give a micrographs.star as 'Input micrographs' of the job"
            )
        if mode not in ("denoise", "fit"):
            raise SettingsError(f"nt2c relion {mode}: use denoise or fit")
        check_pixel_size("--pixel_size", pixel_size)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        if mode == "fit":
            structures = [in_3dref] if in_3dref else None
            job = (in_mics, o, recipe, pixel_size, structures, model, noise, device)
            return _fit(*job, poll)
        settings = DenoiseSettings.parse(
            {
                "pixel_size_a": pixel_size,
                "precision": precision,
                "keep_background": keep_background,
                "float16": float16,
            },
            "relion",
        )
        return _denoise(in_mics, o, model, settings, device, do_at_most or None, poll)


def _denoise(
    star: Path,
    folder: Path,
    model: str,
    settings: DenoiseSettings,
    device: str,
    do_at_most: int | None,
    poll: Poll,
) -> int:
    from nt2c.core.device import choose_device, describe_device
    from nt2c.inference.denoiser import load_model
    from nt2c.report.logfile import write_logfile

    where = describe_device(choose_device(device))
    loaded = load_model(model)
    say(f"device  {where}\nmodel   {model} ({loaded.metadata.get('name', 'unnamed')})")

    def show(result: "FileResult") -> None:
        (warn if result.message else say)(f"{result.input}: {result.message or result.status}")
        for warning in result.warnings:
            say(f"warning: {result.input}: {warning}")

    results = denoise_listed(
        star,
        folder,
        loaded,
        settings,
        device=device,
        do_at_most=do_at_most,
        on_result=show,
        poll=poll,
    )
    write_lists(star, folder, results, settings.pixel_size_a)
    failed = [result for result in results if result.status == "failed"]
    there = sum(map(is_there, results))
    lines = [
        f"{plural(there, 'micrograph')} of {star} denoised, {len(failed)} failed",
        f"model {model} on {where}",
        "",
        EXTRACT_FROM_RAW,
        "micrographs.star: denoised, to look at and to pick on",
        "micrographs_raw.star: the same micrographs raw, to extract from",
        *(f"failed: {result.message}" for result in failed),
    ]
    title = f"nt2c: {folder.as_posix()}"
    write_logfile(folder / LOGFILE, title, lines, _pairs(results, settings.pixel_size_a))
    write_nodes(folder)
    say("\n".join(lines[:1] + lines[3:]))
    return 0  # as RELION_JOB_EXIT_SUCCESS says: what failed is named, and left out of the lists


def _pairs(results: "list[FileResult]", pixel_size_a: float | None) -> "Iterator[Pair]":
    """Yield raw and denoised images of some micrographs, spread over the list."""
    from nt2c.io.micrographs import open_micrograph

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


class _PollingWatch(ConsoleWatch):
    """Shows the stages of a fit, and stops it when RELION asks."""

    def __init__(self, poll: Poll) -> None:
        super().__init__()
        self._poll = poll

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        """Look whether to stop, and show how far the stage is."""
        self._poll()
        super().advance(done, note, loss)


def _fit(
    star: Path,
    folder: Path,
    recipe: str,
    pixel_size: float | None,
    structures: list[Path] | None,
    model: str,
    noise: str | None,
    device: str,
    poll: Poll,
) -> int:
    from nt2c.cli.fit import complain, plan
    from nt2c.pipeline.fit import fit
    from nt2c.pipeline.stages import locked
    from nt2c.report.logfile import write_logfile

    job = plan(
        [str(star)], folder, recipe, pixel_size, structures, model, noise, None, device, None
    )
    with locked(folder), _PollingWatch(poll) as watch:
        result = fit(job, watch)
    use = f"denoise with it: nt2c relion, with label model and value {result.model.as_posix()}"
    title = f"nt2c: {folder.as_posix()}"
    write_logfile(folder / LOGFILE, title, [*_told(result), "", use])
    write_nodes(folder)
    say(f"\n{use}")
    complain(result)
    return 0  # as RELION_JOB_EXIT_SUCCESS says


def _told(result: "FitResult") -> list[str]:
    stages = result.record["stages"]
    return [f"{name}: {stage['verdict']}" for name, stage in stages.items()] + [
        f"failed: {message}" for message in result.failed
    ]
