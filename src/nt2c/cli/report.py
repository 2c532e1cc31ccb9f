"""The command `nt2c report`: a page to look at, from what is in a folder."""

from nt2c.cli.commands import Report
from nt2c.cli.progress import PlainConsole, progress_bar
from nt2c.cli.terminal import say, warn
from nt2c.core.device import set_threads
from nt2c.report.batch import write_report
from nt2c.report.sources import find_source


def report(given: Report) -> int:
    """Write the page."""
    set_threads(None)
    source = find_source(given.folder)
    console = PlainConsole()
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(source.results))
        written = write_report(
            source, given.output, lambda name: bar.update(task, advance=1, description=name)
        )
    say(written.verdict)
    say(f"open it:  {written.path}")
    for message in written.failed:
        warn(f"nt2c: {message}")
    return 1 if written.failed else 0
