"""The stages that use what was learned: contrast of the particles, and the final denoiser."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nt2c.core.device import choose_device
from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.denoising.denoiser import load_model
from nt2c.io.records import checked, read_json, read_records, write_json
from nt2c.io.weights import write_weights
from nt2c.models.denoiser import DenoiserModel
from nt2c.noise.samplers import BootstrapNoise, NoiseSampler
from nt2c.noise.transfer import Contrast, TransferSettings
from nt2c.pipeline.budget import decided_steps, steps_within
from nt2c.pipeline.choosing import (
    FIELDS,
    FITTED,
    GIVEN,
    HALF,
    MICROGRAPHS,
    START,
    blended,
    choose,
    errors_on_fields,
    errors_on_micrographs,
)
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.judging import noise_left
from nt2c.pipeline.learning import SAMPLER, Split, split_windows
from nt2c.pipeline.own_noise import (
    keep_own_noise,
    noisy_micrographs,
    prepared_micrographs,
    taught,
)
from nt2c.pipeline.records import ChoiceRecord, ContrastRecord, TrainingRecord
from nt2c.pipeline.settings import FitRecipe
from nt2c.pipeline.specimen import species_from_file
from nt2c.simulation.bank import Species
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.denoiser import Material, measure_pace, train_denoiser
from nt2c.training.loop import LOG
from nt2c.training.processes import join
from nt2c.training.recorrupted import NoisyMicrograph, RealCrops
from nt2c.training.sampler_files import load_sampler
from nt2c.training.settings import Recipe
from nt2c.training.transfer import FieldsLikeReal, TransferSource, measure_contrast

CONTRAST = "contrast.json"
MODEL = "model.safetensors"
EXAMPLES = "examples.npy"
_EXAMPLE_COUNT = 8
_WITHOUT = "trained on simulated particles alone, and not on the micrographs themselves too: {}"


@dataclass(frozen=True)
class Earlier:
    """Folders of the stages before the training."""

    windows: Path
    noise: Path
    contrast: Path


def find_contrast(job: FitJob, windows: Path, folder: Path) -> ContrastRecord:
    """Measure how strong the particles of the micrographs are; leave that in `folder`."""
    recipe = job.recipe
    contrast = measure_contrast(
        prepared_micrographs(windows),
        split_windows(windows).learn,
        _simulation(job),
        recipe.pairs,
        recipe.transfer,
        seed=recipe.seed,
        device=choose_device(job.device),
        species=_species(job),
    )
    # Cut to six digits: the last bits of large sums differ from run to run.
    record = {name: _cut(value) for name, value in asdict(contrast).items()}
    write_json(folder / CONTRAST, record)
    return ContrastRecord.of(record, folder / CONTRAST)


def _cut(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_cut, value))
    return float(f"{value:.6g}") if isinstance(value, float) else value


def train_final(
    job: FitJob, earlier: Earlier, folder: Path, watch: Watch, seconds: float | None = None
) -> TrainingRecord | None:
    """Train the denoiser on transferred pairs; leave the best of it and of what it started from,
    and noisy examples of the pairs, in `folder`.

    With `seconds` the whole takes that long, in place of the recipe's steps. Processes that train
    together all train; only the first one leaves and returns something.
    """
    started = time.monotonic()
    split = split_windows(earlier.windows)
    own = _own_micrographs(job, earlier.windows, split, folder)
    if own.crops is None:
        job = replace(job, recipe=_simulated_alone(job.recipe))
    settings = job.recipe.denoiser(job.coarse.network.settings, job.coarse.pixel_size_a)
    sampler = load_sampler(earlier.noise / SAMPLER, job.coarse.pixel_size_a)
    source = _source(job, earlier, sampler, job.recipe.transfer)
    trained_on = job.recipe.network is None
    material = Material(source, job.coarse if trained_on else None, own.crops, split.judge)
    if seconds is not None:
        left = seconds - (time.monotonic() - started)
        steps = _steps_within(left, job, settings, material, earlier, folder, own.micrographs)
        settings = settings.replace(optimizer=settings.optimizer.scaled_to(steps))
        watch.expect(steps)
    model = train_denoiser(
        settings,
        folder,
        material,
        device=job.device,
        on_step=lambda step, loss: watch.advance(step, loss=loss),
    )
    if not join(job.device).first:
        return None
    precision, choice = model.metadata["precision"], None
    if trained_on:
        model, choice = _best(job, earlier, split, model, own.micrographs)
    examples = torch.cat([source.fields(draw, 1).noisy[0] for draw in range(_EXAMPLE_COUNT)])
    np.save(folder / EXAMPLES, examples.half().cpu().numpy())
    write_weights(folder / MODEL, *model.to_tensors())
    written = load_model(folder / MODEL)
    record = read_records(folder / LOG)[-1] | {
        "precision": precision,
        "steps": settings.optimizer.steps,
        **({"choice": choice} if choice else {}),
        "noise_left": noise_left(written, earlier.windows, job.device),
        "noise_left_before": noise_left(job.coarse, earlier.windows, job.device),
        "on_micrographs": own.crops is not None,
        "warnings": own.warnings,
    }
    return TrainingRecord.of(record, folder)


def _simulated_alone(recipe: FitRecipe) -> FitRecipe:
    """A recipe without micrographs to train on: simulated crops take the place of theirs."""
    recorrupted = recipe.recorrupted
    if not recorrupted.weight:
        return recipe
    return recipe.replace(
        pairs=recipe.pairs.replace(batch=recipe.pairs.batch + recorrupted.batch),
        recorrupted=recorrupted.replace(weight=0.0),
    )


def _steps_within(
    seconds: float,
    job: FitJob,
    settings: Recipe,
    material: Material,
    earlier: Earlier,
    folder: Path,
    micrographs: Sequence[NoisyMicrograph],
) -> int:
    """Steps of the training such that it, and what follows, takes so many seconds."""
    trained_on = material.start is not None
    count = settings.pairs.validation_fields
    windows_px = 0 if material.windows is None else material.windows.numel()
    fields_px = count * math.prod(settings.simulation.shape)

    def decide() -> int:
        started = time.monotonic()
        pace = measure_pace(settings, material, device=job.device)
        prepared = prepared_micrographs(earlier.windows)
        noise_left_px = 2 * sum(image.numel() for image in prepared)
        candidates = (3 if job.given is None else 4) if trained_on else 0
        own_px = sum(one.image.numel() for one in micrographs)
        return steps_within(
            seconds - (time.monotonic() - started),
            pace,
            fields=(3 if trained_on else 2) * count + _EXAMPLE_COUNT,
            judged_px=candidates * (fields_px + own_px) + noise_left_px,
            validated_px=2 * fields_px + windows_px,
            validate_every=settings.optimizer.validate_every,
        )

    return decided_steps(folder, decide, join(job.device))


def _best(
    job: FitJob,
    earlier: Earlier,
    split: Split,
    fitted: DenoiserModel,
    micrographs: Sequence[NoisyMicrograph],
) -> tuple[DenoiserModel, ChoiceRecord]:
    """The best of the fitted model and of those it started from, on data held out from it."""
    recipe = job.recipe
    candidates = {FITTED: fitted, HALF: blended(fitted, job.coarse), START: job.coarse}
    if job.given is not None:
        candidates[GIVEN] = job.given
    real_noise = BootstrapNoise.fit(split.judge, split.judge_groups)
    exact = recipe.transfer.replace(spectrum_spread=0.0, simulated_share=0.0)
    fields = _source(job, earlier, real_noise, exact).held_out_fields(
        recipe.pairs.validation_fields, job.coarse.network.stride
    )
    floor, device = recipe.pairs.loss_floor, job.device
    errors = {
        FIELDS: {
            name: errors_on_fields(model, fields, floor, device)
            for name, model in candidates.items()
        }
    }
    if micrographs:
        strength = recipe.recorrupted.strength
        errors[MICROGRAPHS] = {
            name: errors_on_micrographs(
                model, micrographs, strength, floor, seed=recipe.seed, device=device
            )
            for name, model in candidates.items()
        }
    choice = choose(errors, GIVEN if GIVEN in candidates else START)
    metadata = fitted.metadata | {"choice": choice.model_dump()}
    return DenoiserModel(candidates[choice.taken].network, fitted.pixel_size_a, metadata), choice


@dataclass(frozen=True)
class _Own:
    """Crops of the micrographs themselves, if any, the micrographs, and what to tell of them."""

    crops: RealCrops | None
    micrographs: list[NoisyMicrograph]
    warnings: tuple[str, ...] = ()


def _own_micrographs(job: FitJob, windows: Path, split: Split, folder: Path) -> _Own:
    """Micrographs to train on and to judge by without truth, where the recipe asks for it."""
    recipe = job.recipe
    if not recipe.recorrupted.weight:
        return _Own(None, [])
    reason = join(job.device).lead(lambda: keep_own_noise(split, folder))
    if reason:
        return _Own(None, [], (_WITHOUT.format(f"{reason}, and would be taken for signal"),))
    found, left_out = noisy_micrographs(windows, split, folder)
    if not found:
        return _Own(None, [], (_WITHOUT.format(left_out),))
    warnings = (f"not trained on all micrographs: {left_out}",) if left_out else ()
    try:
        crops = RealCrops(
            [replace(one, image=taught(one.image)) for one in found],
            recipe.pairs.crop_px,
            recipe.recorrupted,
            recipe.seed,
            choose_device(job.device),
        )
    except InputError as error:  # all are smaller than a crop
        return _Own(None, found, (*warnings, _WITHOUT.format(error)))
    return _Own(crops, found, warnings)


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


def _source(
    job: FitJob, earlier: Earlier, sampler: NoiseSampler, transfer: TransferSettings
) -> TransferSource:
    recipe = job.recipe
    path = earlier.contrast / CONTRAST
    made_of = FieldsLikeReal(
        _simulation(job), transfer, checked(Contrast, read_json(path), path), sampler, _species(job)
    )
    return TransferSource(made_of, recipe.pairs, recipe.seed, choose_device(job.device))
