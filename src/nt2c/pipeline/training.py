"""The stages that use what was learned: contrast of the particles, and the final denoiser."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.inference.denoiser import load_model
from nt2c.io.records import read_records, write_json
from nt2c.io.weights import write_weights
from nt2c.noise.samplers import ColouredNoise
from nt2c.noise.transfer import Contrast
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.judging import noise_left
from nt2c.pipeline.learning import SAMPLER, Split, split_windows
from nt2c.pipeline.specimen import species_from_file
from nt2c.pipeline.window_files import load_prepared, prepared_paths
from nt2c.simulation.bank import Species
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.denoiser import train_denoiser, training_device
from nt2c.training.loop import LOG
from nt2c.training.processes import join
from nt2c.training.recorrupted import RealCrops, unlike_one_noise
from nt2c.training.sampler_files import load_sampler, write_sampler
from nt2c.training.settings import RecorruptedSettings
from nt2c.training.transfer import TransferSource, measure_contrast

CONTRAST = "contrast.json"
MODEL = "model.safetensors"
EXAMPLES = "examples.npy"
OWN_NOISE = "own_noise.safetensors"
_EXAMPLE_COUNT = 8
_WITHOUT = "trained on simulated particles alone, and not on the micrographs themselves too: {}"


@dataclass(frozen=True)
class Earlier:
    """Folders of the stages before the training."""

    windows: Path
    noise: Path
    contrast: Path


def find_contrast(job: FitJob, windows: Path, folder: Path) -> Mapping[str, Any]:
    """Measure how strong the particles of the micrographs are; leave that in `folder`."""
    recipe = job.recipe
    contrast = measure_contrast(
        prepared_micrographs(windows),
        split_windows(windows).learn,
        _simulation(job),
        recipe.pairs,
        recipe.transfer,
        seed=recipe.seed,
        device=training_device(job.device),
        species=_species(job),
    )
    record = _rounded(contrast.to_record())
    write_json(folder / CONTRAST, record)
    return record


def _rounded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Cut numbers to six digits: the last bits of large sums differ from run to run."""

    def cut(value: Any) -> Any:
        if isinstance(value, list):
            return [cut(item) for item in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return {key: cut(value) for key, value in record.items()}


def train_final(job: FitJob, earlier: Earlier, folder: Path, watch: Watch) -> Mapping[str, Any]:
    """Train the denoiser on transferred pairs; leave it and noisy examples of them in `folder`.

    Processes that train together all train; only the first one leaves and returns something.
    """
    split = split_windows(earlier.windows)
    settings = job.recipe.denoiser(job.coarse.network.settings, job.coarse.pixel_size_a)
    source = _source(job, earlier)
    real, without = _real_crops(job, earlier.windows, split, folder)
    if real is None:
        settings = settings.replace(recorrupted=RecorruptedSettings())
    model = train_denoiser(
        settings,
        folder,
        device=job.device,
        on_step=lambda step, loss: watch.advance(step, loss=loss),
        source=source,
        start=job.coarse if job.recipe.network is None else None,
        real=real,
        windows=split.judge,
    )
    if not join(job.device).first:
        return {}
    examples = torch.cat([source.fields(draw, 1).noisy[0] for draw in range(_EXAMPLE_COUNT)])
    np.save(folder / EXAMPLES, examples.half().cpu().numpy())
    write_weights(folder / MODEL, *model.to_tensors())
    written = load_model(folder / MODEL)
    return read_records(folder / LOG)[-1] | {
        "noise_left": asdict(noise_left(written, earlier.windows, job.device)),
        "noise_left_before": asdict(noise_left(job.coarse, earlier.windows, job.device)),
        "precision": model.metadata["precision"],
        "on_micrographs": real is not None,
        "warnings": [without] if without else [],
    }


def _real_crops(
    job: FitJob, micrographs: Path, split: Split, folder: Path
) -> tuple[RealCrops | None, str]:
    """Crops of the micrographs themselves to train on too; or why there are none, where asked.

    The noise that is added to them is kept in `folder`: fitted again elsewhere it would differ in
    its last bits, and a run that goes on must be the same.
    """
    recipe, path, windows = job.recipe, folder / OWN_NOISE, split.learn
    if not recipe.recorrupted.weight:
        return None, ""

    def keep_noise() -> str:
        reason = unlike_one_noise(windows, split.learn_groups)
        if not reason and not path.exists():
            write_sampler(path, ColouredNoise.fit(windows, split.learn_groups), split.pixel_size_a)
        return reason

    reason = join(job.device).lead(keep_noise)
    if reason:
        return None, _WITHOUT.format(f"{reason}, and would be taken for signal")
    images, noise = prepared_micrographs(micrographs), load_sampler(path, split.pixel_size_a)
    try:
        crops = RealCrops(
            images,
            noise,
            round(float(windows.double().std()), 6),  # its last bits depend on the threads
            recipe.pairs.crop_px,
            recipe.recorrupted,
            recipe.seed,
            training_device(job.device),
        )
    except InputError as error:  # all are smaller than a crop
        return None, _WITHOUT.format(error)
    return crops, ""


def prepared_micrographs(windows: Path) -> list[Tensor]:
    """Micrographs (y, x) that the extraction kept, in units of their noise."""
    return [load_prepared(path) for path in prepared_paths(windows)]


def _simulation(job: FitJob) -> SimulationSettings:
    return job.recipe.simulation.replace(pixel_size_a=job.coarse.pixel_size_a)


def _species(job: FitJob) -> list[Species]:
    views = job.recipe.simulation.specimen.views
    return [
        species_from_file(
            path, job.coarse.pixel_size_a, views, stream(job.recipe.seed, "structures", index)
        )
        for index, path in enumerate(job.structures)
    ]


def _source(job: FitJob, earlier: Earlier) -> TransferSource:
    recipe = job.recipe
    stored = json.loads((earlier.contrast / CONTRAST).read_text(encoding="utf-8"))
    return TransferSource(
        _simulation(job),
        recipe.pairs,
        recipe.transfer,
        Contrast.from_record(stored),
        load_sampler(earlier.noise / SAMPLER, job.coarse.pixel_size_a),
        recipe.seed,
        training_device(job.device),
        species=_species(job),
    )
