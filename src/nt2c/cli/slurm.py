"""The command `nt2c slurm`: `nt2c denoise` as jobs of a Slurm cluster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from nt2c.batch.slurm import SlurmJob, check_time
from nt2c.cli.commands import Denoise, Slurm
from nt2c.cli.terminal import warn
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import plural
from nt2c.denoising.denoiser import load_model
from nt2c.io.inputs import find_inputs

_MERGE: dict[str, str | int] = {"time": "1:00:00", "cpus_per_task": 1, "mem": "4G"}
"""What the job that merges gets: it reads a header for each micrograph."""


def slurm(given: Slurm) -> int:
    """Print or submit the jobs."""
    if given.time is not None:
        check_time(given.time)
    denoise, count = _checked(given.words)
    if given.shards > count:
        text = f"nt2c: {plural(count, 'micrograph')}: so many shards, not {given.shards}"
        warn(text, "yellow")
    account = _options(account=given.account, qos=given.qos)
    last = given.merge_partition or (None if given.gpus else given.partition)
    job = SlurmJob(
        # -P: no module of the folder where the jobs run
        program=[sys.executable, "-P", "-m", "nt2c"],
        arguments=given.words,
        folder=Path.cwd(),
        output=Path(os.path.abspath(denoise.output)),
        shards=min(given.shards, count),
        each=[
            *_options(partition=given.partition),
            *account,
            *_options(time=given.time, gres=f"gpu:{given.gpus}" if given.gpus else None),
            *_options(cpus_per_task=given.cpus, mem=given.mem),
            *given.sbatch,
        ],
        last=[*_options(partition=last), *account, *_options(**_MERGE)],
    )
    script = os.fsencode(job.script())  # names in it need not be text
    if not given.submit:
        typer.echo(script, nl=False)
        return 0
    if shutil.which("sbatch") is None:
        raise SettingsError("--submit: no sbatch here; run this on a node of a Slurm cluster")
    return subprocess.run(["bash"], input=script, check=False).returncode


def _checked(words: list[str]) -> tuple[Denoise, int]:
    """Return what denoise makes of `words`, and the number of micrographs.

    What the tasks would refuse later is refused now.
    """
    given = Denoise.of_words(words, "nt2c denoise")
    for name, (is_given, why) in {
        "shard": (given.batch.shard, "--shards says how many there are"),
        "json": (given.batch.json_file, "nt2c merge writes summary.json"),
        "overwrite": (
            given.batch.overwrite,
            "a task that is started again would do again what it has done; remove the results",
        ),
        "live": (given.live, "a live run is one process; start nt2c denoise --live instead"),
    }.items():
        if is_given:
            raise SettingsError(f"--{name}: not with nt2c slurm: {why}")
    count = _count(given.inputs, movies=given.settings.sum_frames)
    load_model(given.model)
    return given, count


def _count(inputs: list[str], *, movies: bool) -> int:
    """Count micrographs; refuse inputs of which there is nothing, which tasks would name late."""
    found = find_inputs(inputs, movies=movies)
    stars = [name for name in inputs if name.lower().endswith(".star")]
    missing = [item.path for item in found if not item.path.exists()]
    named = [path for path in missing if str(path) in map(str, map(Path, inputs))]
    if named:
        raise InputError(
            f"{named[0]}: no such file; check the path. Patterns in quotes and folders are looked "
            "up again when a task starts, files must be there"
        )
    if missing:
        warn(
            f"nt2c: {plural(len(missing), 'micrograph')} of {', '.join(stars)} not there, such as "
            f"{missing[0]}; the tasks will name them as failed if that stays so",
            "yellow",
        )
    return len(found)


def _options(**values: str | int | None) -> list[str]:
    """Options of sbatch, of those values that are given."""
    return [f"--{k.replace('_', '-')}={v}" for k, v in values.items() if v is not None]
