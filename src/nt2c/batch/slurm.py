"""The shell script that denoises on a Slurm cluster: an array of shards, then a job that merges.

A shard is a task of the array. Shortly before its time is up, Slurm sends SIGUSR1: the micrograph
in hand is finished, and the task goes back to the queue for the rest. A task that was killed, for
want of memory or otherwise, is started again a few times. SIGTERM, as from scancel or from a job
that goes before, stops it after the micrograph in hand. Since what is done is skipped, nothing is
done twice.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.core.errors import SettingsError

_GRACE_S = 120  # for the micrograph in hand
_RESTARTS = 3  # of a task that is killed
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENDLESS = ("0", "-1", "infinite", "unlimited")
_DAYS = re.compile(r"(\d+)-(\d+)(?::(\d+)(?::(\d+))?)?")
_MINUTES = re.compile(r"(?:(\d+):(?=\d+:))?(\d+)(?::(\d+))?")

_SUBMISSION = """\
#!/bin/bash
# Denoise with nt2c on a Slurm cluster. Run this with bash: it submits the two jobs below.
set -eu

shard() {{ cat <<'END_OF_SHARD'
#!/bin/bash
# A task of the array denoises one shard.
cd -- {folder} || exit
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"
late= again= worker=

stop() {{
    again=yes
    [ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null # it finishes the micrograph in hand
}}
trap stop TERM
trap 'late=yes; stop' USR1 # the time is nearly up

{denoise} --shard "$SLURM_ARRAY_TASK_ID/{shards}" &
worker=$!
[ -z "$again" ] || stop # a signal that came before
while
    again=
    wait "$worker"
    code=$?
    [ -n "$again" ] # a signal ended the wait, not the worker
do :; done

restart() {{
    echo "shard $SLURM_ARRAY_TASK_ID: $1; back to the queue for the rest"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
}}
case $code in
    143) [ -z "$late" ] || restart "the time is nearly up" ;;
    129 | 1[3-9]? | 2??)
        [ "${{SLURM_RESTART_COUNT:-0}}" -ge {restarts} ] || [ "$code" = 130 ] ||
            restart "killed (exit code $code)" ;;
esac
exit "$code"
END_OF_SHARD
}}

merge() {{ cat <<'END_OF_MERGE'
#!/bin/bash
cd -- {folder} || exit
exec {merge}
END_OF_MERGE
}}

mkdir -p -- {logs}
array=$(shard | sbatch --parsable {array_options})
array=${{array%%;*}}
last=$(merge | sbatch --parsable --dependency=afterany:"$array" {merge_options})
echo "job $array denoises in {shards} shards; then job ${{last%%;*}} merges"
echo "logs are in "{logs}
"""


@dataclass(frozen=True)
class SlurmJob:
    """What is to be denoised, and what each task of the array gets.

    Attributes
    ----------
    program : sequence of str
        Words that start nt2c on a node.
    arguments : sequence of str
        What follows `nt2c denoise`, as it would be given in `folder`.
    folder : Path
        Where the command was given, absolute.
    output : Path
        Folder of the results, absolute; the logs go to its folder "slurm".
    shards : int
        Tasks of the array.
    each : sequence of str
        Options of sbatch for the tasks of the array, such as "--partition=gpu".
    last : sequence of str
        Options of sbatch for the job that merges.
    """

    program: Sequence[str]
    arguments: Sequence[str]
    folder: Path
    output: Path
    shards: int
    each: Sequence[str] = ()
    last: Sequence[str] = ()

    def script(self) -> str:
        """Return the script that submits the jobs, for bash."""
        logs = self.output / "slurm"
        array = [
            "--job-name=nt2c",
            f"--array=1-{self.shards}",
            "--requeue",
            "--open-mode=append",
            f"--signal=B:USR1@{_GRACE_S}",
            f"--output={_literal(logs)}/shard-%a.log",
        ]
        merge = ["--job-name=nt2c-merge", f"--output={_literal(logs)}/merge.log"]
        return _SUBMISSION.format(
            folder=_words(str(self.folder)),
            logs=_words(str(logs)),
            denoise=_words(*self.program, "denoise", *self.arguments),
            merge=_words(*self.program, "merge", str(self.output)),
            shards=self.shards,
            restarts=_RESTARTS,
            array_options=_words(*array, *self.each),
            merge_options=_words(*merge, *self.last),
        )


def check_time(text: str) -> None:
    """Refuse a limit of time that Slurm does not know, or that leaves no time to denoise.

    Slurm takes MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, and DAYS-HOURS with or without
    :MINUTES and :SECONDS; 0 and UNLIMITED are no limit.

    Raises
    ------
    SettingsError
        It is none of these, or not longer than the time kept for the micrograph in hand.
    """
    if text.lower() in _ENDLESS:
        return
    if found := _DAYS.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        hours += 24 * days
    elif found := _MINUTES.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
    else:
        raise SettingsError(
            f"'time' {text}: not a time of Slurm; give HOURS:MINUTES:SECONDS (2:00:00), "
            "DAYS-HOURS (1-12) or minutes (90)"
        )
    limit_s = 3600 * hours + 60 * minutes + seconds
    if limit_s <= _GRACE_S:
        raise SettingsError(
            f"'time' {text}: to Slurm that is {limit_s} s, and {_GRACE_S} s are kept for the "
            "micrograph in hand; give HOURS:MINUTES:SECONDS (2:00:00 for two hours)"
        )


def _words(*words: str) -> str:
    """Quote words for bash, on one line: a break in a name could end a here-document."""
    return " ".join(map(_word, words))


def _word(word: str) -> str:
    if not _CONTROL.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + "'"


def _literal(path: Path) -> str:
    """Escape what Slurm would replace in the name of a log file."""
    return str(path).replace("\\", "\\\\").replace("%", "%%")
