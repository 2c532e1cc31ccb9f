"""The section on speed of docs/results.md, and the sentence of the README."""

from statistics import median
from typing import Any

from benchmarks.pages import NONE
from benchmarks.report.records import Record, circumstances, markdown, shown
from benchmarks.speed.runs import SIZES
from benchmarks.speed.stages import STAGES

Key = tuple[str, int]
"""Size and threads."""


def grouped(records: list[Record], kind: str) -> dict[Key, list[Record]]:
    """Records by size and threads, in the order of the sizes.

    Of each, those that share code and processor with the latest.
    """
    found: dict[Key, list[Record]] = {}
    for record in records:
        if record["kind"] == kind:
            found.setdefault((record["size"], record["machine"]["threads"]), []).append(record)
    found = {key: [r for r in rounds if made(r) == made(rounds[-1])]
             for key, rounds in found.items()}  # fmt: skip
    return dict(sorted(found.items(), key=lambda item: (list(SIZES).index(item[0][0]), item[0][1])))


def made(record: Record) -> tuple[str, str]:
    return str(record["commit"]), record["machine"]["cpu"]


def of(records: list[Record], program: str, key: str) -> float | None:
    """Median of a figure of a program over the rounds that have it."""
    values = [r[program][key] for r in records if program in r and r[program][key] is not None]
    return median(values) if values else None


def section(records: list[Record]) -> str:
    runs = grouped(records, "run")
    parts = [
        circumstances([r for found in runs.values() for r in found]),
        "![Seconds for a micrograph](assets/speed.png)",
        "### File to file, beside Topaz-Denoise `unet`",
        markdown(
            ["size", "threads", "nt2c, s", "whole process", "GB", "Topaz, s", "whole process",
             "GB", "ratio"],
            ([size, str(threads), *cells(found)] for (size, threads), found in runs.items()),
        ),
        "Seconds for a micrograph after start-up, then for a whole process with one file; ratio: "
        "Topaz's seconds after start-up over ours, the median with its range over the rounds.",
    ]  # fmt: skip
    split = grouped(records, "stages")
    if split:
        rows = [[size, str(threads), *percent(found[-1]["seconds"])]
                for (size, threads), found in split.items()]  # fmt: skip
        parts += ["### Where our time goes", markdown(["size", "threads", *STAGES, "s"], rows)]
    return "\n\n".join(parts)


def cells(found: list[Record]) -> list[str]:
    ours = [of(found, "nt2c", k) for k in ("each_s", "whole_s", "peak_gb")]
    peer = [of(found, "topaz", k) for k in ("each_s", "whole_s", "peak_gb")]
    both = [f"{shown(a, 2)}" for a in ours] + [f"{shown(a, 1)}" for a in peer]
    return [*both, ratio(found)]


def ratio(found: list[Record]) -> str:
    values = sorted(r["ratio"] for r in found if "ratio" in r)
    if not values:
        return NONE
    spread = f" ({values[0]:.0f}–{values[-1]:.0f})" if len(values) > 1 else " (one round)"
    return f"{median(values):.0f}{spread}"


def percent(seconds: dict[str, float]) -> list[str]:
    total = sum(seconds.values())
    return [*(f"{100 * seconds[stage] / total:.0f} %" for stage in STAGES), f"{total:.2f}"]


def sentence(records: list[Record]) -> str:
    """The largest number of threads at 4096 x 4096, beside Topaz."""
    found: list[Any] = [
        rounds
        for (size, _), rounds in grouped(records, "run").items()
        if size == "4096" and any("ratio" in r for r in rounds)
    ]
    if not found:
        return "Speed has not been measured beside Topaz yet."
    rounds = [r for r in found[-1] if "ratio" in r]
    ours, peer = (of(rounds, p, "each_s") for p in ("nt2c", "topaz"))
    ours_gb, peer_gb = (of(rounds, p, "peak_gb") for p in ("nt2c", "topaz"))
    threads = rounds[0]["machine"]["threads"]
    count = "one pair of runs" if len(rounds) == 1 else f"the median of {len(rounds)} pairs"
    return (
        f"A 4096 x 4096 micrograph, file to file after start-up, on {threads} CPU "
        f"{'thread' if threads == 1 else 'threads'} ({count}): nt2c {shown(ours, 1)} s and "
        f"{shown(ours_gb, 1)} GB of memory, Topaz `unet` {shown(peer, 0)} s and "
        f"{shown(peer_gb, 1)} GB, {ratio(rounds).split(' ')[0]} times slower."
    )
