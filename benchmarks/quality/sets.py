"""The data sets of the quality and picking benchmarks, by name.

empiar10146        ten real micrographs of apoferritin, judged by an independent exposure
sim_thirdparty     20S proteasome, GroEL and tubulin from a simulator that is not ours, with truth
own                our simulator: particles of 90, 140 and 250 A, each at a variance SNR of 0.02,
                   0.05 and 0.1 with a defocus of 0.8, 1.6 or 2.8 um; with truth and empty fields
own_halves         even and odd halves of three of them
ice, modulated     simulated noise that the bundled model never saw (benchmarks/ablation/sets.py)
zoo_FAMILY         the truth of sim_thirdparty in other noise of the same strength, one field of
                   each specimen (benchmarks/quality/other_noise.py)
aside_FAMILY       the same with families by which nothing is chosen
lowdose_tem_pairs  pairs of low-dose exposures of nanoparticles: outside the purpose
leginon_ccd        one field of a CCD camera, exposed twice: outside the purpose
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean

from benchmarks.ablation.sets import ensure_set
from benchmarks.about import OUTPUTS
from benchmarks.quality.fields import DataSet, Field, partners, read, read_pairs, read_truths
from benchmarks.quality.other_noise import ASIDE, FAMILIES, noise_like

from nt2c.core.random import stream
from nt2c.io.star import read_coordinates_star
from nt2c.simulation.bank import procedural_species
from nt2c.simulation.micrograph import SimulatedBatch, simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

SEED = 1
PIXEL_A = 2.0
DIAMETERS_A = (90.0, 140.0, 250.0)
SNRS = (0.02, 0.05, 0.1)
DEFOCI_UM = (0.8, 1.6, 2.8)
UNKNOWN_PIXEL_A = 2.0  # the out-of-domain images do not tell theirs
LOWDOSE = (("train_0001", "train_0002"), ("val_0001", "val_0002"), ("val_0058", "val_0059"))
LEGINON_SHIFT_PX = (-26, -21)
ZOO = {f"zoo_{name}": name for name in FAMILIES} | {f"aside_{name}": name for name in ASIDE}
NAMES = (
    "empiar10146", "sim_thirdparty", "own", "own_halves", "ice", "modulated",
    "lowdose_tem_pairs", "leginon_ccd", *ZOO,
)  # fmt: skip


def load_set(name: str, data: Path) -> DataSet:
    if name == "empiar10146":
        return DataSet(name, "exposure", tuple(read_pairs(data)))
    if name == "sim_thirdparty":
        return DataSet(name, "truth", tuple(read_truths(data)))
    if name == "own":
        return DataSet(name, "truth", tuple(simulate_own()))
    if name == "own_halves":
        return DataSet(name, "truth", tuple(own_halves()))
    if name == "lowdose_tem_pairs":
        return DataSet(name, "exposure", tuple(read_lowdose(data)))
    if name == "leginon_ccd":
        return DataSet(name, "exposure", tuple(read_leginon(data)))
    if name in ZOO:
        return DataSet(name, "truth", tuple(in_other_noise(ZOO[name], data)))
    if name in ("ice", "modulated"):
        return DataSet(name, "truth", tuple(read_ablation(name, data)))
    raise SystemExit(f"{name}: the sets are {', '.join(NAMES)}")


def simulate_own() -> Iterator[Field]:
    """Micrographs of our own simulator, each beside an empty one like it."""
    for i in range(len(DIAMETERS_A) * len(SNRS)):
        name, diameter_a, full = own_micrograph(i, empty=False)
        _, _, empty = own_micrograph(i, empty=True)
        yield Field(
            name,
            full.noisy[0].numpy(),
            full.clean[0].numpy(),
            PIXEL_A,
            noise_only=empty.noisy[0].numpy(),
            diameter_a=diameter_a,
            centres_px=full.coordinates_px[0].numpy(),
        )


def own_halves() -> Iterator[Field]:
    """Halves of three micrographs of `simulate_own`, one for each diameter and SNR."""
    for i in (0, 4, 8):
        name, _, full = own_micrograph(i, empty=False)
        clean = full.clean[0].numpy() / 2
        even, odd = f"{name}_even", f"{name}_odd"
        yield Field(even, full.even[0].numpy(), clean, PIXEL_A, partner=odd)
        yield Field(odd, full.odd[0].numpy(), clean, PIXEL_A, partner=even)


@cache
def own_micrograph(i: int, *, empty: bool) -> tuple[str, float, SimulatedBatch]:
    """Micrograph `i` of our simulator: its name, the particles' diameter, and the images."""
    row, column = divmod(i, len(SNRS))
    diameter_a, snr = DIAMETERS_A[row], SNRS[column]
    defocus_um = DEFOCI_UM[(row + column) % len(DEFOCI_UM)]
    settings = SimulationSettings(
        pixel_size_a=PIXEL_A,
        shape=(768, 768),
        specimen=SpecimenSettings(coverage=(0.15, 0.35), empty=float(empty), species_per_field=1),
        # Illumination is no noise: a slope that is left would pass for it in the variance.
        imaging=ImagingSettings(
            contamination=0, carbon=0, gradient=0, snr=snr, defocus_um=(defocus_um, defocus_um)
        ),
    )
    species = procedural_species(diameter_a, PIXEL_A, 32, stream(SEED, "benchmark species", row))
    made = simulate(
        [species],
        settings,
        1,
        stream(SEED, "benchmark placement", i),
        stream(SEED, "benchmark noise", i),
    )
    return f"{diameter_a:.0f}A_snr{snr:g}_{defocus_um:g}um", diameter_a, made


