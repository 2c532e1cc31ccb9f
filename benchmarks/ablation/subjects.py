"""What the ablation is run on: the real micrographs, the simulated sets, and how each is scored."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from benchmarks.ablation.sets import DESIGNS, OUTPUTS, Design, ensure_set
from benchmarks.quality.fields import Array, Field, read, read_pairs, read_truths
from benchmarks.quality.scores import band_score, judge_noise, score_pairs

from nt2c.core.errors import InputError
from nt2c.evaluation.pairs import pooled_fraction
from nt2c.evaluation.truth import truth_score

Denoise = Callable[[Array, float], Array]
REAL, THIRD_PARTY = "empiar10146", "sim_thirdparty"
NAMES = (REAL, *DESIGNS, THIRD_PARTY)


@dataclass(frozen=True)
class Subject:
    """A data set: what a user would give to `nt2c fit`, and fields that only the judge sees.

    `star` tells the defocus, where it is known; `design` is there for sets whose noise can be
    drawn again.
    """

    name: str
    inputs: tuple[str, ...]
    fields: tuple[Field, ...]
    star: Path | None = None
    design: Design | None = None

    @property
    def headline(self) -> str:
        return "fraction" if self.name == REAL else "correlation"

    def score(self, denoise: Denoise) -> dict[str, Any]:
        images = {f.name: denoise(f.image, f.pixel_size_a) for f in self.fields}
        if self.name == REAL:
            return _score_pairs(list(self.fields), images)
        noise = {f.name: denoise(_noise_of(f), f.pixel_size_a) for f in self.fields}
        return _score_truth(self.fields, images, noise)


def load_subject(name: str, data: Path, outputs: Path = OUTPUTS) -> Subject:
    if name == REAL:
        fields = tuple(read_pairs(data))
        return Subject(name, (str(data / REAL / "micrographs"),), fields)
    if name == THIRD_PARTY:
        fields = tuple(read_truths(data))
        paths = tuple(str(data / THIRD_PARTY / f"{f.name}_noisy.mrc") for f in fields)
        return Subject(name, paths, fields)
    folder = ensure_set(name, outputs, data, print)
    about = json.loads((folder / "set.json").read_text(encoding="utf-8"))
    diameter_a = fmean(about["diameters_a"])
    fields = tuple(_simulated(folder, n, diameter_a) for n in about["micrographs"])
    star = folder / "micrographs.star"
    return Subject(name, (str(star),), fields, star, DESIGNS[name])


def _simulated(folder: Path, name: str, diameter_a: float) -> Field:
    image, pixel_size_a = read(folder / "micrographs" / f"{name}.mrc")
    truth, noise = (read(folder / place / f"{name}.mrc")[0] for place in ("truth", "noise"))
    return Field(name, image, truth, pixel_size_a, noise_only=noise, diameter_a=diameter_a)


def _noise_of(field: Field) -> Array:
    assert field.noise_only is not None
    return field.noise_only


def _score_pairs(fields: list[Field], images: dict[str, Array]) -> dict[str, Any]:
    scores = score_pairs(fields, images)
    bands = list(zip(*(band_score(f, images[f.name]) for f in fields), strict=True))
    return {
        "fraction": pooled_fraction(scores),
        "bands": {f"{b[0].coarse_a:g}-{b[0].fine_a:g}": pooled_fraction(b) for b in bands},
        "fields": {f.name: {"fraction": s.fraction} for f, s in zip(fields, scores, strict=True)},
    }


def _score_truth(
    fields: tuple[Field, ...], images: dict[str, Array], noise: dict[str, Array]
) -> dict[str, Any]:
    each = {}
    for field in fields:
        truth = asdict(truth_score(images[field.name], field.reference, field.pixel_size_a))
        each[field.name] = truth | _judge_noise(field, images[field.name], noise[field.name])

    def values(key: str) -> list[Any]:
        return [scores[key] for scores in each.values()]

    frc = values("frc05_a")
    left, made = (
        sum(float(np.var(i[f.name], dtype=np.float64)) for f in fields) for i in (noise, images)
    )
    return {
        "correlation": fmean(values("correlation")),
        "psnr_db": fmean(values("psnr_db")),
        "frc05_a": None if None in frc else fmean(frc),
        "noise_ratio": left / made if made > 0 else None,
        "blobs_in_noise": _total(values("blobs_in_noise")),
        "blobs_with_particles": _total(values("blobs_with_particles")),
        "fields": each,
    }


def _judge_noise(field: Field, particles: Array, noise: Array) -> dict[str, Any]:
    """Variance and blobs out of noise; None where a bad denoiser leaves nothing to compare with."""
    try:
        return judge_noise(field, particles, noise)
    except InputError:
        return dict.fromkeys(("variance_ratio", "blobs_in_noise", "blobs_with_particles"))


def _total(values: list[Any]) -> Any:
    return None if None in values else sum(values)
