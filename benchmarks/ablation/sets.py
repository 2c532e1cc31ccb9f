"""Data sets for the ablation: simulated "real" micrographs whose truth and noise are known.

    python -m benchmarks.ablation.sets [NAME ...] [--folder DIR] [--data DIR]

Each set has one kind of noise that the bundled model never saw (`noises.py`) and one kind of
specimen. Its folder holds, NAME.mrc in each of

    micrographs/   noisy = truth + noise + the mean count
    truth/         the clean signal, with CTF, radiation damage and MTF
    noise/         noisy minus truth
    fields/        fields of noise alone, drawn independently under the same conditions
    mask/          1 where a particle is

and coordinates/NAME.star, micrographs.star with the defocus, and set.json. The same seed gives the
same files.
"""

import argparse
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from benchmarks.ablation.noises import COUNTS, DE20, DOSE, K3, NOISES, PIXEL_A, Mtf, Scene, mtf
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.ctf import Optics, ctf, interaction_rad_per_v_a
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.io import star
from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import write_json
from nt2c.io.structures import read_structure
from nt2c.simulation.bank import Species, procedural_species
from nt2c.simulation.micrograph import specimen_field
from nt2c.simulation.physics import dose_envelope
from nt2c.simulation.settings import SpecimenSettings
from nt2c.simulation.species import structure_species

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
OUTPUTS = ROOT / "benchmarks" / "outputs" / "ablation"
RESULTS = ROOT / "benchmarks" / "results" / "ablation.jsonl"
MARGIN_PX = 64  # simulated around the field and cut off, so that nothing wraps around


@dataclass(frozen=True)
class Design:
    """A data set: kind of noise, specimen, and how faint it is.

    `structure` is a file of `shared/data/structures`; without one, random assemblies of
    `diameters_a`. `coverage`: share of the field within discs of those diameters, it rises through
    the set as far as there is room. `snr` is the variance of the truth over that of the noise
    inside particles, the mean over the set. `mtf` damps the signal; `camera_pixels` camera pixels
    make one pixel.
    """

    name: str
    seed: int
    snr: float
    coverage: tuple[float, float]
    structure: str = ""
    diameters_a: tuple[float, ...] = ()
    mtf: Mtf = K3
    camera_pixels: float = 2.0
    micrographs: int = 6
    shape: tuple[int, int] = (1024, 1024)
    defocus_um: tuple[float, float] = (0.9, 2.4)
    b_factor_a2: float = 120.0
    views: int = 60

    @property
    def names(self) -> list[str]:
        return [f"{self.name}_{i + 1:02d}" for i in range(self.micrographs)]


DESIGNS = {
    d.name: d
    for d in (
        Design("detector", 101, 0.06, (0.14, 0.35), "2gtl.pdb.gz", mtf=DE20, camera_pixels=1.0),
        Design("ice", 102, 0.09, (0.20, 0.40), "8zpm.cif.gz"),
        Design("modulated", 103, 0.04, (0.15, 0.40), diameters_a=(130.0, 200.0)),
        Design("pattern", 104, 0.05, (0.12, 0.35), diameters_a=(160.0,)),
    )
}


@dataclass(frozen=True)
class Signal:
    """The particles of a micrograph: contrast (y, x) with margins, without a gain of its own."""

    contrast: Tensor
    mask: Tensor
    centres_px: Tensor
    scene: Scene
    optics: Optics


@dataclass
class Micrograph:
    """One micrograph of a set, images (y, x) in counts."""

    name: str
    noisy: Tensor
    truth: Tensor
    noise: Tensor
    empty: Tensor
    mask: Tensor
    centres_px: Tensor
    optics: Optics
    facts: dict[str, Any] = field(default_factory=dict)


def species_of(design: Design, data: Path = DATA) -> list[Species]:
    if design.structure:
        structure = read_structure(data / "structures" / design.structure)
        generator = stream(design.seed, "ablation species")
        return [structure_species(structure, PIXEL_A, design.views, generator)]
    return [
        procedural_species(d, PIXEL_A, design.views, stream(design.seed, "ablation species", i))
        for i, d in enumerate(design.diameters_a)
    ]


def draw_scene(design: Design, index: int) -> tuple[Scene, Optics, torch.Generator]:
    """Microscope of micrograph `index`; and the generator that goes on with its particles."""
    generator = stream(design.seed, "ablation placement", index)
    shape = (design.shape[0] + 2 * MARGIN_PX, design.shape[1] + 2 * MARGIN_PX)
    low, high = design.defocus_um
    draws = torch.rand(2, generator=generator).tolist()
    optics = Optics(
        defocus_um=low + draws[0] * (high - low),
        astigmatism_um=0.05,
        astigmatism_angle_deg=180 * draws[1],
        b_factor_a2=design.b_factor_a2,
        energy_spread_ev=0.9,
        semi_angle_mrad=0.03,
    )
    transfer = -2 * interaction_rad_per_v_a(optics.voltage_kv) * ctf(shape, PIXEL_A, optics)
    return Scene(shape, transfer, design.seed), optics, generator


