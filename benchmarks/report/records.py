"""Records of the benchmarks, the latest of each kind, and how tables show their figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pages
from benchmarks.pages import NONE

from nt2c.io.records import read_records

Record = dict[str, Any]
LABELS = {
    "raw": "raw",
    "gaussian": "best Gaussian",
    "wiener": "best radial Wiener",
    "wavelet": "best wavelet",
    "tv": "best total variation",
    "topaz-affine": "Topaz `affine`",
    "topaz-unet-small": "Topaz `unet-small`",
    "topaz-unet": "Topaz `unet`",
    "nt2c": "**nt2c `general`**",
    "nt2c fit": "**`nt2c fit`**",
}
BOUNDS = ("gaussian", "wiener", "wavelet", "tv")
"""Methods that were set with the reference in hand."""
OURS = ("nt2c", "nt2c fit")
SETS = {
    "empiar10146": "EMPIAR-10146",
    "sim_thirdparty": "third-party simulator",
    "own": "own simulator",
    "ice": "ice",
    "modulated": "modulated",
    "lowdose_tem_pairs": "low-dose TEM",
    "leginon_ccd": "CCD",
}
SPECIMENS = {"groel": "GroEL", "t20s": "T20S"}


def specimen(data: str, group: str) -> str:
    """Name of a group of fields: particles by their name, random assemblies by their size."""
    if data == "own":
        return f"{group.removesuffix('A')} A, own"
    return SPECIMENS.get(group) or SETS.get(group, group)


@dataclass(frozen=True)
class Latest:
    """The latest record of each (set, method)."""

    records: dict[tuple[str, str], Record]

    @property
    def methods(self) -> list[str]:
        """In the order of `LABELS`; reference rows, which it does not know, come last."""
        found = dict.fromkeys(method for _, method in self.records)
        return [m for m in LABELS if m in found] + [m for m in found if m not in LABELS]

    def sets(self, names: Iterable[str] = SETS) -> list[str]:
        found = {name for name, _ in self.records}
        return [name for name in names if name in found]

    def score(self, data: str, method: str, *path: str) -> Any:
        """A score by its path, None where there is none."""
        found: Any = self.records.get((data, method), {}).get("scores")
        for key in path:
            found = None if found is None else found.get(key)
        return found


def latest(path: Path, **only: str) -> Latest:
    """Read records; `only` names what some of their entries must be."""
    records = read_records(path) if path.exists() else []
    kept = [r for r in records if all(r.get(k) == v for k, v in only.items())]
    return Latest({(r["set"], r["method"]): r for r in kept})


def label(method: str) -> str:
    return LABELS.get(method, f"*{method}*")


def shown(value: float | None, digits: int = 3, scale: float = 1.0) -> str:
    return NONE if value is None else f"{scale * value:.{digits}f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without the rows that hold nothing."""
    return pages.markdown(head, rows, full=True)


def circumstances(records: Iterable[Record]) -> str:
    """Dates, versions, commits and machines of records."""
    found = list(records)
    days = sorted({r["date"][:10] for r in found})
    machines = {(r["machine"]["cpu"], r["machine"]["cores"]) for r in found}
    threads = sorted({r["machine"]["threads"] for r in found})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    versions = ", ".join(sorted({r["version"] for r in found}))
    commits = ", ".join(f"`{c}`" for c in sorted({str(r["commit"]) for r in found}))
    cpus = ", ".join(f"{cpu} ({cores} cores)" for cpu, cores in sorted(machines))
    return (
        f"Measured {when} with nt2c {versions} (commits {commits}) on {cpus}, "
        f"{' or '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'}."
    )
