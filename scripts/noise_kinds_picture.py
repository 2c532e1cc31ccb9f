"""Make docs/images/noise-kinds.png: one simulated field for each kind of noise of the simulator.

python scripts/noise_kinds_picture.py
"""

import argparse
from pathlib import Path
from typing import get_args

import torch
from matplotlib import pyplot as plt

from nt2c.core.random import stream
from nt2c.imaging.scale import clip_outliers, fit_scaling
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import (
    ImagingSettings,
    NoiseKind,
    NoiseSettings,
    SimulationSettings,
    SpecimenSettings,
)

KINDS = get_args(NoiseKind)

ROOT = Path(__file__).resolve().parent.parent
SEED = 3
PIXEL_A = 4.0


def main():
    """Draw the same specimen under each kind of noise alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/noise-kinds.png")
    output = parser.parse_args().output
    bank = procedural_bank(3, PIXEL_A, 32, (120.0, 250.0), stream(SEED, "species"))
    figure, rows = plt.subplots(2, 4, figsize=(12, 6.3))
    for axes, kind in zip(rows.flat, ("counts and thin ice", *KINDS), strict=True):
        settings = SimulationSettings(
            pixel_size_a=PIXEL_A,
            shape=(320, 320),
            specimen=SpecimenSettings(coverage=(0.2, 0.2), empty=0.0, species_per_field=1),
            imaging=ImagingSettings(contamination=0, carbon=0, contrast_gain=(2.0, 2.0)),
            noise=NoiseSettings(
                share=float(kind in KINDS), kinds=(kind,) if kind in KINDS else KINDS
            ),
        )
        made = simulate(bank, settings, 1, stream(SEED, "placement"), stream(SEED, "noise"))
        image = clip_outliers(made.noisy)
        scaled = fit_scaling(image, PIXEL_A).apply(image)[0]
        low, high = torch.quantile(scaled.flatten(), torch.tensor([0.005, 0.995])).tolist()
        axes.imshow(scaled, cmap="gray", vmin=low, vmax=high)
        axes.set_title(kind, fontsize=11)
        axes.set_axis_off()
    figure.tight_layout()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=80)
    print(output)


if __name__ == "__main__":
    main()
