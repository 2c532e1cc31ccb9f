"""Small parts of the images, kept so that pictures can be drawn; no record of a real one."""

import os
from pathlib import Path

import numpy as np
import torch
from benchmarks.about import OUTPUTS
from benchmarks.quality.fields import Array, DataSet, Images

from nt2c.imaging.fourier import resize
from nt2c.io.files import atomic_path

FOLDER = OUTPUTS / "crops"
SHOWN = ("raw", "gaussian", "topaz-unet", "nt2c", "nt2c fit")
FIELD = {  # of each set, the field shown
    "empiar10146": "May08_03.05.02",
    "sim_thirdparty": "tubulin_1024_1",
    "own": "140A_snr0.05_2.8um",
    "ice": "ice_03",
    "modulated": "modulated_03",
    "lowdose_tem_pairs": "val_0001",
    "leginon_ccd": "pair_test1",
}
SIDE_A, SHOWN_PIXEL_A = 960.0, 4.0


def keep(data: DataSet, method: str, images: Images, folder: Path = FOLDER) -> None:
    """Keep the middle of one field at 4 A, as float16 less its median, and that of its truth.

    In place of a truth there is the other exposure, where it is no noisier.
    """
    if method not in SHOWN or data.name not in FIELD:
        return
    field = next(f for f in data.fields if f.name == FIELD[data.name])
    parts = {method: images[field.name]}
    if method == "raw" and data.judge == "truth":
        parts["truth"] = field.reference
    elif method == "raw" and field.partner is not None:
        parts["other exposure"] = field.reference
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in parts.items():
        with atomic_path(folder / f"{data.name}-{name.replace(' ', '_')}.npy") as temporary:
            with open(temporary, "wb") as file:
                np.save(file, middle(image, field.pixel_size_a))
                os.fsync(file.fileno())


def middle(image: Array, pixel_size_a: float) -> Array:
    side = min(2 * round(SIDE_A / pixel_size_a / 2), *image.shape)
    top, left = ((n - side) // 2 for n in image.shape)
    centred = np.float32(image) - np.float32(np.median(image))
    part = np.ascontiguousarray(centred[top : top + side, left : left + side])
    shown = 2 * round(side * pixel_size_a / SHOWN_PIXEL_A / 2)
    return resize(torch.from_numpy(part), (shown, shown)).numpy().astype(np.float16)
