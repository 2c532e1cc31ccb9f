"""Kill commands again and again at random moments, and look at what is left.

After each kill every file under its final name must be whole, and bit for bit that of a run that
nobody disturbed. Then the command runs to its end: all files must be there and the same, summaries
true, and no temporary left.

    python -m tests.robustness.kills --kills 1000 --seed 7

A process is forked for each run from this one, which has imported nt2c. The exit code is 1 when
anything failed; folders of failures stay.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mrcfile
import safetensors

from nt2c.cli import app, commands
from nt2c.cli.options import load
from nt2c.io.files import is_temporary

Words = Sequence[str]

_SIGNALS = [signal.SIGKILL] * 7 + [signal.SIGTERM] * 2 + [signal.SIGINT]
_WAIT_S = 1800.0
_VOLATILE = {"seconds", "stopped", "status", "counts", "done_before", "stages"}
_GROWING = {"checkpoint.safetensors", "begun.json", "stage.json", "status.json"}
_GROWING |= {"RELION_JOB_EXIT_ABORTED", "RELION_JOB_EXIT_FAILURE"}
_DENOISE = "--model tiny.safetensors --device cpu --precision fp32 --threads 1"


@dataclass(frozen=True)
class Scenario:
    """Commands that are started, killed, started again.

    Attributes
    ----------
    name : str
        Of the scenario.
    commands : tuple of str
        What runs at the same time, in the project folder.
    folder : str
        Where the results go; made anew for each round.
    last : tuple of str
        What runs at the end, one after the other.
    before : tuple of str
        What runs before, undisturbed; its results are kept and copied for each round.
    feed : bool
        Whether micrographs arrive in the folder `feed` while it runs.
    share : int
        How often it is chosen; one that takes minutes only by its name.
    """

    name: str
    commands: tuple[str, ...]
    folder: str = "run"
    last: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    feed: bool = False
    share: int = 2


_SHARDS = tuple(f"denoise micrographs.star -o run {_DENOISE} --shard {i}/2" for i in (1, 2))
SCENARIOS = (
    Scenario("denoise", (f"denoise mics -o run {_DENOISE}",), share=4),
    Scenario("list", (f"denoise micrographs.star -o run {_DENOISE} --float16",)),
    Scenario("twins", (f"denoise mics -o run {_DENOISE}",) * 2),
    Scenario("shards", _SHARDS, last=("merge run",)),
    Scenario("merge", ("merge run",), before=_SHARDS),
    Scenario(
        "live",
        (f"denoise feed -o run {_DENOISE} --live --poll 0.1 --idle-exit 0.6",),
        feed=True,
    ),
    Scenario(
        "relion",
        (
            "relion --in_mics micrographs.star --o External/job001/ --j 1 --device cpu "
            "--model tiny.safetensors --precision fp32",
        ),
        folder="External/job001",
    ),
    Scenario(
        "cryosparc",
        (
            "cryosparc --exposures exposures.cs --project-dir . -o run --device cpu "
            "--model tiny.safetensors",
        ),
    ),
    Scenario("sum-frames", ("sum-frames movies -o run --halves --aligned",)),
    Scenario(
        "picks-to-raw", ("picks-to-raw picks/*.box picks/*.star --raw mics --denoised mics -o run",)
    ),
    Scenario("simulate", ("simulate -o run --count 3 --shape 128 128 --pixel-size 4 --overwrite",)),
    Scenario("extract-noise", ("extract-noise fields -o run --window 64 --count 60 --device cpu",)),
    Scenario(
        "train-noise",
        ("train-noise windows.npy -o run/noise.safetensors --pixel-size 4 --kind bootstrap",),
        share=0,
    ),
    Scenario(
        "sample-noise",
        ("sample-noise noise.safetensors -o run/noise.mrcs --shape 256 256 --count 4",),
    ),
    Scenario("evaluate", ("evaluate fields --truth truth --json run/figures.json",)),
    Scenario("report", ("report run",), before=(f"denoise mics -o run {_DENOISE}",)),
    Scenario("train", ("train train.toml -o run/model.safetensors --device cpu",), share=0),
    Scenario("fit", ("fit fields -o run --recipe fit.toml --device cpu",), share=0),
)


class Killer:
    """Runs scenarios in a project folder, and counts what was seen.

    Parameters
    ----------
    folder : Path
        Working folder, made anew.
    seed : int
        Decides what is killed and when, as far as a busy machine lets it.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = folder
        self.project = folder / "project"
        self.log = folder / "log.txt"
        self.chance = random.Random(seed)
        self.tally: Counter[str] = Counter()
        self.failures: list[str] = []
        shutil.rmtree(folder, ignore_errors=True)
        self.project.mkdir(parents=True)
        made = self._fork(_make_inputs, self.project)
        assert os.waitpid(made, 0)[1] == 0, "the inputs could not be made"

    def round(self, scenario: Scenario, kills: int) -> None:
        """Kill a scenario so many times, let it end, and compare."""
        run = Round(self, scenario)
        for _ in range(kills):
            run.kill_once()
        run.end()
        self.tally["reruns to the end"] += 1

    def fail(self, what: str, scenario: Scenario, folder: Path) -> None:
        """Note a broken promise; keep the folder of the first ones."""
        self.failures.append(f"{scenario.name}: {what}")
        print(f"FAILED {self.failures[-1]}", flush=True)
        if len(self.failures) <= 20 and folder.is_dir():
            kept = self.root / "kept" / f"{len(self.failures)}-{scenario.name}"
            shutil.copytree(folder, kept, symlinks=True)

    def start(self, words: str) -> int:
        """Start nt2c in a process of its own; return its number."""
        return self._fork(_run, self.project, words, self.log)

    def run(self, words: str) -> None:
        """Run nt2c to its end, which must be a good one."""
        code = self.wait(self.start(words))
        assert code == 0, f"nt2c {words}: {code}\n{self.log.read_text()[-2000:]}"

    def wait(self, process: int) -> int | None:
        """Return the exit code of a process, -N after signal N, None when it never ends."""
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            if (code := _ended(process)) is not None:
                return code
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return None

    @staticmethod
    def _fork(work: Callable[..., int], *args: Any) -> int:
        sys.stdout.flush()
        process = os.fork()
        if not process:
            code = 99
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                code = work(*args)
            except KeyboardInterrupt:  # before the command itself could see to it
                code = 130
            except BaseException:
                traceback.print_exc()
            finally:
                with suppress(BaseException):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        return process


