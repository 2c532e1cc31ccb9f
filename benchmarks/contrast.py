"""Contrast of simulated micrographs whose contrast is known, by both estimators.

    python benchmarks/contrast.py

Twenty fields for each SNR (variance of the signal over that of the noise, inside particles), with
other places and views than the clean fields that they are compared with. `sum`: k1 c' + noise, the
noise that of empty fields of the simulator, its windows from other empty fields. `camera`:
simulated whole at the contrast k1, counted by the camera and scaled like any micrograph, its
windows cut where the truth has no particle. Coverage and defocus are known, or drawn from 10-35 %
and 1-2.5 um both times: then chance makes the fields stronger or weaker. `spectral` (bar: 5 %) and
the scatter over the fields are relative to the true k1, as is `least_squares` of the simulator's
pairs, the published way; `paired` is the same regression with the truth of the very fields, which
no user has. One JSON line per row.
"""

import argparse
import math
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.core.version import __version__
from nt2c.imaging.scale import clip_outliers, fit_scaling
from nt2c.io.records import append_record
from nt2c.noise.transfer import (
    TransferSettings,
    estimate_contrast,
    least_squares_contrast,
    segments,
    transfer,
)
from nt2c.simulation.bank import Species, procedural_bank
from nt2c.simulation.micrograph import SimulatedBatch, simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings
from nt2c.training.pairs import scaled_pairs
from nt2c.training.transfer import particles_and_rest

RESULTS = Path(__file__).parent / "results" / "contrast.jsonl"
SNRS = (0.01, 0.03, 0.1, 0.3, 1.0)
FIELDS, CLEAN_FIELDS, WINDOW_PX = 20, 48, 64
PIXEL_A, DIAMETER_A, SIDE_PX, CLEAN_SIDE_PX = 4.0, 150.0, 768, 384
CONDITIONS = {
    "known": ((0.2, 0.2), (1.5, 1.5)),
    "drawn": ((0.1, 0.35), (1.0, 2.5)),
}  # coverage, defocus in um


def simulation(condition: str, side_px: int, gain: float = 1.0) -> SimulationSettings:
    """Particles of 150 A without contamination."""
    coverage, defocus_um = CONDITIONS[condition]
    specimen = SpecimenSettings(species_per_field=1, coverage=coverage, empty=0.0)
    imaging = ImagingSettings(
        defocus_um=defocus_um, b_factor_a2=(150.0, 150.0), dose_e_per_a2=(40.0, 40.0),
        ice_thickness_a=(400.0, 400.0), ice_gain=(0.2, 0.2), camera_pixel_size_a=(1.0, 1.0),
        detectors=("K3",), contrast_gain=(gain, gain), contamination=0.0, carbon=0.0,
        gradient=0.02,
    )  # fmt: skip
    return SimulationSettings(
        pixel_size_a=PIXEL_A, shape=(side_px, side_px), specimen=specimen, imaging=imaging
    )


def draw(
    bank: list[Species], settings: SimulationSettings, count: int, role: str, seed: int
) -> list[SimulatedBatch]:
    return [
        simulate(
            bank, settings, 1, stream(seed, f"{role} place", i), stream(seed, f"{role} noise", i)
        )
        for i in range(count)
    ]


def distances_px(batch: SimulatedBatch) -> Tensor:
    """Distance of each pixel (y, x) from the nearest particle's centre."""
    line = torch.arange(SIDE_PX)
    centres = batch.coordinates_px[0]
    result = torch.full((SIDE_PX, SIDE_PX), float("inf"))
    for y, x in centres.tolist():
        result = torch.minimum(result, torch.hypot((line - y)[:, None], (line - x)[None]))
    return result


def free_windows(image: Tensor, distance_px: Tensor) -> list[Tensor]:
    """Squares of an image, side by side at the most, that no particle's disc touches."""
    free = distance_px > DIAMETER_A / PIXEL_A / 2
    found = []
    for y in range(0, SIDE_PX - WINDOW_PX + 1, 8):
        for x in range(0, SIDE_PX - WINDOW_PX + 1, 8):
            window = (slice(y, y + WINDOW_PX), slice(x, x + WINDOW_PX))
            if bool(free[window].all()):
                found.append(image[window])
                free[window] = False
    return found


def sigma(batch: SimulatedBatch) -> float:
    return float(fit_scaling(clip_outliers(batch.noisy), PIXEL_A).sigma)


def measure(condition: str, kind: str, seed: int, snrs: tuple[float, ...]) -> None:
    """One record for each SNR."""
    settings = simulation(condition, SIDE_PX)
    empty = settings.replace(specimen=settings.specimen.replace(empty=1.0))
    diameters = (DIAMETER_A, DIAMETER_A)
    bank = procedural_bank(1, PIXEL_A, 48, diameters, stream(seed, "species"))
    reference = draw(bank, simulation(condition, CLEAN_SIDE_PX), CLEAN_FIELDS, "clean", seed)
    clean = torch.cat([particles_and_rest(b, PIXEL_A)[0] for b in reference])
    noisy = torch.cat([scaled_pairs(b, PIXEL_A).noisy[:, 0] for b in reference])
    others = draw(bank, settings, FIELDS, "real", seed)
    truth = torch.cat([particles_and_rest(b, PIXEL_A)[0] for b in others])
    inside = torch.stack([distances_px(b) <= DIAMETER_A / PIXEL_A / 2 for b in others])
    noise, spare = (
        torch.cat([
            scaled_pairs(b, PIXEL_A).noisy[:, 0] for b in draw(bank, empty, FIELDS, role, seed)
        ])
        for role in ("noise", "windows")
    )  # fmt: skip
    signal = float(truth[inside].var() / noise.var())
    for snr in snrs:
        k1 = true_k1 = math.sqrt(snr / signal)
        real = transfer(truth, noise, k1, 1.0)
        windows = torch.cat([segments(field, WINDOW_PX, WINDOW_PX) for field in spare])
        if kind == "camera":
            seen = draw(bank, simulation(condition, SIDE_PX, k1), FIELDS, "real", seed)
            real = torch.cat([scaled_pairs(b, PIXEL_A).noisy[:, 0] for b in seen])
            windows = torch.stack(
                [
                    w
                    for b, f in zip(seen, real, strict=True)
                    for w in free_windows(f, distances_px(b))
                ]
            )
            # Each field is divided by its own noise level, which strong signal raises a little.
            true_k1 = k1 * fmean(map(sigma, reference)) / fmean(map(sigma, seen))
        found = estimate_contrast(list(real), windows, clean, noisy, PIXEL_A, TransferSettings())
        own = torch.tensor(found.per_micrograph)
        record = {
            "version": __version__, "kind": kind, "conditions": condition, "seed": seed, "snr": snr,
            "k1": true_k1, "windows": len(windows), "spectral": found.spectral / true_k1,
            "mean_of_fields": float(own.mean()) / true_k1,
            "scatter_of_fields": float(own.std()) / true_k1,
            "gain": found.gain, "true_gain": float(noise.std()),
            "least_squares": found.least_squares[0] / true_k1,
        }  # fmt: skip
        if kind == "sum":
            record["paired"] = least_squares_contrast(real, truth, noise.roll(1, 0))[0] / true_k1
        append_record(RESULTS, record)
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{v}"
                        for k, v in record.items()), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--snr", type=float, nargs="+", default=SNRS)
    options = parser.parse_args()
    for kind in ("sum", "camera"):
        for condition in CONDITIONS:
            for seed in range(options.seeds):
                measure(condition, kind, seed, tuple(options.snr))


if __name__ == "__main__":
    main()
