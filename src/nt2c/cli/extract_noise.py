"""The command `nt2c extract-noise`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nt2c.cli.commands import ExtractNoise
from nt2c.cli.progress import PlainConsole, progress_bar
from nt2c.cli.terminal import say, warn
from nt2c.core.words import plural
from nt2c.denoising.denoiser import load_model
from nt2c.io.inputs import find_inputs
from nt2c.noise.extraction import ExtractionSettings
from nt2c.pipeline import extract
from nt2c.pipeline.extract import FileOutcome
from nt2c.pipeline.records import ExtractionRecord
from nt2c.report.windows import draw_overlays


def extract_noise(given: ExtractNoise) -> int:
    """Find the windows, and say how many there are."""
    settings = _settings(given.window_a, given.count)
    found = find_inputs(given.inputs)
    loaded = load_model(given.model)
    with _progress(min(len(found), settings.micrographs)) as show:
        extract.extract_noise(found, given.output, loaded, settings, given.options, show)
    draw_overlays(given.output)
    found_windows = ExtractionRecord.read(given.output / "summary.json")
    _report(found_windows, given.output)
    return 1 if found_windows.skipped else 0


def _settings(window: float | None, count: int | None) -> ExtractionSettings:
    values: dict[str, Any] = {}
    if window is not None:
        values["windows_a"] = (window,)
    if count is not None:
        values |= {"count": count, "least": min(count, ExtractionSettings().least)}
    return ExtractionSettings.parse(values, "extract-noise")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[FileOutcome], None]]:
    """Yield a function that shows the outcome of a file: a bar on a terminal, else a line each."""
    console = PlainConsole()
    done = 0
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def show(outcome: FileOutcome) -> None:
            nonlocal done
            done += 1
            for warning in outcome.warnings:
                console.print(f"warning: {outcome.path}: {warning}")
            bar.update(task, advance=1, description=outcome.path.name)
            if not console.is_terminal:
                state = "failed" if outcome.reason else "done"
                console.print(f"[{done}/{total}] {outcome.path}: {state}")

        yield show


def _report(found: ExtractionRecord, output: Path) -> None:
    side_a = found.size_px * found.pixel_size_a
    say(
        f"{plural(found.windows, 'window')} of {side_a:.0f} A ({found.size_px} px of "
        f"{found.pixel_size_a:g} A) from {plural(found.micrographs, 'micrograph')}"
    )
    for warning in found.warnings:
        say(f"warning: {warning}")
    for one in found.skipped:
        name = "" if one.path in one.reason else f"{one.path}: "
        warn(f"failed: {name}{one.reason}")
    say(f"results are in {output}; look at its overlays: no frame should hold a particle")
