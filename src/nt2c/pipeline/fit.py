"""From a user's micrographs to their own model: windows, contrast, noise, training.

Each stage is a folder of the run (see `stages`); what a later stage needs it reads from there. The
model is copied to the top of the folder, and `fit.json` says how it came about.

A coarse model that never saw such noise takes the noisier places for signal, and finds windows that
are too quiet. A short first round, whose model finds the windows anew, mends that.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nt2c.batch.stamps import model_fingerprint
from nt2c.core.version import __version__
from nt2c.denoising.denoiser import load_model
from nt2c.io.files import atomic_path
from nt2c.io.records import write_json
from nt2c.pipeline import verdicts
from nt2c.pipeline.extract import FileOutcome, extract_noise
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.learning import SAMPLER, learn_noise
from nt2c.pipeline.options import ExtractOptions
from nt2c.pipeline.records import (
    ContrastRecord,
    FitRecord,
    NoiseRecord,
    SkippedRecord,
    StageRecord,
    TrainingRecord,
    WindowsRecord,
)
from nt2c.pipeline.stages import Outcome, Stage, finished, run_stage
from nt2c.pipeline.training import CONTRAST, MODEL, Earlier, find_contrast, train_final
from nt2c.training.processes import Team, join

RECORD = "fit.json"
FIRST = "first"
"""Folder of the first round, and the word before the names of its stages."""

WINDOWS, NOISE, CONTRAST_STAGE, TRAINING = "windows", "noise", "contrast", "training"


@dataclass(frozen=True)
class FitResult:
    """The model file, and what `fit.json` says of it."""

    model: Path
    record: FitRecord

    @property
    def failed(self) -> tuple[str, ...]:
        """A message for each input that could not be used."""
        return self.record.windows.failed


Work = Callable[[Path], StageRecord | None]


def fit(job: FitJob, watch: Watch) -> FitResult:
    """Do the stages that are missing or changed, and leave `model.safetensors` in the folder.

    The caller holds the lock of the folder (`stages.locked`). Processes that a launcher started
    together, all of which see the folder, train together; the first one does all else.

    Raises
    ------
    InputError
        No micrograph can be used, too few particle-free windows are found, or a file of a
        structure or a mask is no such thing.
    SettingsError
        The folder holds files of others, the device is not there, a batch cannot be shared by the
        processes, or the recipe asks for another pixel size than the coarse model's.
    """
    job.recipe.check_pixel_size(job.coarse.pixel_size_a)
    for note in job.notes:
        watch.warn(note)
    if job.structures:
        watch.warn(
            "a model that learns your particle may show it where there is none (reference bias): "
            "do not pick on its output alone"
        )
    progress = _Progress(watch, join(job.device))
    progress.team.check_batch("pairs.batch", job.recipe.pairs.batch)
    if job.recipe.recorrupted.weight:
        progress.team.check_batch("recorrupted.batch", job.recipe.recorrupted.batch)
    final = job
    if job.recipe.first_steps:
        folder, recipe = job.folder / FIRST, job.recipe.first_round()
        share = job.recipe.first_steps / (job.recipe.first_steps + job.recipe.optimizer.steps)
        first = replace(job, folder=folder, recipe=recipe)
        found = _round(first, progress, f"{FIRST} ", share)
        final = replace(job, coarse=load_model(found / MODEL), given=job.coarse)
    training = _round(final, progress)
    model, record = job.folder / MODEL, _record(job, progress)
    if progress.team.first:
        with atomic_path(model) as temporary:
            shutil.copyfile(training / MODEL, temporary)
        write_json(job.folder / RECORD, record)
    return FitResult(model, FitRecord.of(record, job.folder / RECORD))


class _Progress:
    """Does stages, tells of them, and remembers what came out of each."""

    def __init__(self, watch: Watch, team: Team) -> None:
        self.watch = watch
        self.team = team
        self.done: dict[str, Outcome] = {}
        self.said: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """What the stages so far have taken, in whatever run they were done."""
        return sum(outcome.seconds for outcome in self.done.values())

    def do(
        self,
        name: str,
        kind: type[StageRecord],
        stage: Stage,
        work: Work,
        total: int | None,
        *,
        together: bool = False,
    ) -> Outcome:
        """Do a stage unless it is done, and tell what the record that is of a `kind` says.

        `total` is None where the work itself finds out how much there is to do.

        Where processes train together, all of them do the work that is done `together`, but what
        counts is what the first one leaves.
        """
        if not self.team.lead(lambda: finished(stage)):
            self.watch.begin(name, total)
            if together and not self.team.first:
                work(stage.folder)
        outcome = self.team.lead(lambda: run_stage(stage, work))
        record = kind.of(outcome.record, stage.folder)
        said = verdicts.say(record)
        self.watch.verdict(name, said, outcome.seconds, reused=outcome.reused)
        for warning in record.warnings:
            self.watch.warn(warning)
        self.done[name], self.said[name] = outcome, said
        return outcome


def _round(job: FitJob, progress: _Progress, prefix: str = "", share: float = 1.0) -> Path:
    """Do the four stages in the folder of the job; return that of the training.

    Where the fit has a time, the training takes a share of what is left of it.
    """
    recipe, watch = job.recipe, progress.watch
    windows = progress.do(
        prefix + WINDOWS,
        WindowsRecord,
        _windows_stage(job),
        lambda f: _extract(job, f, watch),
        min(len(job.inputs), recipe.extraction.micrographs),
    )
    contrast = progress.do(
        prefix + CONTRAST_STAGE,
        ContrastRecord,
        _contrast_stage(job, windows),
        lambda f: find_contrast(job, job.folder / WINDOWS, f),
        1,
    )
    noise = progress.do(
        prefix + NOISE,
        NoiseRecord,
        _noise_stage(job, windows),
        lambda f: learn_noise(job, job.folder / WINDOWS, f, watch),
        recipe.synthesizer.optimizer.steps if recipe.noise == "wgan" else 1,
        together=recipe.noise == "wgan",
    )
    earlier = Earlier(*(job.folder / name for name in (WINDOWS, NOISE, CONTRAST_STAGE)))
    seconds = share * (job.time_s - progress.seconds) if job.time_s is not None else None
    progress.do(
        prefix + TRAINING,
        TrainingRecord,
        _training_stage(job, [windows, noise, contrast]),
        lambda f: train_final(job, earlier, f, watch, seconds),
        None if seconds is not None else recipe.optimizer.steps,
        together=True,
    )
    return job.folder / TRAINING


def _windows_stage(job: FitJob) -> Stage:
    masks = sorted(job.masks.iterdir()) if job.masks else []
    return Stage(
        job.folder / WINDOWS,
        {
            "extraction": job.recipe.extraction.model_dump(mode="json"),
            "seed": job.recipe.seed,
            "pixel_size_a": job.pixel_size_a,
            "star_pixel_sizes_a": [item.star_pixel_size_a for item in job.inputs],
            "coarse": model_fingerprint(job.coarse),
        },
        inputs=[*(item.path for item in job.inputs), *masks],
        outputs=("windows.npy", "windows.csv", "summary.json"),
        code=("denoising", "windows"),
    )


def _noise_stage(job: FitJob, windows: Outcome) -> Stage:
    recipe = job.recipe
    settings: dict[str, Any] = {"noise": recipe.noise, "seed": recipe.seed}
    if recipe.noise == "wgan":
        settings["synthesizer"] = recipe.synthesizer.model_dump(mode="json")
    return Stage(
        job.folder / NOISE, settings, after=[windows.key], outputs=(SAMPLER,), code=("noise",)
    )


def _signal_settings(job: FitJob) -> dict[str, Any]:
    wanted = {"seed", "transfer", "simulation", "pairs"}
    return job.recipe.model_dump(mode="json", include=wanted) | {
        "pixel_size_a": job.coarse.pixel_size_a
    }


def _contrast_stage(job: FitJob, windows: Outcome) -> Stage:
    return Stage(
        job.folder / CONTRAST_STAGE,
        _signal_settings(job),
        inputs=job.structures,
        after=[windows.key],
        outputs=(CONTRAST,),
        code=("contrast",),
    )


def _training_stage(job: FitJob, earlier: Sequence[Outcome]) -> Stage:
    recipe = job.recipe
    settings = _signal_settings(job) | recipe.model_dump(
        mode="json", include={"name", "network", "recorrupted", "optimizer"}
    )
    settings["coarse"] = model_fingerprint(job.coarse)
    settings["time_s"] = job.time_s
    settings["given"] = model_fingerprint(job.given) if job.given else None
    return Stage(
        job.folder / TRAINING,
        settings,
        inputs=job.structures,
        after=[outcome.key for outcome in earlier],
        outputs=(MODEL,),
        code=("training",),
    )


def _record(job: FitJob, progress: _Progress) -> dict[str, Any]:
    return {
        "version": __version__,
        "recipe": job.recipe.model_dump(mode="json"),
        "coarse": {
            "name": job.coarse.name,
            "fingerprint": model_fingerprint(job.coarse),
        },
        "inputs": [str(item.path.absolute()) for item in job.inputs],
        "notes": list(job.notes),
        "time_s": job.time_s,
        "structures": [str(path) for path in job.structures],
        "device": job.device,
        "threads": torch.get_num_threads(),
        "stages": {
            name: {
                "verdict": progress.said[name],
                "seconds": outcome.seconds,
                "done_before": outcome.reused,
                **outcome.record,
            }
            for name, outcome in progress.done.items()
        },
    }


def _extract(job: FitJob, folder: Path, watch: Watch) -> WindowsRecord:
    """Find particle-free windows; leave them in `folder`."""
    done = 0

    def tell(outcome: FileOutcome) -> None:
        nonlocal done
        done += 1
        watch.advance(done, outcome.path.name)

    summary = extract_noise(
        job.inputs,
        folder,
        job.coarse,
        job.recipe.extraction,
        ExtractOptions(
            pixel_size_a=job.pixel_size_a,
            mask=job.masks,
            seed=job.recipe.seed,
            device=job.device,
        ),
        on_file=tell,
    )
    failed = [_named(one) for one in summary.skipped]
    seen = {"failed": failed, "given": len(job.inputs), "looked_at": done}
    return WindowsRecord.of(summary.model_dump(mode="json") | seen, folder)


def _named(one: SkippedRecord) -> str:
    return one.reason if one.path in one.reason else f"{one.path}: {one.reason}"
