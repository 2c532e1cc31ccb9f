"""One call for a batch: plan it, share it out over devices, do it, and write what became of it."""

import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from nt2c.batch.plan import plan_jobs, prepare_folders
from nt2c.batch.runner import OnResult, Runner
from nt2c.batch.stamps import model_fingerprint
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import (
    RunRecord,
    Summary,
    confirmed,
    retried,
    standing,
    summary_path,
    try_to_write_summary,
    updated,
)
from nt2c.batch.workers import run_on_devices
from nt2c.core.device import choose_device, describe_device, split_device
from nt2c.core.errors import SettingsError
from nt2c.core.revision import made_by
from nt2c.core.version import __version__
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import MicrographInput
from nt2c.models.denoiser import DenoiserModel


def denoise_files(
    inputs: Iterable[MicrographInput],
    output_dir: Path | str,
    model: DenoiserModel,
    settings: DenoiseSettings | None = None,
    options: BatchOptions | None = None,
    *,
    stop: Stop | None = None,
    on_result: OnResult | None = None,
) -> Summary:
    """Denoise micrographs into a folder; what is done already is skipped.

    A file that cannot be denoised becomes a "failed" result and the others go on. When the disk is
    full, nothing more is tried. What became of each is written to the folder, see `summary`.

    Parameters
    ----------
    inputs : iterable of MicrographInput
        From `find_inputs`.
    output_dir : Path or str
        Folder for the results, made when missing; names are those of the inputs.
    model : DenoiserModel
        From `load_model`.
    settings : DenoiseSettings, optional
        How to denoise.
    options : BatchOptions, optional
        On which device, what to do again, what part of the inputs. No input is ever written over.
    stop : Stop, optional
        Is looked at before each micrograph; what is not tried is "left".
    on_result : callable, optional
        Called with each result when it is there.

    Raises
    ------
    SettingsError
        An output would be written over an input, the folder cannot be made, the device does not
        exist, or there is no summary to retry from.
    """
    started = time.perf_counter()
    settings, options = settings or DenoiseSettings(), options or BatchOptions()
    folder, shard = Path(output_dir), options.shard
    everything = plan_jobs(list(inputs), folder, options.suffix)
    jobs = [job for job in everything if shard is None or shard.has(job.item)]
    path = summary_path(folder, shard)
    devices = split_device(options.device)
    about = describe_run(model, settings, options).replace(micrographs=len(everything))
    if options.retry_failed:
        jobs, earlier = retried(jobs, path)
    else:
        earlier = standing(jobs, path, about)
    prepare_folders(folder, jobs)
    if note := try_to_write_summary(path, earlier, about, finished=False):
        raise SettingsError(f"'output' {note}")
    if len(devices) > 1:
        shared = everything if shard else jobs
        make = partial(Runner, model, settings, options)
        results = run_on_devices(devices, make, jobs, shared, on_result, stop)
    else:
        runner = Runner(model, settings, options, devices[0])
        if shard:
            runner.decide_precision(everything)
        results = runner.run(jobs, on_result, stop)
    results = confirmed(results)
    about = ended(about, started, stop)
    note = try_to_write_summary(path, updated(earlier, results), about, finished=True)
    if options.json_file:
        note = try_to_write_summary(options.json_file, results, about, finished=True) or note
    return Summary(tuple(results), about.seconds, note)


def describe_run(
    model: DenoiserModel, settings: DenoiseSettings, options: BatchOptions
) -> RunRecord:
    """Return what a summary file says of a run besides its results.

    Raises
    ------
    SettingsError
        A device does not exist here.
    """
    shard, devices = options.shard, split_device(options.device)
    return RunRecord(
        version=__version__,
        finished=False,
        made_by=made_by("denoising"),
        shard=(shard.index, shard.count) if shard else None,
        stars=tuple(os.path.abspath(star) for star in options.stars),
        model=model.names,
        model_hash=model_fingerprint(model),
        device=", ".join(describe_device(choose_device(name)) for name in devices),
        settings=settings.model_dump(mode="json"),
    )


def ended(about: RunRecord, started: float, stop: Stop | None) -> RunRecord:
    """Add to what is known of a run how it ended; it began at `started`, perf_counter."""
    return about.replace(
        seconds=time.perf_counter() - started,
        stopped=stop.signal.name if stop and stop.signal else None,
    )
