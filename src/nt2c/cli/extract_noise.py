"""The command `nt2c extract-noise`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.words import plural
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.noise.extraction import ExtractionSettings
    from nt2c.pipeline.extract import FileOutcome


def extract_noise(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Raw micrographs, folders, patterns in quotes, or a micrographs.star.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The denoiser that tells where particles are.")
    ] = "general",
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            metavar="A",
            help="Side of the windows in angstrom; by default as large as there are enough of.",
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="At most so many windows.")] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Masks (MRC or TIFF) with the names of the micrographs, any size: no window "
            "where they are not 0.",
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Write the windows at the files' own pixel size, too: DIR/raw/NAME.npy."
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> int:
    """Find windows without particles: samples of the noise of these micrographs.

    Writes DIR/windows.npy at the working pixel size of the model in units of the noise, their
    places in windows.csv, an overlay of each micrograph, and a summary. A file that cannot be
    used is named and does not stop the others.
    """
    check_pixel_size("--pixel-size", pixel_size)
    settings = _settings(window, count)

    from nt2c.inference.denoiser import load_model
    from nt2c.io.inputs import find_inputs
    from nt2c.pipeline import extract
    from nt2c.report.windows import draw_overlays

    found = find_inputs(inputs)
    loaded = load_model(model)
    with _progress(min(len(found), settings.micrographs)) as show:
        summary = extract.extract_noise(
            found,
            output,
            loaded,
            settings,
            pixel_size_a=pixel_size,
            masks=mask,
            device=device,
            raw=raw,
            on_file=show,
        )
    draw_overlays(output)
    _report(summary, output)
    return 1 if summary["skipped"] else 0


def _settings(window: float | None, count: int | None) -> "ExtractionSettings":
    from nt2c.noise.extraction import ExtractionSettings

    values: dict[str, Any] = {}
    if window is not None:
        values["windows_a"] = (window,)
    if count is not None:
        values |= {"count": count, "least": min(count, ExtractionSettings().least)}
    return ExtractionSettings.parse(values, "extract-noise")


@contextmanager
def _progress(total: int) -> Iterator[Callable[["FileOutcome"], None]]:
    """Yield a function that shows the outcome of a file: a bar on a terminal, else a line each."""
    from nt2c.cli.progress import PlainConsole, progress_bar

    console = PlainConsole()
    done = 0
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def show(outcome: "FileOutcome") -> None:
            nonlocal done
            done += 1
            for warning in outcome.warnings:
                console.print(f"warning: {outcome.path}: {warning}")
            bar.update(task, advance=1, description=outcome.path.name)
            if not console.is_terminal:
                state = "failed" if outcome.reason else "done"
                console.print(f"[{done}/{total}] {outcome.path}: {state}")

        yield show


def _report(summary: dict[str, Any], output: Path) -> None:
    side_a = summary["size_px"] * summary["pixel_size_a"]
    say(
        f"{plural(summary['windows'], 'window')} of {side_a:.0f} A ({summary['size_px']} px of "
        f"{summary['pixel_size_a']:g} A) from {plural(summary['micrographs'], 'micrograph')}"
    )
    for warning in summary["warnings"]:
        say(f"warning: {warning}")
    for one in summary["skipped"]:
        name = "" if str(one["path"]) in one["reason"] else f"{one['path']}: "
        warn(f"failed: {name}{one['reason']}")
    say(f"results are in {output}; look at its overlays: no frame should hold a particle")
