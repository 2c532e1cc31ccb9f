"""A few simulated micrographs, denoised and scored beside the best linear filters."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nt2c.core.random import stream
from nt2c.denoising.denoiser import denoise
from nt2c.evaluation.filters import best_gaussian, gaussian, radial_wiener, wiener_gain
from nt2c.evaluation.noise_only import variance_ratio
from nt2c.evaluation.truth import correlation
from nt2c.models.denoiser import DenoiserModel
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

Image = NDArray[np.float32]
AnyImage = NDArray[np.floating[Any]]

PIXEL_SIZE_A = 2.0
SIDE_PX = 1024
SIGMAS_PX = tuple(1.25**i for i in range(1, 13))  # 1.25 to 14.6 px, in steps of a quarter
DIAMETERS_A = {"large": 260.0, "medium": 170.0, "small": 110.0}
EMPTY = "empty ice"
METHODS = ("raw", "Gaussian", "Wiener", "nt2c")


@dataclass(frozen=True)
class Field:
    """A simulated micrograph, its truth, and what each method makes of it: (y, x), counts."""

    name: str
    truth: Image
    results: dict[str, Image]
    diameter_a: float | None = None


@dataclass(frozen=True)
class Demonstration:
    """Fields, the last of which is empty, and how fast they were denoised."""

    fields: list[Field]
    pixels_per_s: float


def demonstrate(
    model: DenoiserModel,
    seed: int,
    diameters_a: Mapping[str, float] = DIAMETERS_A,
    side_px: int = SIDE_PX,
) -> Demonstration:
    """Simulate a field of each size of particles and one of empty ice, denoise and filter them."""
    diameters = {**diameters_a, EMPTY: None}
    pairs = {
        name: simulated(diameter_a, seed, i, side_px)
        for i, (name, diameter_a) in enumerate(diameters.items())
    }
    started = time.perf_counter()
    denoised = {name: denoise(noisy, PIXEL_SIZE_A, model) for name, (noisy, _) in pairs.items()}
    pixels_per_s = len(pairs) * side_px**2 / (time.perf_counter() - started)
    fields = filtered_fields(pairs, denoised)
    named = [replace(field, diameter_a=diameters[field.name]) for field in fields]
    return Demonstration(named, pixels_per_s)


def simulated(
    diameter_a: float | None, seed: int, index: int, side_px: int = SIDE_PX
) -> tuple[Image, Image]:
    """Return a noisy micrograph and its noiseless truth.

    Parameters
    ----------
    diameter_a : float or None
        Diameter of the procedural particles in angstrom; None for ice without particles.
    seed, index : int
        Of the demo, and of the micrograph.
    side_px : int
        Of the micrograph.
    """
    settings = SimulationSettings(
        pixel_size_a=PIXEL_SIZE_A,
        shape=(side_px, side_px),
        specimen=SpecimenSettings(
            species_per_field=1, coverage=(0.35, 0.35), empty=float(diameter_a is None)
        ),
        imaging=ImagingSettings(
            defocus_um=(1.5, 2.5),
            b_factor_a2=(100.0, 100.0),
            dose_e_per_a2=(40.0, 40.0),
            ice_thickness_a=(350.0, 350.0),
            ice_gain=(1.0, 1.0),
            contrast_gain=(1.0, 1.0),
            camera_pixel_size_a=(1.0, 1.0),
            detectors=("K3",),
            contamination=0.0,
            carbon=0.0,
            gradient=0.0,
        ),
    )
    size = (diameter_a or 150.0,) * 2
    bank = procedural_bank(1, PIXEL_SIZE_A, 32, size, stream(seed, "demo particles", index))
    batch = simulate(
        bank, settings, 1, stream(seed, "demo placement", index), stream(seed, "demo noise", index)
    )
    return batch.noisy[0].numpy(), batch.clean[0].numpy()


def filtered_fields(
    pairs: dict[str, tuple[Image, Image]], denoised: dict[str, Image]
) -> list[Field]:
    """Apply the linear filters, and bring the background of everything to zero.

    Both filters see the truth: the Gaussian's width and the Wiener gain are the best for each
    micrograph. The empty one gets the middle width and the gain of all others together.
    """
    fields: list[Field] = []
    sigmas: list[float] = []
    for name, (noisy, truth) in pairs.items():
        if name == EMPTY:
            blurred = gaussian(noisy, sorted(sigmas)[len(sigmas) // 2])
            known = [pair for other, pair in pairs.items() if other != EMPTY]
            gain = wiener_gain([n for n, _ in known], [t for _, t in known])
        else:
            sigma, blurred = best_gaussian(noisy, truth, SIGMAS_PX)
            sigmas.append(sigma)
            gain = wiener_gain([noisy], [truth])
        wiener = radial_wiener(noisy, gain)
        images: Sequence[AnyImage] = (noisy, blurred, wiener, denoised[name])
        results = dict(zip(METHODS, images, strict=True))
        level = {method: _centred(image) for method, image in results.items()}
        fields.append(Field(name, _centred(truth), level))
    return fields


def _centred(image: AnyImage) -> Image:
    centred: Image = (image - np.median(image)).astype(np.float32)
    return centred


def scores(fields: list[Field]) -> dict[str, dict[str, float]]:
    """Return for each method the correlation with the truth by field, and the share left of ice.

    The share is the variance of the empty micrograph over the mean of those with particles, all
    after the method.
    """
    table: dict[str, dict[str, float]] = {}
    *filled, empty = fields
    for method in METHODS:
        row = {field.name: correlation(field.results[method], field.truth) for field in filled}
        shares = [variance_ratio(empty.results[method], f.results[method]) for f in filled]
        row[EMPTY] = 1 / float(np.mean([1 / share for share in shares]))
        table[method] = row
    return table


def with_particles(names: Iterable[str]) -> list[str]:
    """Return the names of fields that are not empty."""
    return [name for name in names if name != EMPTY]


def verdict(table: dict[str, dict[str, float]]) -> str:
    """Say in plain words how nt2c compares with the best of both filters."""
    names = with_particles(table["nt2c"])
    best = {name: max(table["Gaussian"][name], table["Wiener"][name]) for name in names}
    won = sum(table["nt2c"][name] > best[name] for name in names)
    mine = float(np.mean([table["nt2c"][name] for name in names]))
    theirs = float(np.mean(list(best.values())))
    where = {0: "on none", len(names): "on every one"}.get(won, f"on {won}")
    return (
        f"nt2c is closer to the hidden truth than the best linear filter {where} of "
        f"{len(names)} micrographs with particles: correlation {mine:.2f} against {theirs:.2f} on "
        f"average. In empty ice it leaves {100 * table['nt2c'][EMPTY]:.0f} % of the variance that "
        f"it gives to particles; the better filter leaves "
        f"{100 * min(table['Gaussian'][EMPTY], table['Wiener'][EMPTY]):.0f} %."
    )
