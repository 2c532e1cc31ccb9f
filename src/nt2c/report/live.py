"""A page that shows how a watch goes on: counts, what waits or failed, the last micrographs."""

from collections import deque
from contextlib import suppress
from pathlib import Path

from nt2c.batch.live import LiveState
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.micrographs import open_micrograph
from nt2c.io.records import write_json
from nt2c.report.figures import png, shrink
from nt2c.report.html import Page, Section, Table, write_page

_PICTURES = 12
_PICTURE_PX = 400


class LivePage:
    """Keeps status.json and live.html in a folder up to date.

    Parameters
    ----------
    folder : Path
        Where they are written.
    refresh_s : float
        How often a browser shall load the page again while the watch goes on.
    """

    def __init__(self, folder: Path, refresh_s: float) -> None:
        self._folder, self._refresh_s = folder, max(1, round(refresh_s))
        self._shown: set[Path] = set()
        self._pictures: deque[tuple[str, bytes]] = deque(maxlen=_PICTURES)

    def update(self, state: LiveState) -> None:
        """Write both for a state, if there is room on the disk."""
        with suppress(OSError):
            self._update(state)

    def _update(self, state: LiveState) -> None:
        statuses = ("done", "skipped", "failed")
        counts = {status: len(state.with_status(status)) for status in statuses}
        faults = {str(result.input): result.message for result in state.with_status("failed")}
        waiting = {str(path): why for path, why in state.waiting.items()}
        status = {"over": state.over, **counts, "waiting": waiting, "failures": faults}
        write_json(self._folder / "status.json", status)
        new = [r for r in state.with_status("done") if r.input not in self._shown]
        self._shown.update(result.input for result in new)
        for result in new[-_PICTURES:]:
            with suppress(InputError):  # moved away meanwhile
                self._pictures.appendleft((result.input.name, _thumbnail(result.output)))
        rows = [("waiting", *item) for item in waiting.items()]
        rows += [("failed", *item) for item in faults.items()]
        page = Page(
            title="Denoised as they arrive",
            verdict=_verdict(state, counts),
            table=Table(("what", "number"), [(name, str(n)) for name, n in counts.items()]),
            comparisons=(),
            sections=[
                Section("Last micrographs", pictures=list(self._pictures)),
                *([Section("To look at", table=_faults(rows))] if rows else []),
            ],
            refresh_s=None if state.over else self._refresh_s,
        )
        write_page(self._folder / "live.html", page)


def _verdict(state: LiveState, counts: dict[str, int]) -> str:
    ready = counts["done"] + counts["skipped"]
    ending = "The watch has ended." if state.over else f"{len(state.waiting)} not complete yet."
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    return f"{plural(ready, 'micrograph')} denoised{failed}. {ending}"


def _faults(rows: list[tuple[str, str, str]]) -> Table:
    return Table(("state", "micrograph", "why"), rows, words=True)


def _thumbnail(path: Path) -> bytes:
    with open_micrograph(path) as micrograph:
        return png(shrink(micrograph.read(), _PICTURE_PX))
