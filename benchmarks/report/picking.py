"""The section on picking of docs/results.md."""

from collections.abc import Sequence

from benchmarks.pages import NONE
from benchmarks.report.records import (
    OURS,
    Latest,
    circumstances,
    label,
    markdown,
    shown,
    specimen,
)

Column = tuple[str, str]
"""Set and specimen."""


def columns(picking: Latest) -> list[Column]:
    found: dict[Column, None] = {}
    for data in picking.sets():
        for method in picking.methods:
            groups = picking.score(data, method, "specimens") or {}
            found |= dict.fromkeys((data, group) for group in groups)
    return list(found)


def section(picking: Latest, topaz: Latest) -> str:
    shown_columns = columns(picking)
    parts = [
        circumstances(picking.records.values()),
        "![Precision against recall on every set](assets/picking.png)",
        "### Average precision",
        table(picking, shown_columns, "average_precision"),
        "### Best F1, and false picks per noise field at its threshold",
        best(picking, shown_columns),
        "### Where nt2c `general` is not first",
        defeats(picking, shown_columns),
    ]
    if topaz.records:
        parts += [
            "### The Topaz picker",
            "Its pretrained detector on the same images; average precision.",
            table(topaz, columns(topaz), "average_precision"),
        ]
    return "\n\n".join(parts)


def table(picking: Latest, shown_columns: Sequence[Column], score: str) -> str:
    return markdown(
        ["method", *(specimen(*c) for c in shown_columns)],
        (
            [label(m), *(shown(picking.score(d, m, "specimens", g, score))
                         for d, g in shown_columns)]
            for m in picking.methods
        ),
    )  # fmt: skip


def best(picking: Latest, shown_columns: Sequence[Column]) -> str:
    def cell(data: str, group: str, method: str) -> str:
        scores = picking.score(data, method, "specimens", group)
        if scores is None:
            return NONE
        return f"{scores['best_f1']:.3f}, {shown(scores['false_per_noise_field'], 1)}"

    return markdown(
        ["method", *(specimen(*c) for c in shown_columns)],
        ([label(m), *(cell(d, g, m) for d, g in shown_columns)] for m in picking.methods),
    )


def defeats(picking: Latest, shown_columns: Sequence[Column]) -> str:
    lines = []
    measures = {"average_precision": "average precision", "best_f1": "best F1"}
    for data, group in shown_columns:
        for key, title in measures.items():
            path = ("specimens", group, key)
            ours = picking.score(data, "nt2c", *path)
            values = {m: picking.score(data, m, *path) for m in picking.methods if m not in OURS}
            better = {
                m: v for m, v in values.items()
                if v is not None and ours is not None and v > ours + 5e-4
            }  # fmt: skip
            if better:
                ranked = sorted(better.items(), key=lambda item: -item[1])
                names = ", ".join(f"{label(m)} {v:.3f}" for m, v in ranked)
                what = f"{specimen(data, group)}, {title}"
                lines.append(f"- {what}: nt2c {ours:.3f}; better: {names}.")
    return "\n".join(lines) or "Nowhere, of what is recorded."
