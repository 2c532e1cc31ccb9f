"""The command `nt2c report`: a page to look at, from what is in a folder."""

from pathlib import Path
from typing import Annotated

import typer

from nt2c.cli.terminal import say, warn


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results of nt2c denoise, run or fit.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="By default DIR/report.html."),
    ] = None,
) -> int:
    """Write a page that shows and judges denoised micrographs: one file, for any browser.

    Raw and denoised under a slider, spectra, contrast, hints on ice, carbon and drift; after a fit
    what was learned, too. A file that cannot be read is listed, and does not stop the others.
    """
    from nt2c.cli.progress import PlainConsole, progress_bar
    from nt2c.core.device import set_threads
    from nt2c.report.batch import write_report
    from nt2c.report.sources import find_source

    set_threads(None)
    source = find_source(folder)
    console = PlainConsole()
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(source.results))
        written = write_report(
            source, output, lambda name: bar.update(task, advance=1, description=name)
        )
    say(written.verdict)
    say(f"open it:  {written.path}")
    for message in written.failed:
        warn(f"nt2c: {message}")
    return 1 if written.failed else 0
