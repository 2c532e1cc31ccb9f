"""What the images of a method are worth on a data set, by the measures of docs/metrics.md."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from benchmarks.quality.fields import NOISE, Array, DataSet, Field, Images
from benchmarks.quality.region import region_snr_db, regions

from nt2c.core.errors import InputError
from nt2c.evaluation.halves import halves_score
from nt2c.evaluation.noise_only import pick_threshold, variance_ratio
from nt2c.evaluation.pairs import BandScore, PairScore, band_scores, pair_score, pooled_fraction
from nt2c.evaluation.truth import correlation, truth_score
from nt2c.picking.detector import find_blobs

Scores = dict[str, Any]


def headline(data: DataSet, images: Images) -> float:
    """The score by which strengths are chosen."""
    if data.judge == "exposure":
        return pooled_fraction(score_pairs(data.fields, images))
    return fmean(correlation(images[f.name], f.reference) for f in data.fields)


def score(data: DataSet, images: Images) -> Scores:
    """Every measure that the set allows."""
    scores = by_exposure(data, images) if data.judge == "exposure" else by_truth(data, images)
    if any(f.noise_only is not None for f in data.fields):
        scores |= by_noise(data, images)
    if any(f.partner is not None for f in data.fields):
        scores |= by_halves(data, images)
    return scores | by_regions(data, images)


def by_exposure(data: DataSet, images: Images) -> Scores:
    scores = score_pairs(data.fields, images)
    bands = list(zip(*(band_score(f, images[f.name]) for f in data.fields), strict=True))
    return {
        "fraction": pooled_fraction(scores),
        "fraction_fields": {f.name: s.fraction for f, s in zip(data.fields, scores, strict=True)},
        "bands": {f"{b[0].coarse_a:g}-{b[0].fine_a:g}": pooled_fraction(b) for b in bands},
    }


def by_truth(data: DataSet, images: Images) -> Scores:
    fields = {
        f.name: asdict(truth_score(images[f.name], f.reference, f.pixel_size_a))
        for f in data.fields
    }

    def mean(measure: str, names: Iterable[str] = fields) -> float | None:
        values = [fields[name][measure] for name in names]
        return None if None in values else fmean(values)

    specimens = dict.fromkeys(f.specimen for f in data.fields)
    return {
        **{m: mean(m) for m in ("correlation", "psnr_db", "ssim", "frc05_a")},
        "specimens": {
            s: mean("correlation", [f.name for f in data.fields if f.specimen == s])
            for s in specimens
        },
        "fields": fields,
    }


def by_noise(data: DataSet, images: Images) -> Scores:
    """What is left of particle-free noise, and blobs picked in it."""
    records = {}
    for field in data.fields:
        if field.noise_only is None:
            continue
        try:
            records[field.name] = judge_noise(field, images[field.name], images[field.name + NOISE])
        except InputError as error:  # a constant image: nothing to compare with
            records[field.name] = {"error": str(error)}
    judged = [r for r in records.values() if "error" not in r]
    totals = {k: sum(r[k] for r in judged) for k in ("blobs_in_noise", "blobs_with_particles")}
    left = fmean(r["variance_ratio"] for r in judged) if judged else None
    return {"noise_left": left, **totals, "noise_fields": records}


def by_halves(data: DataSet, images: Images) -> Scores:
    """Bias and left-over noise as shares of the signal, over the pairs of halves."""
    named = {f.name: f for f in data.fields}
    splits = {}
    for field in data.fields:
        if field.partner is None or field.partner in splits:
            continue
        other = named[field.partner]
        split = halves_score(field.image, other.image, images[field.name], images[other.name])
        splits[field.name] = split
    signal = sum(s.signal for s in splits.values())
    return {
        "bias": sum(s.bias for s in splits.values()) / signal,
        "halves_noise": sum(s.noise_left for s in splits.values()) / signal,
        "halves": {name: asdict(split) for name, split in splits.items()},
    }


def by_regions(data: DataSet, images: Images) -> Scores:
    values: list[float] = []
    for field in data.fields:
        if field.centres_px is None:
            continue
        diameter_px = field.diameter_a / field.pixel_size_a
        shape = (field.image.shape[0], field.image.shape[1])
        places = regions(shape, field.centres_px, diameter_px)
        values += region_snr_db(images[field.name], *places, diameter_px)
    return {"region_snr_db": fmean(values), "regions": len(values)} if values else {}


def score_pairs(fields: Sequence[Field], images: Images) -> list[PairScore]:
    return [
        pair_score(
            images[f.name], f.reference, f.image, pixel_size_a=f.pixel_size_a, noise_sd=f.noise_sd
        )
        for f in fields
    ]


def band_score(field: Field, image: Array) -> tuple[BandScore, ...]:
    return band_scores(
        image,
        field.reference,
        field.image,
        pixel_size_a=field.pixel_size_a,
        noise_sd=field.noise_sd,
    )


def judge_noise(field: Field, particles: Array, noise: Array) -> dict[str, Any]:
    """Variance and blobs out of noise, beside those of the field with particles."""
    diameter_px = field.diameter_a / field.pixel_size_a
    blobs = find_blobs(particles, diameter_px)
    threshold = pick_threshold([blobs])
    return {
        "variance_ratio": variance_ratio(noise, particles),
        "blobs_in_noise": find_blobs(noise, diameter_px).count(threshold),
        "blobs_with_particles": blobs.count(threshold),
    }
