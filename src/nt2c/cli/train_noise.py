"""`nt2c train-noise`: a sampler of noise from windows, judged on windows that it has not seen."""

from rich.console import Console
from rich.table import Table

from nt2c.cli.commands import TrainNoise
from nt2c.cli.progress import progress_bar
from nt2c.cli.terminal import say, warn
from nt2c.noise.resampling import Measure
from nt2c.noise.statistics import SHOWN, Fidelity
from nt2c.training.processes import join
from nt2c.workflows import train_noise as workflow


def train_noise(given: TrainNoise) -> None:
    """Learn noise, and say how good it is."""
    options = given.options
    quiet = options.kind != "wgan" or not join(options.device).first
    with progress_bar(disable=quiet) as progress:
        steps = workflow.synthesizer(options).optimizer.steps
        bar = progress.add_task("training", total=steps)
        learnt = workflow.train_noise(
            given.windows,
            given.output,
            options,
            lambda step, loss: progress.update(bar, completed=step),
        )
    if learnt is None:
        return
    _print_table(learnt.fidelity)
    for warning in learnt.warnings:
        warn(f"warning: {warning}", "yellow")
    aucs = {name: fidelity.classifier_auc for name, fidelity in learnt.fidelity.items()}
    say(workflow.verdict({name: auc for name, auc in aucs.items() if auc}))
    say(f"sampler: {learnt.file}\nfigures: {learnt.figures}")


def _print_table(judged: dict[str, Fidelity]) -> None:
    def cell(measure: Measure) -> str:
        return f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f})"

    table = Table("against held-out windows (95 % interval)", *judged, "same noise, by chance")
    for name, words in SHOWN.items():
        measures = [fidelity.measures()[name] for fidelity in judged.values()]
        chance = f"{measures[0].same_low:.3f} to {measures[0].same_high:.3f}"
        table.add_row(words, *map(cell, measures), chance)
    Console().print(table)
