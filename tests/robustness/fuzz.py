"""Feed damaged files to every reader, and tell what is not as promised.

A reader may return, or raise an Nt2cError that names the file. Anything else is a finding: another
exception, more than CPU_S seconds, more than GROWTH_MB of memory, the end of the process.

    python -m tests.robustness.fuzz --count 10000 --seed 7
    python -m tests.robustness.fuzz --seed 7 --only tiff:17

Findings go to WORK/findings.jsonl, with their files beside. The exit code is 1 when there are any.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TextIO

from tests.robustness.damage import Make, damaged, handmade
from tests.robustness.readers import Kind, kinds, prepare

CPU_S = 10.0
WALL_S = 300.0
GROWTH_MB = 1024.0
_ADDRESS_SPACE = 12 << 30

Case = tuple[str, str, Make]


@dataclass(frozen=True)
class Outcome:
    """What became of one file: "read", "refused", or a finding."""

    kind: str
    name: str
    what: str
    detail: str = ""
    cpu_s: float = 0.0
    grown_mb: float = 0.0

    @property
    def is_finding(self) -> bool:
        """Whether a promise was broken."""
        return self.what not in ("read", "refused")


class _TooLong(BaseException):
    """The time is over; no reader catches this."""


def cases(folder: Path, count: int, seed: int, only: Sequence[str] = ()) -> Iterator[Case]:
    """Yield the handmade files and `count` random ones, kinds in turn."""
    chosen = [kind for kind in kinds(folder) if not only or kind in only]
    yield from (case for case in handmade(folder) if case[0] in chosen)
    yield from random_cases(folder, count, seed, chosen)


def random_cases(folder: Path, count: int, seed: int, chosen: Sequence[str]) -> Iterator[Case]:
    """Yield random files of some kinds in turn."""
    for number, kind in enumerate(islice(cycle(chosen), count)):
        yield kind, str(number), lambda k=kind, n=number: damaged(k, n, seed, folder)


def judge(case: Case, folder: Path) -> Outcome:
    """Let the readers try one file, which stays when it is a finding."""
    kind, name, make = case
    what = kinds(folder)[kind]
    path = folder / f"{kind}-{name}{what.ending}"
    path.write_bytes(make())
    outcome = Outcome(kind, name, *attempt(what, path))
    if not outcome.is_finding:
        path.unlink()
    return outcome


def attempt(kind: Kind, path: Path) -> tuple[str, str, float, float]:
    """Let the readers of a kind try a file: what became of it, details, time, growth."""
    _forget_peak()
    before, began = _memory_mb("VmRSS"), time.process_time()
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            messages = kind.read(path)
        unnamed = [message for message in messages if not _names(message, path)]
        found, detail = ("refused", messages[0]) if messages else ("read", "")
        if unnamed:
            found, detail = "unnamed", unnamed[0]
    except _TooLong:
        found, detail = "hang", traceback.format_exc(limit=-2)
    except Exception as error:
        found, detail = type(error).__name__, traceback.format_exc(limit=-3)
    cpu_s, grown_mb = time.process_time() - began, _memory_mb("VmHWM") - before
    if cpu_s > CPU_S:
        found = "hang"
    elif grown_mb > GROWTH_MB:
        found, detail = "memory", f"{found}: {detail}"
    return found, detail[:1500], round(cpu_s, 2), round(grown_mb)


def _names(message: str, path: Path) -> bool:
    """Whether a message names the file, its copy, a path that it lists, or the one dataset."""
    words = (path.name, "/", "good", "the exposures", "the dataset")
    return any(word in message for word in words)


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise _TooLong after CPU_S of this process, or WALL_S of waiting."""

    def stop(*_: object) -> None:
        raise _TooLong

    before = [signal.signal(sign, stop) for sign in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.setitimer(signal.ITIMER_REAL, WALL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for sign, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(sign, handler)


def _memory_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    """Let the peak of memory begin again (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def run(todo: Sequence[Case], folder: Path) -> Iterator[Outcome]:
    """Judge all cases in child processes; a new one goes on behind a case that ends one."""
    done = 0
    while done < len(todo):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                _work(todo[done:], folder, out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                done += 1
                yield Outcome(**json.loads(line))
        _, status = os.waitpid(child, 0)
        if done < len(todo) and status:
            kind, name, _ = todo[done]
            done += 1
            yield Outcome(kind, name, "death", f"{os.waitstatus_to_exitcode(status)}")


def _work(todo: Sequence[Case], folder: Path, out: TextIO) -> None:
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in todo:
        out.write(json.dumps(asdict(judge(case, folder))) + "\n")
        out.flush()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="random files, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="some kinds, with commas between")
    parser.add_argument("--no-handmade", action="store_true", help="random files alone")
    parser.add_argument("--only", help="KIND:NAME, one file again, with what it led to")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "nt2c-fuzz")
    args = parser.parse_args()
    folder = args.work.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder)
    os.mkfifo(folder / "pipe")
    only = args.only.split(":")[0] if args.only else args.kinds
    todo = list(cases(folder, args.count, args.seed, only.split(",") if only else ()))
    if args.no_handmade:
        todo = todo[-args.count :]
    if args.only:
        todo = [case for case in todo if f"{case[0]}:{case[1]}" == args.only]
    tally: Counter[str] = Counter()
    with (folder / "findings.jsonl").open("w") as log:
        for number, outcome in enumerate(run(todo, folder), start=1):
            tally[outcome.what] += 1
            if outcome.is_finding or args.only:
                log.write(json.dumps(asdict(outcome)) + "\n")
                log.flush()
                print(f"{outcome.kind}:{outcome.name}: {outcome.what}: {outcome.detail.strip()}")
            if number % 1000 == 0:
                print(f"{number} of {len(todo)}: {dict(tally)}", flush=True)
    print(f"{len(todo)} files, {len(todo) - args.count} made by hand: {dict(tally.most_common())}")
    executed = (folder / "EXECUTED").exists()
    if executed:
        print("code in a file was executed")
    return int(executed or bool(set(tally) - {"read", "refused"}))


if __name__ == "__main__":
    sys.exit(main())
