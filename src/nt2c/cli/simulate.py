"""The command `nt2c simulate`: micrographs together with everything that is true about them."""

from nt2c.cli.commands import Simulate
from nt2c.cli.progress import progress_bar
from nt2c.cli.terminal import say
from nt2c.core.words import plural
from nt2c.workflows import simulate as workflow


def simulate(given: Simulate) -> None:
    """Simulate, showing progress."""
    with progress_bar() as progress:
        bar = progress.add_task("projecting particles", total=given.options.count)

        def show(done: int) -> None:
            progress.update(bar, completed=done, description="simulating")

        made = workflow.simulate(given.output, given.options, show)
    say(
        f"{plural(len(made.micrographs), 'micrograph')} with {plural(made.particles, 'particle')} "
        f"in {made.folder}\n"
        f"denoise them: nt2c denoise {made.folder} -o denoised\n"
        f"and score:    nt2c evaluate denoised --truth {made.folder / workflow.CLEAN}"
    )