class Round:
    """A scenario from its first start to its undisturbed end."""

    def __init__(self, killer: Killer, scenario: Scenario) -> None:
        self.killer, self.scenario = killer, scenario
        self.folder = killer.project / scenario.folder
        self.feed = killer.project / "feed"
        self.duration_s = self.reference[1]
        self._place()

    @cached_property
    def reference(self) -> tuple[Path, float]:
        """Results of a run that nobody disturbed, and how long it took, s."""
        killer, scenario = self.killer, self.scenario
        kept = killer.root / "reference" / scenario.name
        took = kept.with_suffix(".seconds")
        if not kept.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
            for words in scenario.before:
                killer.run(words)
            if scenario.before:
                shutil.copytree(self.folder, self._prepared)
            self._fill_feed()
            began = time.monotonic()
            for words in dict.fromkeys(scenario.commands):
                killer.run(words)
            seconds = (time.monotonic() - began) / len(set(scenario.commands))
            for words in scenario.last:
                killer.run(words)
            kept.parent.mkdir(exist_ok=True)
            shutil.move(self.folder, kept)
            took.write_text(str(seconds))
        return kept, float(took.read_text())

    @property
    def _prepared(self) -> Path:
        return self.killer.root / "prepared" / self.scenario.name

    def _place(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.feed, ignore_errors=True)
        if self.scenario.before:
            shutil.copytree(self._prepared, self.folder)
        if self.scenario.feed:
            self.feed.mkdir()

    def _fill_feed(self) -> None:
        if self.scenario.feed:
            shutil.rmtree(self.feed, ignore_errors=True)
            shutil.copytree(self.killer.project / "mics", self.feed)

    def kill_once(self) -> None:
        """Start, kill at a random moment, and look at what is there."""
        killer, scenario = self.killer, self.scenario
        chance, tally = killer.chance, killer.tally
        sign = chance.choice(_SIGNALS)
        processes = [killer.start(words) for words in scenario.commands]
        chance.shuffle(processes)
        for number, process in enumerate(processes):
            if number and chance.random() < 0.5:
                code, killed = killer.wait(process), False
            else:
                self._let_work(process)
                killed = _kill(process, sign)
                tally["kills"] += killed
                tally[f"kills in {scenario.name}"] += killed
                code = killer.wait(process)
            self._check_code(code, sign if killed else None)
        tally["temporaries after a kill"] += sum(map(is_temporary, self._all()))
        self._check("after a kill")

    def end(self) -> None:
        """Run to the end; everything must be there, the same, and nothing else."""
        self._fill_feed()
        for words in [*dict.fromkeys(self.scenario.commands), *self.scenario.last]:
            self._check_code(self.killer.wait(self.killer.start(words)), None)
        self._check("after the rerun")
        reference = self.reference[0]
        there = {path.relative_to(self.folder) for path in self._all()}
        wanted = {path.relative_to(reference) for path in reference.rglob("*")}
        for path in sorted(wanted - there):
            self._fail(f"after the rerun: {path} is lost")
        for path in sorted(there - wanted):
            self._fail(f"after the rerun: {path} is left over")
        for path in self.folder.glob("summary*.json"):
            record = json.loads(path.read_text())
            results = record.get("results", ())
            undone = [r for r in results if r["status"] not in ("done", "skipped")]
            if undone or not record.get("finished", True):
                self._fail(f"after the rerun: {path.name} is not that of a run that is done")

    def _all(self) -> list[Path]:
        return list(self.folder.rglob("*")) if self.folder.is_dir() else []

    def _let_work(self, process: int) -> None:
        """Wait for a random time, or until some temporary files have been there."""
        chance, began = self.killer.chance, time.monotonic()
        until = began + chance.uniform(0, self.duration_s)
        files, seen = 0, set()
        if chance.random() < 0.6:
            files, until = chance.randint(1, 8), began + 2 * self.duration_s
        arrivals = self._arrivals()
        while time.monotonic() < until and _is_running(process):
            next(arrivals, None)
            if files:
                seen.update(_temporaries(self.folder))
                if len(seen) >= files:
                    time.sleep(chance.choice([0, 0, 0.0003, 0.001, 0.003, 0.01]))
                    return
            time.sleep(0.003)

    def _arrivals(self) -> Iterator[None]:
        """Let a micrograph arrive in two pieces, as from a camera, every 60 ms."""
        if not self.scenario.feed:
            return
        for path in sorted((self.killer.project / "mics").iterdir()):
            new, content = self.feed / path.name, path.read_bytes()
            if new.exists() and new.stat().st_size == len(content):
                continue
            for end in (len(content) // 2, len(content)):
                new.write_bytes(content[:end])
                shutil.copystat(path, new)
                yield from [None] * 10

    def _check_code(self, code: int | None, sign: int | None) -> None:
        stopped = {0, -sign, 128 + sign} if sign else {0}
        text = self.killer.log.read_text(errors="replace")
        if code is None:
            self._fail("did not end")
        elif code not in stopped or "Traceback" in text:
            self._fail(f"exit code {code} after signal {sign}: {text[-600:]}")
        self.killer.log.write_text("")

    def _check(self, when: str) -> None:
        """Everything under a final name is whole, and that of the undisturbed run."""
        reference = self.reference[0]
        for path in self._all():
            if path.is_dir() or any(part.startswith(".") for part in path.parts):
                continue
            self.killer.tally["files compared"] += 1
            name = path.relative_to(self.folder)
            try:
                fault = _fault(path, reference / name)
            except Exception as error:
                fault = f"cannot be read: {type(error).__name__}: {error}"
            if fault:
                self._fail(f"{when}: {name} {fault}")

    def _fail(self, what: str) -> None:
        self.killer.fail(what, self.scenario, self.folder)


def _fault(path: Path, reference: Path) -> str:
    """Say what is wrong with a file under its final name; "" when nothing is."""
    content = path.read_bytes()
    if path.suffix == ".json":
        record = json.loads(content)
        if path.name.startswith("summary") and record.get("finished") and "results" in record:
            told = {Path(result["output"]).name for result in record["results"]}
            there = {one.name for one in path.parent.glob("*.mrc")}
            if "shard" not in path.name and there - told:
                return f"says that it is finished, and nothing of {sorted(there - told)}"
    elif path.suffix == ".jsonl":
        for line in content.split(b"\n")[:-1]:
            json.loads(line)
        return ""
    elif path.suffix == ".html":
        return "" if content.rstrip().endswith(b"</html>") else "has no end"
    elif path.suffix == ".pdf":
        return "" if b"%%EOF" in content[-32:] else "has no end"
    elif path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="np") as stored:
            list(stored.keys())
    elif path.suffix in (".mrc", ".mrcs"):
        mrcfile.open(path, permissive=False).close()
    if path.name in _GROWING or (path.suffix == ".json" and path.name.startswith("summary")):
        return ""
    if not reference.exists():
        return "is not among the files of a run that nobody disturbed"
    if path.suffix == ".json":
        same = _settled(json.loads(content)) == _settled(json.loads(reference.read_bytes()))
    elif path.suffix == ".csg":  # its first line is the time
        same = content.split(b"\n")[1:] == reference.read_bytes().split(b"\n")[1:]
    else:
        same = content == reference.read_bytes()
    return "" if same else "differs from that of a run that nobody disturbed"


