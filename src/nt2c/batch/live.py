"""Denoising while micrographs still arrive: each once, as soon as it is complete."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nt2c.batch.plan import Job, prepare_folders
from nt2c.batch.runner import OnResult, Runner
from nt2c.batch.stamps import FileState, file_state
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import FileResult
from nt2c.core.errors import InputError
from nt2c.io.micrographs import open_movie

_NAP_S = 0.2


@dataclass
class LiveState:
    """Where a watch stands.

    Attributes
    ----------
    results : dict of Path to FileResult
        Latest result of each input, in the order in which they were tried.
    waiting : dict of Path to str
        Inputs that are not complete, and what is missing.
    found : list of Job
        All there was to do at the last look.
    over : bool
        Whether the watch has ended.
    """

    results: dict[Path, FileResult] = field(default_factory=dict)
    waiting: dict[Path, str] = field(default_factory=dict)
    found: list[Job] = field(default_factory=list)
    over: bool = False

    def account(self) -> list[FileResult]:
        """Return the latest result of each input; "left" of those that have none yet."""
        untried = (job for job in self.found if job.item.path not in self.results)
        left = (FileResult(job.item.path, job.output, "left") for job in untried)
        return [*self.results.values(), *left]

    def with_status(self, status: str) -> list[FileResult]:
        """Return the results that are "done", "skipped" or "failed"."""
        return [result for result in self.results.values() if result.status == status]


class Arrivals:
    """Tells which micrographs have arrived: unchanged since the last look, size as the header says.

    Attributes
    ----------
    waiting : dict of Path to str
        What is not complete, and why.
    changed : bool
        Whether anything was different at the last look.
    """

    def __init__(self) -> None:
        self.waiting: dict[Path, str] = {}
        self.changed = False
        self._seen: dict[Path, FileState | None] = {}
        self._taken: dict[Path, FileState | None] = {}

    def look(self, jobs: list[Job]) -> list[Job]:
        """Return those that have become complete; one that changes later comes again."""
        self.waiting, self.changed = {}, False
        return [job for job in jobs if self._has_arrived(job.item.path)]

    def _has_arrived(self, path: Path) -> bool:
        state = file_state(path)
        if path in self._taken and self._taken[path] == state:
            return False
        if path not in self._seen or self._seen[path] != state:
            self._seen[path] = state
            self.changed = True
            self.waiting[path] = "has changed since the last look"
            return False
        try:
            open_movie(path, pixel_size_a=1.0).reader.close()
        except (InputError, OSError) as error:
            self.waiting[path] = str(error)
            return False
        self._taken[path] = state
        return True


def watch(
    find: Callable[[], list[Job]],
    output_dir: Path,
    runner: Runner,
    *,
    poll_s: float,
    idle_exit_s: float | None = None,
    stop: Stop | None = None,
    on_result: OnResult | None = None,
    on_look: Callable[[LiveState], None] | None = None,
) -> LiveState:
    """Denoise micrographs as they arrive, until asked to stop or nothing has come for some time.

    What never becomes complete is tried at the end of the wait, so that its fault is told.

    Parameters
    ----------
    find : callable
        Returns all there is to do at the moment; an InputError of it means nothing yet.
    output_dir : Path
        Folder for the results.
    runner : Runner
        Denoises them.
    poll_s : float
        Seconds between two looks.
    idle_exit_s : float, optional
        End when for so long nothing has come or changed; never by default.
    stop : Stop, optional
        Ends the watch after the micrograph in hand.
    on_result : callable, optional
        Called with each result.
    on_look : callable, optional
        Called after each look that changed something, before and while much is done, and at the
        end.
    """
    state, arrivals = LiveState(), Arrivals()
    shown_at = quiet_since = time.monotonic()

    def show() -> None:
        nonlocal shown_at
        shown_at = time.monotonic()
        state.waiting = {p: why for p, why in arrivals.waiting.items() if p not in state.results}
        if on_look:
            on_look(state)

    def tell(result: FileResult) -> None:
        state.results.pop(result.input, None)
        state.results[result.input] = result
        if on_result:
            on_result(result)
        if time.monotonic() - shown_at > poll_s:
            show()

    while not stop:
        state.found = jobs = _found(find)
        ready = arrivals.look(jobs)
        if ready:
            show()
            prepare_folders(output_dir, ready)
            runner.run(ready, tell, stop)
        if ready or arrivals.changed:
            quiet_since = time.monotonic()
            show()
        elif idle_exit_s is not None and time.monotonic() - quiet_since >= idle_exit_s:
            runner.run([job for job in jobs if job.item.path in arrivals.waiting], tell, stop)
            break
        _sleep(poll_s, stop)
    state.over = True
    show()
    return state


def _found(find: Callable[[], list[Job]]) -> list[Job]:
    try:
        return find()
    except InputError:  # an empty folder, a list that is not there yet or only half written
        return []


def _sleep(seconds: float, stop: Stop | None) -> None:
    """Sleep; not longer than until a request to stop."""
    end = time.monotonic() + seconds
    while not stop and (left := end - time.monotonic()) > 0:
        time.sleep(min(_NAP_S, left))
