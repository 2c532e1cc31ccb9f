"""The same runner on a cluster of dask.distributed: parts of a batch as its tasks.

Dask gives the parts of a worker that dies to another one, which skips what is done. For clusters
that come and go, and for programs that use dask already; `nt2c slurm` needs no such program.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nt2c.batch.merge import Merged, merge_summaries
from nt2c.batch.run import denoise_files
from nt2c.batch.summary import FileResult, Summary
from nt2c.denoising.settings import BatchOptions, DenoiseSettings, Shard
from nt2c.io.inputs import MicrographInput
from nt2c.models.denoiser import DenoiserModel


def denoise_on_dask(
    client: Any,
    inputs: Sequence[MicrographInput],
    output_dir: Path | str,
    model: DenoiserModel,
    settings: DenoiseSettings | None = None,
    options: BatchOptions | None = None,
    *,
    parts: int = 32,
    on_result: Callable[[FileResult], None] | None = None,
) -> Merged:
    """Denoise micrographs with the workers of a cluster, and join what they say.

    All workers must see the files by the same absolute paths. A worker should run one task at a
    time (`threads_per_worker=1`, `cores=1`), on a GPU of its own if there are some.

    Parameters
    ----------
    client : distributed.Client
        Of a LocalCluster, a SLURMCluster or any other.
    inputs : sequence of MicrographInput
        From `find_inputs`.
    output_dir, model, settings, options
        As for `denoise_files`; the parts are shards.
    parts : int
        Tasks that the micrographs are dealt out to: some for each worker.
    on_result : callable, optional
        Called with each result when its part is done.

    Returns
    -------
    Merged
        As `nt2c merge` gives it.

    Raises
    ------
    SettingsError
        As `denoise_files` does.
    """
    from distributed import as_completed

    options = options or BatchOptions()
    folder = _absolute(output_dir)
    whole = _Whole(
        [replace(item, path=_absolute(item.path)) for item in inputs],
        folder,
        model,
        settings,
        options.replace(stars=tuple(map(_absolute, options.stars))),
    )
    shared = client.submit(_given, whole, pure=False)  # scattered data can die with a worker
    shards = (Shard(index, parts) for index in range(1, parts + 1))
    tasks = [client.submit(_denoise_part, shared, shard, pure=False) for shard in shards]
    for task in as_completed(tasks):
        for result in task.result().results:
            if on_result:
                on_result(result)
    return merge_summaries(folder)


@dataclass(frozen=True)
class _Whole:
    inputs: list[MicrographInput]
    output_dir: Path
    model: DenoiserModel
    settings: DenoiseSettings | None
    options: BatchOptions


def _given(whole: _Whole) -> _Whole:
    return whole


def _denoise_part(whole: _Whole, shard: Shard) -> Summary:
    options = whole.options.replace(shard=shard)
    return denoise_files(whole.inputs, whole.output_dir, whole.model, whole.settings, options)


def _absolute(path: Path | str) -> Path:
    return Path(os.path.abspath(path))
