"""Make docs/images/apoferritin.png: part of a real micrograph, raw, blurred and denoised.

    python scripts/readme_picture.py [--data ../shared/data] [--model general]

The micrograph is one of EMPIAR-10146 (apoferritin, CC0), which no model here was trained on.
"""

import argparse
from pathlib import Path

import mrcfile
import numpy as np

from nt2c.denoising.denoiser import denoise, load_model
from nt2c.evaluation.filters import gaussian
from nt2c.report.figures import Panel, grey_limits, strip

ROOT = Path(__file__).resolve().parent.parent
GAUSSIAN_SIGMA_PX = 4.0  # the best of all widths on this data set
SIDE_PX = 560


def main():
    """Parse the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--model", default="general")
    parser.add_argument("--field", type=int, default=0, help="which of the micrographs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/apoferritin.png")
    arguments = parser.parse_args()
    files = sorted((arguments.data / "empiar10146/micrographs").glob("*.mrc"))
    with mrcfile.open(files[arguments.field]) as mrc:
        raw, pixel_size_a = mrc.data.astype(np.float32), float(mrc.voxel_size.x)
    images = {
        "raw micrograph": raw,
        "Gaussian blur": gaussian(raw, GAUSSIAN_SIGMA_PX),
        "nt2c": denoise(raw, pixel_size_a, load_model(arguments.model)),
    }
    top, left = ((side - SIDE_PX) // 2 for side in raw.shape)
    parts = {
        title: (image - np.median(image))[top : top + SIDE_PX, left : left + SIDE_PX]
        for title, image in images.items()
    }
    limits = grey_limits(parts["nt2c"], sigmas=3.5)
    panels = [
        Panel(title, part, grey_limits(part) if part is parts["raw micrograph"] else limits)
        for title, part in parts.items()
    ]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_bytes(strip(panels, limits))
    print(f"{arguments.output}: {files[arguments.field].name}")


if __name__ == "__main__":
    main()
