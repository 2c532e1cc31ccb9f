"""The command `nt2c merge`."""

from pathlib import Path
from typing import Annotated

import typer

from nt2c.cli.terminal import say, warn


def merge(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Output folder of nt2c denoise --shard.")
    ],
) -> int:
    """Join the accounts of the parts of a run, and name what failed or is missing.

    Writes DIR/summary.json, and DIR/micrographs.star if the micrographs came from a STAR file: the
    same list with the denoised micrographs.
    """
    from nt2c.inference.merge import merge_summaries

    merged = merge_summaries(folder)
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
