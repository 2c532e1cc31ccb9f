"""A micrograph of a benchmark with what judges it, and sets of such micrographs."""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nt2c.io.micrographs import open_micrograph
from nt2c.io.star import read_coordinates_star

Array = np.ndarray[Any, np.dtype[Any]]
Images = dict[str, Array]
"""Denoised images by the name of their shot."""

DIAMETER_A = {"t20s": 130.0, "groel": 140.0, "tubulin": 110.0}
APOFERRITIN_A = 120.0
NOISE = ".noise"
REAL_NOISE_FIELDS = ("May08_03.05.02", "May08_05.31.00", "May08_07.08.55")


@dataclass(frozen=True)
class Field:
    """A micrograph of a benchmark with what judges it: truth or independent exposure.

    `noise_only` is the same micrograph without particles; `centres_px` (n, 2) are its particles
    (y, x); `partner` names the field that shows the same with independent noise of equal strength.
    """

    name: str
    image: Array
    reference: Array
    pixel_size_a: float
    noise_sd: float | None = None
    noise_only: Array | None = None
    diameter_a: float = 0.0
    centres_px: Array | None = None
    partner: str | None = None

    @property
    def specimen(self) -> str:
        return self.name.split("_")[0]


@dataclass(frozen=True)
class Shot:
    """One image to denoise: a field, or what it would be without particles."""

    name: str
    field: Field
    image: Array


@dataclass(frozen=True)
class DataSet:
    """Fields that are judged together, by "exposure" or by "truth"."""

    name: str
    judge: Literal["exposure", "truth"]
    fields: tuple[Field, ...]

    @property
    def headline(self) -> str:
        return "fraction" if self.judge == "exposure" else "correlation"

    @property
    def shots(self) -> list[Shot]:
        shots = [Shot(f.name, f, f.image) for f in self.fields]
        empty = [f for f in self.fields if f.noise_only is not None]
        return shots + [Shot(f.name + NOISE, f, f.noise_only) for f in empty]

    @cached_property
    def key(self) -> str:
        """Hash of the images; of what another number of threads changes in them it knows nothing.

        Simulated images differ in their last bits then, so that the standard deviation of every
        image counts, to three digits, and the centres of its particles.
        """
        digest = hashlib.sha256()
        for field in self.fields:
            images = (field.image, field.reference, field.noise_only)
            deviations = [np.std(i, dtype=np.float64) for i in images if i is not None]
            centres = [] if field.centres_px is None else np.round(field.centres_px).tolist()
            shown = " ".join(f"{value:.3g}" for value in deviations)
            digest.update(f"{field.name} {field.pixel_size_a} {shown} {centres}".encode())
        return digest.hexdigest()[:16]


def read(path: Path, pixel_size_a: float | None = None) -> tuple[Array, float]:
    with open_micrograph(path, pixel_size_a) as micrograph:
        return micrograph.read(), micrograph.pixel_size_a


def read_pairs(data: Path) -> Iterator[Field]:
    """EMPIAR-10146: real micrographs with an independent exposure; nine have curated centres.

    Noise alone is the difference of the two exposures, in which all that stood still cancels, at
    the strength of the micrograph's noise.
    """
    folder = data / "empiar10146"
    with (folder / "scale.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = row["name"]
            image, pixel_size_a = read(folder / "micrographs" / f"{name}.mrc")
            reference, _ = read(folder / "independent" / f"{name}.mrc")
            noise_sd = float(row["noise_sd_micrograph"])
            difference = np.float32(reference) - np.float32(image)
            difference = np.median(image) + difference * (noise_sd / difference.std())
            centres = folder / "coords" / f"{name}.star"
            yield Field(
                name,
                image,
                reference,
                pixel_size_a,
                noise_sd=noise_sd,
                noise_only=difference if name in REAL_NOISE_FIELDS else None,
                diameter_a=APOFERRITIN_A,
                centres_px=read_coordinates_star(centres) if centres.is_file() else None,
            )


def read_truths(data: Path) -> Iterator[Field]:
    """The third-party simulator's micrographs with their truth."""
    for path in sorted((data / "sim_thirdparty").glob("*_noisy.mrc")):
        name = path.name.removesuffix("_noisy.mrc")
        image, pixel_size_a = read(path)
        clean, _ = read(path.with_name(f"{name}_clean.mrc"))
        yield Field(
            name,
            image,
            clean,
            pixel_size_a,
            noise_only=image - clean + clean.mean(),
            diameter_a=DIAMETER_A[name.split("_")[0]],
            centres_px=read_coordinates_star(path.with_name(f"{name}.star")),
        )


def partners(first: Field, second: Field) -> tuple[Field, Field]:
    """Two exposures of one field, each the other's reference and partner."""
    return (
        replace(first, reference=second.image, partner=second.name),
        replace(second, reference=first.image, partner=first.name),
    )
