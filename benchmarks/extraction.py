"""How clean extracted windows are: simulated sets with known truth, file to file.

    python benchmarks/extraction.py [--window 128] [--fields 6] [--pixel-size 1.5] [--snr 0.03 0.1]

For each particle diameter, coverage and signal-to-noise ratio (variance ratio inside particles at
the pixel size of the files) a set of micrographs, each of one kind of particle so that the ratio
holds for all of them, is simulated and given to `extract_noise`.

`touching` is the share of windows that hold a pixel of a particle's projected potential (above a
tenth of the greatest, as the ratio is defined). `spectrum` is the power of the windows per ring
over that of the true noise (noisy minus clean, same scaling) everywhere in the same micrographs;
`of the noise` the same for the true noise in the windows, which shows the bias of the choice
alone. Rings are those above 1/200 A. Each set adds a JSON line to the results.
"""

import argparse
import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import load_model, prepare
from nt2c.imaging.fourier import radial_power
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import append_record
from nt2c.models.denoiser import DenoiserModel
from nt2c.noise.extraction import ExtractionSettings
from nt2c.pipeline.extract import extract_noise
from nt2c.pipeline.options import ExtractOptions
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import MARGIN_A, draw_parameters, simulate, specimen_field
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

RESULTS = Path(__file__).parent / "results" / "extraction.jsonl"
DIAMETERS_A, COVERAGES, FIELD_A, SEED = (90.0, 140.0, 250.0), (0.1, 0.2, 0.35), 1800.0, 11

COLUMNS = ("diameter A", "coverage", "SNR", "windows", "size A", "micrographs", "limit", "faint",
           "touching", "spectrum, worst ring", "of the noise", "standard error")  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """The noise of a micrograph, scaled as the micrograph, and where particles are."""

    noise: Tensor
    particles: Tensor


@dataclass(frozen=True)
class Spectra:
    """Per window: power of it, of the true noise in it, and of the true noise everywhere."""

    windows: Tensor
    noise: Tensor
    everywhere: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="general")
    parser.add_argument("--window", type=float, help="angstrom; by default what is found")
    parser.add_argument("--fields", type=int, default=6, help="micrographs per set")
    parser.add_argument("--pixel-size", type=float, default=1.5, help="angstrom")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.03, 0.1])
    parser.add_argument("--diameters", type=float, nargs="+", default=DIAMETERS_A)
    parser.add_argument("--coverages", type=float, nargs="+", default=COVERAGES)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    values: dict[str, Any] = {"per_micrograph": 100, "count": 100000}
    if arguments.window:
        values["windows_a"] = (arguments.window,)
    settings = ExtractionSettings(**values)
    table = Table(*COLUMNS)
    spectra: dict[int, list[Spectra]] = {}
    touching = total = 0
    for snr in arguments.snr:
        for diameter_a in arguments.diameters:
            for coverage in arguments.coverages:
                record = {"diameter_a": diameter_a, "coverage": coverage, "snr": snr,
                          "pixel_size_a": arguments.pixel_size, "version": __version__,
                          "model": arguments.model}  # fmt: skip
                with tempfile.TemporaryDirectory() as folder:
                    result, found = judge(Path(folder), record, model, settings, arguments.fields)
                if found is not None:
                    spectra.setdefault(result["size_px"], []).append(found)
                    touching += result["touching"]
                    total += result["windows"]
                append_record(arguments.results, record | result)
                table.add_row(*row(record | result))
                print(record | result, flush=True)
    Console(width=150).print(table)
    print(f"all sets: {touching} of {total} windows touch a particle")
    for size, parts in spectra.items():
        pooled = Spectra(*(torch.cat([getattr(p, n) for p in parts])
                           for n in ("windows", "noise", "everywhere")))  # fmt: skip
        print(f"all sets, {size} px:", ratios(pooled, size, model.pixel_size_a))


