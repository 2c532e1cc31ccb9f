"""Denoised images of a method on a set, made once and kept for every benchmark that judges them."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.fields import DataSet, Images, read
from benchmarks.quality.methods import Method

from nt2c.io.micrographs import write_micrograph
from nt2c.io.records import write_json

ABOUT = "made.json"


@dataclass(frozen=True)
class Denoised:
    """Images by shot, what was chosen for the set, and the seconds that it took."""

    images: Images
    chosen: dict[str, Any]
    seconds: float | None


def denoised(method: Method, data: DataSet, kept: Path, *, again: bool = False) -> Denoised:
    """Return the images of a method, from the folder `kept` if they are there.

    They are found by the method's key; a change to the code does not alter it: `again` makes them
    anew.
    """
    folder = kept / data.name / method.name / method.key(data)
    if (folder / ABOUT).is_file() and not again:
        made = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        images = {s.name: read(folder / f"{s.name}.mrc", 1.0)[0] for s in data.shots}
        return Denoised(images, made["chosen"], made["seconds"])
    start = time.perf_counter()
    images, chosen = method.run(data)
    result = Denoised(images, dict(chosen), time.perf_counter() - start)
    if method.keeps_images:
        return Denoised(images, result.chosen, None)
    for shot in data.shots:
        folder.mkdir(parents=True, exist_ok=True)
        image = images[shot.name]
        write_micrograph(folder / f"{shot.name}.mrc", image, shot.field.pixel_size_a)
    write_json(folder / ABOUT, {"chosen": result.chosen, "seconds": result.seconds})
    return result