def read_ablation(name: str, data: Path) -> Iterator[Field]:
    folder = ensure_set(name, OUTPUTS / "ablation", data, print)
    about = json.loads((folder / "set.json").read_text(encoding="utf-8"))
    for field in about["micrographs"]:
        image, pixel_size_a = read(folder / "micrographs" / f"{field}.mrc")
        truth, noise = (read(folder / part / f"{field}.mrc")[0] for part in ("truth", "noise"))
        yield Field(
            field,
            image,
            truth,
            pixel_size_a,
            noise_only=noise,
            diameter_a=fmean(about["diameters_a"]),
            centres_px=read_coordinates_star(folder / "coordinates" / f"{field}.star"),
        )


def in_other_noise(family: str, data: Path) -> Iterator[Field]:
    """The first field of each specimen of the third-party simulator, in noise of a family."""
    seen: set[str] = set()
    for number, field in enumerate(read_truths(data)):
        if field.specimen in seen:
            continue
        seen.add(field.specimen)
        about = json.loads((data / "sim_thirdparty" / f"{field.name}.json").read_text("utf-8"))
        shape = (field.image.shape[0], field.image.shape[1])
        noise = (field.image - field.reference).std() * noise_like(
            family, number, shape, field.pixel_size_a, about.get("defocus_um", 1.0)
        )
        yield replace(
            field, image=field.reference + noise, noise_only=noise + field.reference.mean()
        )


def read_lowdose(data: Path) -> Iterator[Field]:
    for pair in LOWDOSE:
        paths = [data / "lowdose_tem_pairs" / f"{name}.tif" for name in pair]
        images = [read(path, UNKNOWN_PIXEL_A)[0] for path in paths]
        fields = [Field(n, i, i, UNKNOWN_PIXEL_A) for n, i in zip(pair, images, strict=True)]
        yield from partners(fields[0], fields[1])


def read_leginon(data: Path) -> Iterator[Field]:
    """Two exposures, cut to the part that both show."""
    dy, dx = LEGINON_SHIFT_PX
    names = ("pair_test1", "pair_test2")
    paths = [data / "leginon_ccd" / f"{name}.mrc" for name in names]
    first, second = (read(path, UNKNOWN_PIXEL_A)[0] for path in paths)
    cut = (first[:dy, :dx], second[-dy:, -dx:])
    fields = [Field(n, i, i, UNKNOWN_PIXEL_A) for n, i in zip(names, cut, strict=True)]
    yield from partners(fields[0], fields[1])
