"""What a person sees of a batch of micrographs: a bar or lines while it runs, an account after."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nt2c.batch.summary import FileResult, Summary
from nt2c.cli.progress import PlainConsole, progress_bar
from nt2c.cli.terminal import say, warn
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.words import plural


@contextmanager
def show_progress(total: int | None) -> Iterator[Callable[[FileResult], None]]:
    """Yield a function that shows a result: a bar on a terminal, a line per file elsewhere."""
    console = PlainConsole()
    counts: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    before = 0  # skipped since the last line
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def line(text: str) -> None:
            if not console.is_terminal:
                of = "" if total is None else f"/{total}"
                console.print(f"[{counts.total()}{of}] {text}")

        def tell_skipped() -> None:
            nonlocal before
            if before:
                line(f"{plural(before, 'micrograph')} skipped (done before)")
            before = 0

        def show(result: FileResult) -> None:
            nonlocal before
            if result.status == "skipped":
                before += 1
            else:
                tell_skipped()
            if result.precision and not counts["done"]:
                console.print(f"precision  {result.precision} is used")
            counts[result.status] += 1
            for warning in result.warnings:
                if not warned[warning]:
                    console.print(f"warning: {result.input}: {warning}")
                warned[warning] += 1
            bar.update(task, advance=1, description=result.input.name)
            if result.status != "skipped":
                took = f" in {result.seconds:.1f} s" if result.status == "done" else ""
                line(f"{result.input}: {result.status}{took}")

        def try_to_show(result: FileResult) -> None:
            with suppress(OSError):  # a full disk under a log is no reason to stop
                show(result)

        yield try_to_show
        with suppress(OSError):
            tell_skipped()
            for warning, count in warned.items():
                if count > 1:
                    files = "file" if count == 2 else "files"
                    console.print(f"warning: {count - 1} more {files}: {warning}")


def tell(result: FileResult) -> None:
    """Say what became of a micrograph, in a line, and what to know about it."""
    (warn if result.message else say)(f"{result.input}: {result.message or result.status}")
    for warning in result.warnings:
        say(f"warning: {result.input}: {warning}")


def report(summary: Summary, output: Path) -> None:
    """Say what became of a batch."""
    done, failed = summary.with_status("done"), summary.with_status("failed")
    skipped = len(summary.with_status("skipped"))
    say(
        f"{len(done)} done, {skipped} skipped (done before), {len(failed)} failed "
        f"in {summary.seconds:.1f} s" + (f"; {_seconds_each(done)}" if done else "")
    )
    if left := summary.with_status("left"):
        say(f"stopped; {len(left)} are left, run it again to do the rest")
    for result in failed:
        warn(f"failed: {result.message}")
    if summary.note:
        warn(summary.note)
    if done or skipped:
        say(f"results are in {output}")
        say(EXTRACT_FROM_RAW)


def _seconds_each(done: list[FileResult]) -> str:
    """Mean time of a file, without the first, in which everything warms up, if there are others."""
    timed = done[1:] or done
    mean = sum(result.seconds for result in timed) / len(timed)
    return f"{mean:.2f} s per micrograph" + (" after the first" if len(done) > 1 else "")
