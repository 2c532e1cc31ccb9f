"""The command `nt2c slurm`: `nt2c denoise` as jobs of a Slurm cluster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nt2c.cli.terminal import warn
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import plural

_OWN = {
    "shard": "--shards says how many there are",
    "json": "nt2c merge writes summary.json",
    "overwrite": "a task that is started again would do again what it has done; remove the results",
    "live": "a live run is one process; start nt2c denoise --live instead",
}
"""Options of denoise that the jobs cannot have, and why."""

_MERGE: dict[str, str | int] = {"time": "1:00:00", "cpus_per_task": 1, "mem": "4G"}
"""What the job that merges gets: it reads a header for each micrograph."""


def slurm(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... -o DIR [OPTIONS OF DENOISE]...", help="As for nt2c denoise."
        ),
    ],
    shards: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tasks that share the micrographs.")
    ],
    submit: Annotated[
        bool, typer.Option("--submit", help="Submit the jobs instead of printing the script.")
    ] = False,
    partition: Annotated[
        str | None, typer.Option(metavar="NAME", help="Partition (queue) of the tasks.")
    ] = None,
    merge_partition: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Partition of the job that merges, which needs no GPU; by default that of the "
            "tasks, or, if these have GPUs, the cluster's own default.",
        ),
    ] = None,
    qos: Annotated[
        str | None, typer.Option(metavar="NAME", help="Quality of service of the jobs.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Account to be charged.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="HH:MM:SS",
            help="Limit of a task, as Slurm writes it; what is left then is queued again.",
        ),
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs of a task; more than one with --device cuda:all.")
    ] = 0,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of a task.")] = 1,
    mem: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of a task: 8G.")] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="Another option of sbatch for the tasks; repeat."),
    ] = None,
) -> int:
    """Denoise on a Slurm cluster: print, or submit, an array of shards and a job that merges.

    Takes what nt2c denoise takes. Each task finishes the micrograph in hand when its time is
    nearly up and goes back to the queue; one that is killed is started again. At the end nt2c
    merge says what is done and what failed: DIR/slurm/merge.log. Review the script, then run it
    with bash.
    """
    from nt2c.inference.slurm import SlurmJob, check_time

    if time is not None:
        check_time(time)
    given, count = _checked(words)
    if shards > count:
        warn(f"nt2c: {plural(count, 'micrograph')}: so many shards, not {shards}", "yellow")
    job = SlurmJob(
        # -P: no module of the folder where the jobs run
        program=[sys.executable, "-P", "-m", "nt2c"],
        arguments=words,
        folder=Path.cwd(),
        output=Path(os.path.abspath(given["output"])),
        shards=min(shards, count),
        each=[
            *_options(partition=partition, account=account, qos=qos, time=time),
            *_options(gres=f"gpu:{gpus}" if gpus else None, cpus_per_task=cpus, mem=mem),
            *(sbatch or ()),
        ],
        last=[
            *_options(partition=merge_partition or (None if gpus else partition)),
            *_options(account=account, qos=qos, **_MERGE),
        ],
    )
    script = os.fsencode(job.script())  # names in it need not be text
    if not submit:
        typer.echo(script, nl=False)
        return 0
    if shutil.which("sbatch") is None:
        raise SettingsError("--submit: no sbatch here; run this on a node of a Slurm cluster")
    return subprocess.run(["bash"], input=script, check=False).returncode


def _checked(words: list[str]) -> tuple[dict[str, Any], int]:
    """Return the options of denoise in `words`, and the number of micrographs.

    What the tasks would refuse later is refused now.
    """
    from nt2c.cli.app import build_app
    from nt2c.inference.denoiser import load_model

    group: Any = typer.main.get_command(build_app(["denoise"]))
    command = group.commands["denoise"]
    given: dict[str, Any] = command.make_context("nt2c denoise", list(words)).params
    defaults = {option.name: option.default for option in command.params}
    for name, why in _OWN.items():
        if name in given and given[name] != defaults[name]:
            raise SettingsError(f"--{name}: not with nt2c slurm: {why}")
    count = _count(given["inputs"], movies=given["sum_frames"])
    load_model(given["model"])
    return given, count


def _count(inputs: list[str], *, movies: bool) -> int:
    """Count micrographs; refuse inputs of which there is nothing, which tasks would name late."""
    from nt2c.io.inputs import find_inputs

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