def judge(
    folder: Path,
    record: dict[str, Any],
    model: DenoiserModel,
    settings: ExtractionSettings,
    fields: int,
) -> tuple[dict[str, Any], Spectra | None]:
    """Simulate a set, extract, and compare with the truth."""
    truths = simulate_set(folder / "in", record, fields, model.pixel_size_a)
    try:
        summary = extract_noise(
            find_inputs([folder / "in"]),
            folder / "out",
            model,
            settings,
            ExtractOptions(device="cpu"),
        )
    except InputError as error:
        return {"refused": str(error)}, None
    size = summary.size_px
    touching, parts = 0, []
    windows = {name: [] for name in truths}
    with (folder / "out" / "windows.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            windows[line["micrograph"]].append((int(line["y_px"]), int(line["x_px"])))
    for name, corners in windows.items():
        truth = truths[name]
        scaled = torch.from_numpy(np.load(folder / "out" / "prepared" / f"{name}.npy")).float()
        if not corners:
            continue
        touching += sum(bool(cut(truth.particles, at, size).any()) for at in corners)
        rolling = truth.noise[10:-10, 10:-10].unfold(0, size, size // 2)
        everywhere = power(rolling.unfold(1, size, size // 2).flatten(0, 1)).mean(0)
        parts.append(
            Spectra(
                power(torch.stack([cut(scaled, at, size) for at in corners])),
                power(torch.stack([cut(truth.noise, at, size) for at in corners])),
                everywhere.expand(len(corners), -1),
            )
        )
    found = Spectra(*(torch.cat([getattr(p, n) for p in parts])
                      for n in ("windows", "noise", "everywhere")))  # fmt: skip
    result = {
        "windows": summary.windows,
        "size_px": size,
        "size_a": size * model.pixel_size_a,
        "micrographs": summary.micrographs,
        "limit": summary.evidence_limit,
        "warnings": summary.warnings,
        "contrast": [one.contrast for one in summary.per_micrograph],
        "touching": touching,
        **ratios(found, size, model.pixel_size_a),
    }
    return result, found


def simulate_set(
    folder: Path, record: dict[str, Any], fields: int, working_a: float
) -> dict[str, Truth]:
    """Write micrographs and return their truth at the working pixel size, by name."""
    pixel_a = record["pixel_size_a"]
    side = 2 * round(FIELD_A / pixel_a / 2)
    diameter_a, coverage = record["diameter_a"], record["coverage"]
    settings = SimulationSettings(
        pixel_size_a=pixel_a,
        shape=(side, side),
        specimen=SpecimenSettings(coverage=(coverage, coverage), empty=0, species_per_field=1),
        imaging=ImagingSettings(snr=record["snr"], carbon=0, contamination=0),
    )
    role = f"{diameter_a} {coverage} {record['snr']}"
    species = stream(SEED, f"species {diameter_a}")
    bank = procedural_bank(4, pixel_a, 16, (0.9 * diameter_a, 1.1 * diameter_a), species)
    truths = {}
    for index in range(fields):
        batch = simulate(
            bank, settings, 1, stream(SEED, role, index), stream(SEED, f"noise {role}", index)
        )
        name = f"m{index:03d}"
        write_micrograph(folder / f"{name}.mrc", batch.noisy[0].numpy(), pixel_a)
        scaling = prepare(batch.noisy[0], pixel_a, working_a).scaling
        noise = prepare(batch.noisy[0] - batch.clean[0], pixel_a, working_a)
        raw = noise.scaled * (noise.scaling.unit / scaling.unit)
        mask = particles(bank, settings, stream(SEED, role, index))
        shape = (raw.shape[0], raw.shape[1])
        covered = torch.nn.functional.adaptive_avg_pool2d(mask.float()[None, None], shape)[0, 0]
        truths[name] = Truth(raw, covered > 0.3)
    return truths


def particles(bank: Any, settings: SimulationSettings, generator: torch.Generator) -> Tensor:
    """Where the potential of a field is above a tenth of its greatest; draws as `simulate`."""
    margin = 2 * round(MARGIN_A / settings.pixel_size_a / 2)
    shape = (settings.shape[0] + 2 * margin, settings.shape[1] + 2 * margin)
    draw_parameters(settings.imaging, generator)
    field, _, _ = specimen_field(bank, shape, settings.pixel_size_a, settings.specimen, generator)
    field = field[margin:-margin, margin:-margin]
    return field > 0.1 * field.max()


def cut(image: Tensor, corner: tuple[int, int], size: int) -> Tensor:
    return image[corner[0] : corner[0] + size, corner[1] : corner[1] + size]


def power(windows: Tensor) -> Tensor:
    """Power per ring after a Hann taper, axes (n, ring)."""
    size = windows.shape[-1]
    taper = torch.hann_window(size, periodic=False)
    tapered = (windows - windows.mean((-2, -1), keepdim=True)) * taper[:, None] * taper
    return radial_power(tapered, 1.0, size // 2)[1]


def ratios(found: Spectra, size: int, pixel_size_a: float) -> dict[str, Any]:
    """Power of the windows over that of the true noise, per ring above 1/200 A."""
    frequency = (torch.arange(size // 2) + 0.5) / (size * pixel_size_a)
    rings = (frequency > 1 / 200) & (torch.arange(size // 2) > 0)
    expected = found.everywhere.mean(0)[rings]
    own, noise = found.windows[:, rings], found.noise[:, rings]
    error = (own / found.everywhere[:, rings]).std(0) / len(own) ** 0.5
    return {
        "frequency": frequency[rings].tolist(),
        "spectrum": (own.mean(0) / expected).tolist(),
        "of_noise": (noise.mean(0) / expected).tolist(),
        "error": error.tolist(),
    }


def row(result: dict[str, Any]) -> list[str]:
    start = [f"{result['diameter_a']:g}", f"{result['coverage']:g}", f"{result['snr']:g}"]
    if "refused" in result:
        return [*start, "refused"]
    worst = [max((r - 1 for r in result[key]), key=abs) for key in ("spectrum", "of_noise")]
    return [
        *start,
        str(result["windows"]),
        f"{result['size_a']:.0f}",
        str(result["micrographs"]),
        f"{result['limit']:g}",
        "yes" if any("faint" in text for text in result["warnings"]) else "",
        f"{100 * result['touching'] / result['windows']:.1f} %",
        *(f"{100 * value:+.1f} %" for value in worst),
        f"{100 * max(result['error']):.1f} %",
    ]


if __name__ == "__main__":
    main()
