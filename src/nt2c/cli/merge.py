"""The command `nt2c merge`."""

from nt2c.batch.merge import merge_summaries
from nt2c.cli.commands import Merge
from nt2c.cli.terminal import say, warn


def merge(given: Merge) -> int:
    """Join the summaries, and say what is missing."""
    merged = merge_summaries(given.folder)
    counts = {status: len(merged.with_status(status)) for status in ("failed", "left")}
    done = len(merged.results) - sum(counts.values())
    counts["left"] += merged.unseen
    say(f"{done} done, {counts['failed']} failed, {counts['left']} left")
    for result in merged.with_status("failed"):
        warn(f"failed: {result.message}")
    for result in merged.with_status("left"):
        warn(f"left: {result.input}")
    for problem in merged.problems:
        warn(problem)
    if merged.star:
        say(f"list of the results: {merged.star}")
    return 1 if merged.problems or any(counts.values()) else 0