def _settled(value: Any) -> Any:
    """Leave out of a record what differs from run to run."""
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items() if key not in _VOLATILE}
    return [_settled(item) for item in value] if isinstance(value, list) else value


def _kill(process: int, sign: int) -> bool:
    """Send a signal to a process that has not ended; return whether there was one."""
    if not _is_running(process):
        return False
    os.kill(process, sign)
    return True


def _is_running(process: int) -> bool:
    """Whether a child has not ended; it stays to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _ended(process: int) -> int | None:
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _temporaries(folder: Path) -> list[str]:
    """Names of temporary files in a folder and those in it; quick, so that it disturbs little."""
    try:
        inside = list(os.scandir(folder))
        names = [entry.name for entry in inside]
        for entry in inside:
            names += os.listdir(entry) if entry.is_dir() else ()
    except OSError:  # a folder is not there yet, or went away
        return []
    return [name for name in names if name.endswith(".partial")]


def _make_inputs(folder: Path) -> int:
    from tests.robustness.made import make_all

    make_all(folder)
    return 0


def _run(folder: Path, words: str, log: Path) -> int:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(folder)
    given = [
        str(path)
        for word in words.split()
        for path in (sorted(folder.glob(word)) if "*" in word else [word])
    ]
    return app.main(given)


def load_all() -> None:
    """Import what the commands need, so that forked processes start at once."""
    for class_name, _ in app.COMMANDS.values():
        load(getattr(commands, class_name).work)
    for name in (
        *("batch.run", "batch.live", "batch.merge", "report.live", "report.logfile"),
        *("pipeline.fit", "pipeline.extract", "report.batch", "hosts.relion", "hosts.cryosparc"),
        *("training.denoiser", "training.sampler_files", "io.frames", "io.picks", "api"),
    ):
        importlib.import_module(f"nt2c.{name}")
    for name in ("accelerate", "scipy.ndimage", "tifffile", "tests.robustness.made"):
        importlib.import_module(name)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long")
    parser.add_argument("--scenarios", default="", help="some, with commas between")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "nt2c-kills")
    args = parser.parse_args()
    named = args.scenarios.split(",") if args.scenarios else ()
    chosen = [s for s in SCENARIOS if s.name in named or (not named and s.share)]
    load_all()
    killer = Killer(args.work.absolute(), args.seed)
    until = time.monotonic() + 60 * args.minutes
    while killer.tally["kills"] < args.kills and time.monotonic() < until:
        (scenario,) = killer.chance.choices(chosen, [s.share or 1 for s in chosen])
        left = args.kills - killer.tally["kills"]
        killer.round(scenario, min(left, killer.chance.randint(1, 6)))
        print(f"{killer.tally['kills']:5d} kills, {len(killer.failures)} failures", flush=True)
    for what, count in sorted(killer.tally.items()):
        print(f"{what:35s} {count}")
    print(f"{'failures':35s} {len(killer.failures)}")
    return int(bool(killer.failures))


if __name__ == "__main__":
    sys.exit(main())
