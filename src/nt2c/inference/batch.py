"""One call for a batch: plan it, share it out over devices, do it, and write what became of it."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nt2c.core.device import choose_device, describe_device, split_device
from nt2c.core.errors import SettingsError
from nt2c.core.revision import made_by
from nt2c.inference.plan import Shard, plan_jobs, prepare_folders
from nt2c.inference.runner import OnResult, Runner, RunOptions
from nt2c.inference.settings import DenoiseSettings
from nt2c.inference.stamps import model_fingerprint
from nt2c.inference.stopping import Stop
from nt2c.inference.summary import (
    Summary,
    confirmed,
    retried,
    standing,
    summary_path,
    try_to_write_summary,
    updated,
)
from nt2c.inference.workers import run_on_devices
from nt2c.io.inputs import MicrographInput
from nt2c.models.denoiser import DenoiserModel


def denoise_files(
    inputs: Iterable[MicrographInput],
    output_dir: Path | str,
    model: DenoiserModel,
    settings: DenoiseSettings | None = None,
    *,
    device: str = "auto",
    suffix: str = "",
    overwrite: bool = False,
    shard: Shard | None = None,
    retry_failed: bool = False,
    max_memory_gb: float | None = None,
    stop: Stop | None = None,
    stars: Sequence[Path] = (),
    json: Path | None = None,
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
    device : str
        "auto", "cpu", "cuda", "cuda:N", or "cuda:all": one process for each GPU.
    suffix : str
        Put behind the names of the outputs, before ".mrc".
    overwrite : bool
        Do all again, and write over files that nt2c did not make. Never over an input.
    shard : Shard, optional
        Do only this part of the inputs.
    retry_failed : bool
        Try only what failed according to the summary; it keeps what it says of the others.
    max_memory_gb : float, optional
        Use about this much memory (on a GPU, of its memory too) at most; by default what is free.
    stop : Stop, optional
        Is looked at before each micrograph; what is not tried is "left".
    stars : sequence of Path
        STAR files that the inputs come from, for the summary.
    json : Path, optional
        Write the results of this run there too.
    on_result : callable, optional
        Called with each result when it is there.

    Raises
    ------
    SettingsError
        An output would be written over an input, the folder cannot be made, the device does not
        exist, or there is no summary to retry from.
    """
    started = time.perf_counter()
    options = RunOptions(
        settings=settings or DenoiseSettings(), overwrite=overwrite, max_memory_gb=max_memory_gb
    )
    folder = Path(output_dir)
    everything = plan_jobs(list(inputs), folder, suffix)
    jobs = [job for job in everything if shard is None or shard.has(job.item)]
    path = summary_path(folder, shard)
    devices = split_device(device)
    about = describe_run(model, options.settings, devices, shard, stars)
    about["micrographs"] = len(everything)
    if retry_failed:
        jobs, earlier = retried(jobs, path)
    else:
        earlier = standing(jobs, path, about)
    prepare_folders(folder, jobs)
    if note := try_to_write_summary(path, earlier, about, finished=False):
        raise SettingsError(f"-o {note}")
    if len(devices) > 1:
        shared = everything if shard else jobs
        results = run_on_devices(devices, model, options, jobs, shared, on_result, stop)
    else:
        runner = Runner(model, options, devices[0])
        if shard:
            runner.decide_precision(everything)
        results = runner.run(jobs, on_result, stop)
    results = confirmed(results)
    about |= describe_end(started, stop)
    note = try_to_write_summary(path, updated(earlier, results), about, finished=True)
    if json:
        note = try_to_write_summary(json, results, about, finished=True) or note
    return Summary(tuple(results), about["seconds"], note)


def describe_run(
    model: DenoiserModel,
    settings: DenoiseSettings,
    devices: Sequence[str],
    shard: Shard | None = None,
    stars: Sequence[Path] = (),
) -> dict[str, Any]:
    """Return what a summary file says of a run besides its results.

    Raises
    ------
    SettingsError
        A device does not exist here.
    """
    return {
        "made_by": made_by("denoising"),
        "shard": [shard.index, shard.count] if shard else None,
        "stars": [os.path.abspath(star) for star in stars],
        "model": model.metadata.get("name"),
        "model_hash": model_fingerprint(model),
        "device": ", ".join(describe_device(choose_device(name)) for name in devices),
        "settings": settings.model_dump(),
    }


def describe_end(started: float, stop: Stop | None) -> dict[str, Any]:
    """Return what a summary says of the end of a run that began at `started`, perf_counter."""
    return {
        "seconds": time.perf_counter() - started,
        "stopped": stop.signal.name if stop and stop.signal else None,
    }
