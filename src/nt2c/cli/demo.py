"""The command `nt2c demo`: hidden truth, denoised, scored and shown on one page."""

from rich.console import Console
from rich.table import Table as ConsoleTable

from nt2c.cli.commands import Demo
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.denoising.denoiser import load_model
from nt2c.report.demo import write_demo
from nt2c.report.html import Table
from nt2c.workflows.demo import DIAMETERS_A, demonstrate


def demo(given: Demo) -> None:
    """Show what nt2c does, on simulated micrographs."""
    output = given.output
    if output.exists() and not output.is_dir():
        raise SettingsError(f"{output}: a file; give a folder with 'output'")
    console = Console()
    network = load_model(given.model)
    console.print(
        f"simulating and denoising {len(DIAMETERS_A)} micrographs, and one of empty ice ..."
    )
    done = demonstrate(network, given.seed)
    page = write_demo(output, done, network, given.model, given.seed)
    _print_table(console, page.table)
    console.print(f"\n{page.verdict}\n{EXTRACT_FROM_RAW}\n")
    console.print(f"look at {output / 'index.html'}", soft_wrap=True)


def _print_table(console: Console, table: Table) -> None:
    shown = ConsoleTable(box=None, pad_edge=False)
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if i else "left")
    for i, row in enumerate(table.rows):
        shown.add_row(*row, style="bold" if i == table.emphasis else None)
    console.print(shown)
    console.print(table.note, style="dim")
