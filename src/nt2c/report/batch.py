"""The report: one page on the micrographs of a folder and, where there was one, the fit."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.batch.flow import MemoryGate
from nt2c.batch.summary import FileResult, RunRecord
from nt2c.core.device import one_thread_each
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.micrographs import open_micrograph
from nt2c.report.figures import grey_limits, shrink
from nt2c.report.fit import Learned, fit_details, fit_sections, fit_table
from nt2c.report.fit_verdict import fit_verdict
from nt2c.report.hints import HINTS, hints_of
from nt2c.report.html import Browser, Page, Table, write_page
from nt2c.report.looks import SEGMENT_PX, frequencies, look
from nt2c.report.picks import MOST_SHOWN, picking_section
from nt2c.report.pictures import Room, rooms, shared_limits, webp
from nt2c.report.sources import Source

PAGE = "report.html"

_MOST_THREADS = 8
_MOST_BYTES = 3 * 1024**3
_BYTES_PER_PX = 40  # of a raw image: it, the denoised one, and what is measured on both

Grey = NDArray[np.float32]
_Item = dict[str, Any]
_Shown = tuple[_Item, list[str], str]
"""What the page says of a micrograph, its pictures, and why it could not be shown."""


@dataclass(frozen=True)
class Written:
    """The page, what it says on top, and a message for each file that could not be shown."""

    path: Path
    verdict: str
    failed: tuple[str, ...]


def write_report(
    source: Source, path: Path | None = None, on_item: Callable[[str], object] | None = None
) -> Written:
    """Write the page of a folder, few micrographs held at a time, whole or not at all.

    Parameters
    ----------
    source : Source
        From `find_source`.
    path : Path, optional
        Where to; by default report.html in the folder.
    on_item : callable, optional
        Called with the name of each micrograph that is looked at.
    """
    fit = source.fit
    segment_px = fit.windows.size_px if fit else SEGMENT_PX
    pictures: list[str] = []
    items, failed = [], []
    for item, own, error in _items(source, segment_px):
        item["pictures"] = [len(picture) for picture in own]
        pictures += own
        items.append(item)
        failed += [error] if error else []
        if on_item:
            on_item(item["name"])
    learned = Learned.of(source.folder, fit) if fit else None
    verdict, *remarks = [*fit_verdict(source), *_verdict(items, source)] or [""]
    page = Page(
        title=f"nt2c report: {source.folder.resolve().name}",
        verdict=verdict,
        remarks=remarks,
        table=fit_table(fit.stages) if fit else _counts(items),
        comparisons=(),
        sections=[
            *([picking_section(source.picking)] if source.picking else []),
            *(fit_sections(source, fit, learned) if fit and learned else []),
        ],
        details=[*_details(source), *(fit_details(fit) if fit else [])],
        browser=Browser(
            _data(items, learned.curves if learned else {}, segment_px),
            "".join(pictures),
            _hints(items),
        ),
    )
    path = path or source.folder / PAGE
    write_page(path, page)
    return Written(path, " ".join([verdict, *remarks]), tuple(failed))


def _items(source: Source, segment_px: int) -> Iterator[_Shown]:
    """Look at each micrograph, several at a time; come in order."""
    look_at = partial(
        _shown,
        source=source,
        segment_px=segment_px,
        room=rooms(len(source.results)),
        gate=MemoryGate(_MOST_BYTES),
    )
    with one_thread_each() as threads, ThreadPoolExecutor(min(threads, _MOST_THREADS)) as pool:
        yield from pool.map(look_at, source.results)


def _shown(
    result: FileResult,
    *,
    source: Source,
    segment_px: int,
    room: tuple[Room, Room],
    gate: MemoryGate,
) -> _Shown:
    item: _Item = {"name": result.input.name, "status": result.status, "hints": []}
    item["notes"] = [*([result.message] if result.message else []), *result.warnings]
    if result.status == "failed" or (result.status == "left" and source.about):
        return item, [], ""
    try:
        with _images(result, source.tiff_top_first, gate) as (raw, denoised, pixel_size_a):
            seen = look(raw, denoised, pixel_size_a, segment_px)
            pictures = _pictures(raw, denoised, room)
    except (InputError, OSError, MemoryError) as error:
        item |= {"status": "unreadable", "notes": [str(error)]}
        return item, [], str(error)
    item |= {
        "contrast": _rounded(seen.contrast),
        "dark": _rounded(seen.dark),
        "direction": _rounded(seen.direction),
        "hints": hints_of(seen),
        "aspect": round(raw.shape[1] / raw.shape[0], 4),
        "about": f"{raw.shape[1]} x {raw.shape[0]} px of {pixel_size_a:.3g} A",
        "raw": [float(f"{value:.3g}") for value in seen.raw],
        "denoised": [float(f"{value:.3g}") for value in seen.denoised],
        "picks": _picks(source, result, raw.shape, pixel_size_a),
        "frames": [[round(share, 4) for share in frame] for frame in source.frames_of(result)],
    }
    return item, pictures, ""


@contextmanager
def _images(
    result: FileResult, tiff_top_first: bool, gate: MemoryGate
) -> Iterator[tuple[Grey, Grey | None, float]]:
    """Hold the raw and the denoised image, and the pixel size of the raw one in angstrom."""
    known_a = None if result.status == "left" else 1.0
    with open_micrograph(result.input, known_a, tiff_top_first=tiff_top_first) as micrograph:
        needed = _BYTES_PER_PX * math.prod(micrograph.shape)
        gate.enter(needed)
        try:
            raw, pixel_size_a = micrograph.read(), micrograph.pixel_size_a
            denoised = None
            if result.status != "left":
                with open_micrograph(result.output) as output:
                    denoised = output.read()
                    pixel_size_a = output.pixel_size_a * denoised.shape[0] / raw.shape[0]
            yield raw, denoised, pixel_size_a
        finally:
            gate.leave(needed)


def _pictures(raw: Grey, denoised: Grey | None, room: tuple[Room, Room]) -> list[str]:
    before = shrink(raw, room[0].longest_px)  # blurs: the grey scale is that of what is shown
    if denoised is None:
        return [webp(before, grey_limits(before), room[0])]
    limits = shared_limits(before, denoised)
    return [webp(before, limits, room[0]), webp(denoised, limits, room[1])]


def _picks(
    source: Source, result: FileResult, shape: tuple[int, ...], pixel_size_a: float
) -> list[list[float]] | None:
    """Place, radii and q of the picks of a micrograph, in shares of it; None if not picked on."""
    picks = source.picks.get(result.input.absolute())
    if picks is None or (source.picking and source.picking.picks > MOST_SHOWN):
        return None
    (rows, columns), radius_px = shape, 0.5 / pixel_size_a
    return [
        [round(value, 4) for value in (
            x / columns, y / rows, size_a * radius_px / columns, size_a * radius_px / rows, q
        )]
        for x, y, size_a, q in picks
    ]  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _verdict(items: Sequence[_Item], source: Source) -> list[str]:
    """What became of the micrographs, and how many to look at; empty where none was denoised."""
    if source.about is None:
        return []
    counts = Counter(item["status"] for item in items)
    done = counts["done"] + counts["skipped"]
    verb = "is" if len(items) == 1 else "are"
    parts = [
        f"{done} of {plural(len(items), 'micrograph')} {verb} denoised with the model "
        f"{_model(source.about)}."
    ]
    if not source.about.finished:
        parts.append("The run has not come to its end.")
    for status, what in (("failed", "failed"), ("unreadable", "cannot be read any more")):
        if counts[status]:
            parts.append(f"{counts[status]} {what}.")
    hinted = sum(bool(item["hints"]) for item in items)
    return [
        " ".join(parts),
        f"{hinted} should be looked at: see the hints below."
        if hinted
        else "None shows signs of bad ice, carbon or drift.",
    ]


def _model(about: RunRecord) -> str:
    return about.model or "(unnamed)"


def _counts(items: Sequence[_Item]) -> Table:
    counts = Counter(item["status"] for item in items)
    names = {
        "done": "denoised",
        "skipped": "denoised before",
        "failed": "failed",
        "unreadable": "raw or denoised file cannot be read",
        "left": "not tried",
    }
    rows = [[name, str(counts[status])] for status, name in names.items() if counts[status]]
    contrasts = [item["contrast"] for item in items if item.get("contrast") is not None]
    if contrasts:
        median = f"{np.median(contrasts):.2g} × noise variance"
        rows.append(["contrast between 20 and 200 A, median", median])
    return Table(["micrographs", "number"], rows)


def _hints(items: Sequence[_Item]) -> Table:
    counts = Counter(key for item in items for key in item["hints"])
    rows = [
        [hint.label, str(counts[hint.key]), hint.measured, hint.advice]
        for hint in HINTS
        if counts[hint.key]
    ]
    return Table(["hint", "micrographs", "told from", "what to do"], rows, words=True)


def _data(items: Sequence[_Item], curves: dict[str, list[float]], segment_px: int) -> str:
    """JSON for the script of the page; "<" is written so that no tag can end it."""
    data = {
        "items": items,
        "hints": {hint.key: hint.label for hint in HINTS},
        "frequency": [float(f"{value:.4g}") for value in frequencies(segment_px)],
        "curves": curves,
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _details(source: Source) -> list[str]:
    about = source.about
    if about is None:
        return []
    set_ = {key: value for key, value in about.settings.items() if value is not None}
    settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in set_.items())
    return [
        f"model {_model(about)} ({about.model_hash}), nt2c {about.version}",
        f"device {about.device}; {about.seconds:.0f} s; {settings}",
    ]
