"""The command `nt2c denoise`."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.inference.runner import FileResult, Summary
    from nt2c.models.denoiser import DenoiserModel

DEFAULTS = DenoiseSettings()


def denoise(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Micrographs (.mrc, .mrcs, .tif, .tiff, .mrc.gz, .mrc.bz2), folders, patterns in "
            "quotes, or a micrographs.star.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled model or a model file.")
    ] = "general",
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
    ] = DEFAULTS.pixel_size_a,
    output_pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Write at this sampling; by default that of the input."),
    ] = DEFAULTS.output_pixel_size_a,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="fp32, bf16, or auto: bf16 where it is fast and changes less than 1 %."),
    ] = DEFAULTS.precision,
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="Keep the slow background (ice gradient).")
    ] = DEFAULTS.keep_background,
    float16: Annotated[
        bool, typer.Option("--float16", help="Half the size; old programs cannot read it.")
    ] = DEFAULTS.float16,
    suffix: Annotated[
        str, typer.Option(metavar="S", help="Put behind the names of the results.")
    ] = "",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do all again, and replace files of other programs."),
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was done as JSON.")
    ] = None,
) -> int:
    """Denoise micrographs with a model.

    Writes DIR/NAME.mrc with the pixel size, grid and polarity of the input. Files that are done
    are skipped, so the same command again does the rest. A file that cannot be denoised is named
    at the end and does not stop the others.
    """
    check_pixel_size("--pixel-size", pixel_size)
    check_pixel_size("--output-pixel-size", output_pixel_size)
    given = {
        "pixel_size_a": pixel_size,
        "output_pixel_size_a": output_pixel_size,
        "precision": precision,
        "keep_background": keep_background,
        "float16": float16,
    }
    settings = DenoiseSettings.parse(given, "denoise")

    from nt2c.inference.denoiser import load_model
    from nt2c.inference.device import choose_device, describe_device
    from nt2c.inference.runner import denoise_files
    from nt2c.io.inputs import find_inputs

    found = find_inputs(inputs)
    where = describe_device(choose_device(device))
    loaded = load_model(model)
    name = loaded.metadata.get("name", "unnamed")
    typer.echo(f"device     {where}")
    typer.echo(f"model      {model}" + (f" ({name})" if name != model else ""))
    typer.echo(f"precision  {_announced(precision)}")
    with _progress(len(found)) as show:
        summary = denoise_files(
            found,
            output,
            loaded,
            settings,
            device=device,
            suffix=suffix,
            overwrite=overwrite,
            on_result=show,
        )
    _report(summary, output)
    if json:
        _write_json(json, summary, loaded, settings, where)
    return 1 if summary.with_status("failed") else 0


def _announced(precision: str) -> str:
    if precision == "auto":
        return "auto: bf16 where the device is built for it and the result agrees within 1 %"
    return precision


@contextmanager
def _progress(total: int) -> Iterator[Callable[["FileResult"], None]]:
    """Yield a function that shows a result: a bar on a terminal, a line per file elsewhere."""
    from rich.console import Console

    from nt2c.cli.progress import progress_bar

    console = Console(soft_wrap=True, highlight=False, markup=False)
    counts: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def show(result: "FileResult") -> None:
            if result.precision and not counts["done"]:
                console.print(f"precision  {result.precision} is used")
            counts[result.status] += 1
            for warning in result.warnings:
                if not warned[warning]:
                    console.print(f"warning: {result.input}: {warning}")
                warned[warning] += 1
            bar.update(task, advance=1, description=result.input.name)
            if not console.is_terminal:
                took = f" in {result.seconds:.1f} s" if result.status == "done" else ""
                console.print(f"[{counts.total()}/{total}] {result.input}: {result.status}{took}")

        try:
            yield show
        except KeyboardInterrupt:
            console.print(f"stopped after {counts['done']} done; run it again to do the rest")
            raise
    for warning, count in warned.items():
        if count > 1:
            files = "file" if count == 2 else "files"
            console.print(f"warning: {count - 1} more {files}: {warning}")


def _report(summary: "Summary", output: Path) -> None:
    done, failed = summary.with_status("done"), summary.with_status("failed")
    skipped = len(summary.with_status("skipped"))
    typer.echo(
        f"{len(done)} done, {skipped} skipped (done before), {len(failed)} failed "
        f"in {summary.seconds:.1f} s"
        + (f"; {_seconds_each(done):.2f} s per micrograph" if done else "")
    )
    for result in failed:
        typer.secho(f"failed: {result.message}", err=True, fg="red")
    if len(failed) < len(summary.results):
        typer.echo(f"results are in {output}")
        typer.echo(EXTRACT_FROM_RAW)


def _seconds_each(done: list["FileResult"]) -> float:
    """Mean time of a file, without the first, in which everything warms up, if there are others."""
    timed = done[1:] or done
    return sum(result.seconds for result in timed) / len(timed)


def _write_json(
    path: Path, summary: "Summary", model: "DenoiserModel", settings: DenoiseSettings, device: str
) -> None:
    from dataclasses import asdict

    from nt2c import __version__
    from nt2c.inference.runner import model_fingerprint
    from nt2c.io.records import write_json

    record = {
        "version": __version__,
        "model": model.metadata.get("name"),
        "model_hash": model_fingerprint(model),
        "device": device,
        "settings": settings.model_dump(),
        **asdict(summary),
    }
    write_json(path, record)