def draw_signal(design: Design, bank: list[Species], index: int) -> Signal:
    """Particles of one micrograph through dose, microscope and MTF."""
    scene, optics, generator = draw_scene(design, index)
    step = (index + float(torch.rand((), generator=generator))) / design.micrographs
    coverage = design.coverage[0] + step * (design.coverage[1] - design.coverage[0])
    specimen = SpecimenSettings(
        coverage=(coverage, coverage), empty=0.0, species_per_field=len(bank)
    )
    potential, centres, _ = specimen_field(bank, scene.shape, PIXEL_A, specimen, generator)
    k = frequency_grid(scene.shape, PIXEL_A)
    damage = dose_envelope(k, torch.tensor(DOSE), optics.voltage_kv)
    camera = mtf(design.mtf, scene.shape, design.camera_pixels)
    centres = centres - MARGIN_PX
    seen = (centres >= 0).all(-1) & (centres < torch.tensor(design.shape)).all(-1)
    return Signal(
        inner(apply_filter(potential, scene.transfer * damage * camera)),
        inner(potential) > 0.05 * potential.amax(),
        centres[seen],
        scene,
        optics,
    )


def true_noise(design: Design, count: int) -> Iterator[Tensor]:
    """More fields (y, x) of the noise of a set, in counts: of no micrograph, nor of `fields/`."""
    for i in range(count):
        scene, _, _ = draw_scene(design, i % design.micrographs)
        generator = stream(design.seed, "ablation true noise", i)
        yield inner(NOISES[design.name](scene, generator)) + COUNTS


def inner(image: Tensor) -> Tensor:
    return image[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def simulate_set(design: Design, bank: list[Species]) -> tuple[list[Micrograph], dict[str, Any]]:
    """All micrographs of a set, and what is true of the set as a whole."""
    make = NOISES[design.name]
    signals = [draw_signal(design, bank, i) for i in range(design.micrographs)]
    drawn = [
        [inner(make(s.scene, stream(design.seed, role, i))) for i, s in enumerate(signals)]
        for role in ("ablation noise", "ablation fields")
    ]
    inside = [float(s.contrast[s.mask].var()) for s in signals]
    noise_variance = sum(float(n.var()) for n in drawn[0]) / len(signals)
    gain = (design.snr * noise_variance / (sum(inside) / len(inside))) ** 0.5
    result = []
    for name, signal, noise, empty, variance in zip(
        design.names, signals, *drawn, inside, strict=True
    ):
        facts = {
            "snr": gain**2 * variance / float(noise.var()),
            "coverage": float(signal.mask.float().mean()),
            "particles": len(signal.centres_px),
            "defocus_um": signal.optics.defocus_um,
            "noise_sd": float(noise.std()),
        }
        truth = gain * signal.contrast
        result.append(
            Micrograph(name, truth + noise + COUNTS, truth, noise + COUNTS, empty + COUNTS,
                       signal.mask, signal.centres_px, signal.optics, facts)
        )  # fmt: skip
    about = {
        "design": asdict(design),
        "pixel_size_a": PIXEL_A,
        "diameters_a": [s.diameter_a for s in bank],
        "contrast_gain_counts": gain,
        "physical_gain_counts": COUNTS,
        "micrographs": {m.name: m.facts for m in result},
    }
    return result, about


def write_set(folder: Path, micrographs: list[Micrograph], about: dict[str, Any]) -> None:
    for m in micrographs:
        images = {
            "micrographs": m.noisy,
            "truth": m.truth,
            "noise": m.noise,
            "fields": m.empty,
            "mask": m.mask.float(),
        }
        for place, image in images.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            write_micrograph(folder / place / f"{m.name}.mrc", image.numpy(), PIXEL_A)
        (folder / "coordinates").mkdir(exist_ok=True)
        star.write_coordinates_star(folder / f"coordinates/{m.name}.star", m.centres_px.numpy())
    optics = micrographs[0].optics
    defocus = {
        f"micrographs/{m.name}.mrc": star.Defocus(
            float(m.optics.defocus_um) + float(m.optics.astigmatism_um) / 2,
            float(m.optics.defocus_um) - float(m.optics.astigmatism_um) / 2,
            float(m.optics.astigmatism_angle_deg),
        )
        for m in micrographs
    }
    shared = star.Optics(PIXEL_A, optics.voltage_kv, optics.cs_mm, float(optics.amplitude_contrast))
    star.write_micrographs_star(folder / "micrographs.star", defocus, shared)
    write_json(folder / "set.json", about)  # last: a folder with it is complete


def ensure_set(
    name: str,
    outputs: Path = OUTPUTS,
    data: Path = DATA,
    on_made: Callable[[str], None] = lambda text: None,
) -> Path:
    """Return the folder of a set, made now if it is not complete."""
    folder = outputs / "sets" / name
    if not (folder / "set.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        design = DESIGNS[name]
        micrographs, about = simulate_set(design, species_of(design, data))
        write_set(folder, micrographs, about)
        on_made(f"{name}: {len(micrographs)} micrographs in {folder}")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DESIGNS))
    parser.add_argument("--folder", type=Path, default=OUTPUTS)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    for name in arguments.names or DESIGNS:
        if name not in DESIGNS:
            parser.error(f"{name}: the sets are {', '.join(DESIGNS)}")
        ensure_set(name, arguments.folder, arguments.data, print)


if __name__ == "__main__":
    main()
