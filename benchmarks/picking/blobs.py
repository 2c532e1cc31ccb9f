"""The fixed picker on a data set, and what its picks are worth.

It is `nt2c.picking.detector.find_blobs`: maxima of a difference of Gaussians of one diameter,
`SPACING` diameters apart (half of the apoferritin particles touch a neighbour in projection) and
half a diameter from the border. The height of a pick is divided by the
standard deviation of the raw micrograph, the same for all methods, and one threshold is swept for
all fields of a specimen. True centres nearer than half a diameter to the border, where it cannot
pick, do not count, nor do picks on them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.picking.matching import Curve, curve, match
from benchmarks.quality.fields import NOISE, Array, DataSet, Field, Images

from nt2c.picking import SPACING
from nt2c.picking.detector import find_blobs

POINTS = 100  # of a curve in the records


@dataclass(frozen=True)
class Picks:
    """Picks of one image, the strongest first: centres (n, 2) in pixels and heights (n,)."""

    yx_px: Array
    height: Array


@dataclass(frozen=True)
class Judged:
    """Picks of a field that count: their heights, whether right, and how many centres are true."""

    height: Array
    right: Array
    true: int


def judge(field: Field, picks: Picks) -> Judged:
    diameter_px = field.diameter_a / field.pixel_size_a
    centres = np.asarray(field.centres_px, np.float64)
    margin, size = diameter_px / 2, np.array(field.image.shape)
    inside = ((centres >= margin) & (centres < size - margin)).all(1)
    claimed = match(picks.yx_px, centres, diameter_px)
    right = (claimed >= 0) & inside[claimed]
    counts = right | (claimed < 0)
    return Judged(picks.height[counts], right[counts], int(inside.sum()))


def thinned(swept: Curve) -> dict[str, list[float]]:
    """At most `POINTS` points of a curve, evenly over its recall, the last among them."""
    count = len(swept.recall)
    steps = np.linspace(0, swept.recall[-1] if count else 0, POINTS)
    kept = np.unique(np.minimum(np.searchsorted(swept.recall, steps), count - 1)) if count else []
    points = {"recall": swept.recall[kept], "precision": swept.precision[kept]} if count else {}
    return {name: np.round(values, 4).tolist() for name, values in points.items()}


def groups(data: DataSet) -> dict[str, list[Field]]:
    """Fields with known centres by specimen; all of them for a set of one specimen."""
    fields = [f for f in data.fields if f.centres_px is not None]
    if data.name not in ("sim_thirdparty", "own"):
        return {data.name: fields}
    names = dict.fromkeys(f.specimen for f in fields)
    return {name: [f for f in fields if f.specimen == name] for name in names}


def pick_blobs(field: Field, image: Array) -> Picks:
    found = find_blobs(image, field.diameter_a / field.pixel_size_a, SPACING)
    return Picks(found.yx_px, found.height / float(np.std(field.image, dtype=np.float64)))


def score_picks(
    data: DataSet, images: Images, picker: Callable[[Field, Array], Picks] = pick_blobs
) -> dict[str, Any]:
    """Scores by specimen, and their mean."""
    picks = {
        shot.name: picker(shot.field, images[shot.name])
        for shot in data.shots
        if shot.field.centres_px is not None
    }
    scores = {name: score_group(fields, picks) for name, fields in groups(data).items()}
    means = {
        key: float(np.mean([s[key] for s in scores.values()]))
        for key in ("average_precision", "best_f1")
    }
    false = [s["false_per_noise_field"] for s in scores.values()]
    return {
        **means,
        "false_per_noise_field": None if None in false else float(np.mean(false)),
        "specimens": scores,
    }


def score_group(fields: list[Field], picks: dict[str, Picks]) -> dict[str, Any]:
    judged = [judge(field, picks[field.name]) for field in fields]
    true_count = sum(j.true for j in judged)
    swept = curve([j.height for j in judged], [j.right for j in judged], true_count)
    best_f1, threshold = swept.best
    empty = [picks[f.name + NOISE] for f in fields if f.name + NOISE in picks]
    false = sum(int((p.height >= threshold).sum()) for p in empty)
    return {
        "average_precision": swept.average_precision,
        "best_f1": best_f1,
        "threshold": threshold,
        "true": true_count,
        "fields": len(fields),
        "false_per_noise_field": false / len(empty) if empty else None,
        "noise_fields": len(empty),
        "curve": thinned(swept),
    }
