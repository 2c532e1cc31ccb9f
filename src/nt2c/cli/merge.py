"""The command `nt2c merge`."""

from pathlib import Path
from typing import Annotated

import typer


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
    typer.echo(f"{done} done, {counts['failed']} failed, {counts['left']} left")
    for result in merged.with_status("failed"):
        typer.secho(f"failed: {result.message}", err=True, fg="red")
    for result in merged.with_status("left"):
        typer.secho(f"left: {result.input}", err=True, fg="red")
    for problem in merged.problems:
        typer.secho(problem, err=True, fg="red")
    if merged.star:
        typer.echo(f"list of the results: {merged.star}")
    return 1 if merged.problems or any(counts.values()) else 0
