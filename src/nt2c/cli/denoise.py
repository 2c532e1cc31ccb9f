"""The command `nt2c denoise`."""

from pathlib import Path

from nt2c.batch.run import denoise_files
from nt2c.batch.stopping import Stop
from nt2c.cli.batch import report, show_progress
from nt2c.cli.commands import Denoise
from nt2c.cli.live import denoise_live
from nt2c.cli.terminal import say
from nt2c.core.device import choose_device, describe_device, set_threads, split_device
from nt2c.denoising.denoiser import load_model
from nt2c.io.inputs import find_inputs


def denoise(given: Denoise) -> int:
    """Denoise micrographs, and show how it goes on."""
    settings = given.settings
    found = [] if given.live else find_inputs(given.inputs, movies=settings.sum_frames)
    stars = tuple(Path(name) for name in given.inputs if name.lower().endswith(".star"))
    options = given.batch.replace(stars=stars)
    set_threads(given.threads)
    for device in split_device(options.device):
        say(f"device     {describe_device(choose_device(device))}")
    model = load_model(given.model)
    name = model.names
    say(f"model      {given.model}" + (f" ({name})" if name != given.model else ""))
    say(f"precision  {_announced(settings.precision)}")
    stop = Stop()
    known = not (given.live or options.retry_failed)
    part = options.shard
    total = sum(part is None or part.has(item) for item in found) if known else None
    with show_progress(total) as show, stop.on_signals():
        if given.live:
            summary = denoise_live(given, options, model, stop, show)
        else:
            summary = denoise_files(
                found, given.output, model, settings, options, stop=stop, on_result=show
            )
    report(summary, given.output)
    return stop.exit_code or (1 if summary.with_status("failed") else 0)


def _announced(precision: str) -> str:
    if precision == "auto":
        return "auto: bf16 where the device is built for it and the result agrees within 1 %"
    return precision
