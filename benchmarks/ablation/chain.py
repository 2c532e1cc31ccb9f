"""The stages of a fit for one data set, done once where variants share them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.ablation.noises import PIXEL_A
from benchmarks.ablation.sets import true_noise
from benchmarks.ablation.subjects import Subject
from benchmarks.ablation.variants import Budget, Variant, recipe_of
from torch import Tensor

from nt2c.batch.stamps import model_fingerprint
from nt2c.core.device import choose_device
from nt2c.denoising.denoiser import load_model, prepare
from nt2c.io.inputs import find_inputs
from nt2c.io.records import Record, write_json
from nt2c.io.star import read_optics_star
from nt2c.models.denoiser import DenoiserModel
from nt2c.noise.samplers import BootstrapNoise, standardised
from nt2c.noise.transfer import segments
from nt2c.pipeline.extract import extract_noise
from nt2c.pipeline.job import FitJob
from nt2c.pipeline.learning import SAMPLER, learn_noise, split_windows
from nt2c.pipeline.options import ExtractOptions
from nt2c.pipeline.settings import FitRecipe
from nt2c.pipeline.stages import Outcome, Stage, finished, run_stage
from nt2c.pipeline.training import (
    CONTRAST,
    MODEL,
    Earlier,
    find_contrast,
    prepared_micrographs,
    train_final,
)
from nt2c.training.loop import CHECKPOINT
from nt2c.training.sampler_files import write_sampler
from nt2c.training.transfer import measure_contrast

NOISE_SEED = 0
TRUE_FIELDS = 36
_TRUE_WINDOWS = 600
_EVERY_S = 60.0
_FIELDS = "fields.npy"


class Talk:
    """Says what goes on, at most once a minute."""

    def __init__(self) -> None:
        self._stage, self._last = "", time.monotonic()
        self._total: int | None = None

    def begin(self, stage: str, total: int | None) -> None:
        self._stage, self._total = stage, total
        print(f"  {stage}", flush=True)

    def expect(self, total: int) -> None:
        self._total = total

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        if time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            print(f"  {self._stage}: {done} of {self._total} {note}", flush=True)

    def verdict(self, stage: str, text: str, seconds: float, *, reused: bool) -> None:
        print(f"  {stage}: {text}", flush=True)

    def warn(self, text: str) -> None:
        print(f"  {text}", flush=True)


@dataclass(frozen=True)
class Done:
    """A stage that is done, and its folder."""

    folder: Path
    outcome: Outcome


@dataclass(frozen=True)
class Chain:
    """Stages for one data set and seed, in folders under `folder`."""

    subject: Subject
    folder: Path
    coarse: DenoiserModel
    budget: Budget
    seed: int
    device: str
    talk: Talk

    def train(self, variant: Variant) -> tuple[DenoiserModel, dict[str, Any]]:
        """Do what is missing for a variant; return its model and how it was made.

        Raises
        ------
        InputError, SettingsError
            As the stages do: too few windows, no contrast.
        """
        if variant == "again":
            first, _ = self.train("coloured")
            return replace(self, coarse=first, folder=self.folder / "again").train("coloured")
        job = self._job(variant, self.seed)
        windows = self._windows(job)
        oracle = variant == "oracle"
        noise = self._true_noise(job) if oracle else self._noise(variant, windows)
        contrast = (
            self._oracle_contrast(job, windows, noise)
            if oracle
            else self._contrast(variant, windows)
        )
        earlier = Earlier(windows.folder, noise.folder, contrast.folder)
        done = self._do(
            job,
            f"training-{variant}-s{self.seed}",
            job.recipe.model_dump(mode="json"),
            (windows, noise, contrast),
            MODEL,
            lambda folder: train_final(job, earlier, folder, self.talk),
            job.recipe.optimizer.steps,
        )
        (done.folder / CHECKPOINT).unlink(missing_ok=True)
        stages = {"windows": windows, "noise": noise, "contrast": contrast, "training": done}
        return load_model(done.folder / MODEL), {
            "noise_seed": NOISE_SEED,
            "recipe": job.recipe.model_dump(mode="json"),
            "seconds": {name: stage.outcome.seconds for name, stage in stages.items()},
            "stages": {name: stage.outcome.record for name, stage in stages.items()},
        }

    def _job(self, variant: Variant, seed: int) -> FitJob:
        recipe = recipe_of(variant, self.budget, seed)
        if self.subject.star is not None:
            star = self.subject.star
            recipe = recipe.imaged_as(read_optics_star(star), str(star))
        return FitJob(
            inputs=tuple(find_inputs(self.subject.inputs)),
            folder=self.folder / self.subject.name / ("paper" if variant == "paper" else "own"),
            recipe=recipe,
            coarse=self.coarse,
            device=self.device,
        )

    def _do(
        self,
        job: FitJob,
        name: str,
        settings: Mapping[str, Any],
        after: Sequence[Done],
        output: str,
        work: Callable[[Path], Record | Mapping[str, object] | None],
        total: int = 1,
        inputs: Sequence[Path] = (),
    ) -> Done:
        """Do a stage unless it is done; `settings` need not name the coarse model."""
        stage = Stage(
            job.folder / name,
            dict(settings) | {"coarse_model": model_fingerprint(self.coarse)},
            inputs=inputs,
            after=[done.outcome.key for done in after],
            outputs=(output,),
        )
        if finished(stage) is None:
            self.talk.begin(f"{self.subject.name}: {name}", total)
        return Done(stage.folder, run_stage(stage, work))

    def _windows(self, job: FitJob) -> Done:
        extraction = job.recipe.extraction
        return self._do(
            job,
            "windows",
            extraction.model_dump(mode="json"),
            (),
            "windows.npy",
            lambda folder: extract_noise(
                job.inputs, folder, job.coarse, extraction, ExtractOptions(device=job.device)
            ),
            inputs=[item.path for item in job.inputs],
        )

    def _noise(self, variant: Variant, windows: Done) -> Done:
        """Learn the noise, with one seed for all seeds of the denoiser."""
        job = self._job(variant, NOISE_SEED)
        kind, synthesizer = job.recipe.noise, job.recipe.synthesizer
        settings: dict[str, Any] = {"noise": kind, "seed": NOISE_SEED}
        if kind == "wgan":
            settings["synthesizer"] = synthesizer.model_dump(mode="json")
        return self._do(
            job,
            f"noise-{kind}",
            settings,
            (windows,),
            SAMPLER,
            lambda folder: learn_noise(job, windows.folder, folder, self.talk),
            synthesizer.optimizer.steps if kind == "wgan" else 1,
        )

    def _contrast(self, variant: Variant, windows: Done) -> Done:
        """Measure the contrast, once for all variants but the paper's."""
        job = self._job("paper" if variant == "paper" else "wgan", self.seed)
        return self._do(
            job,
            f"contrast-s{self.seed}",
            _signal(job.recipe),
            (windows,),
            CONTRAST,
            lambda folder: find_contrast(job, windows.folder, folder),
        )

    def _true_noise(self, job: FitJob) -> Done:
        """Whole fields of the true noise, as a bootstrap that lays them side by side."""
        design = self.subject.design
        assert design is not None, f"the noise of {self.subject.name} cannot be drawn again"

        def work(folder: Path) -> dict[str, object]:
            fields = [
                prepare(field, PIXEL_A, self.coarse.pixel_size_a).scaled
                for field in true_noise(design, TRUE_FIELDS)
            ]
            images = torch.stack(fields)
            write_sampler(folder / SAMPLER, whole_fields(images), self.coarse.pixel_size_a)
            np.save(folder / _FIELDS, images.half().numpy())
            return {"noise": "true", "fields": len(images)}

        settings = {"design": asdict(design), "fields": TRUE_FIELDS}
        return self._do(job, "noise-true", settings, (), SAMPLER, work)

    def _oracle_contrast(self, job: FitJob, windows: Done, noise: Done) -> Done:
        """Contrast and noise gain measured against the true noise instead of windows."""

        def work(folder: Path) -> dict[str, object]:
            size = split_windows(windows.folder).learn.shape[-1]
            fields = torch.from_numpy(np.load(noise.folder / _FIELDS)).float()
            squares = torch.cat([segments(field, size, size) for field in fields])
            step = -(-len(squares) // _TRUE_WINDOWS)
            simulation = job.recipe.simulation.replace(pixel_size_a=self.coarse.pixel_size_a)
            contrast = measure_contrast(
                prepared_micrographs(windows.folder),
                squares[::step],
                simulation,
                job.recipe.pairs,
                job.recipe.transfer,
                seed=job.recipe.seed,
                device=choose_device(job.device),
            )
            write_json(folder / CONTRAST, contrast.to_record())
            return contrast.to_record()

        name = f"contrast-true-s{self.seed}"
        return self._do(job, name, _signal(job.recipe), (windows, noise), CONTRAST, work)


def whole_fields(fields: Tensor) -> BootstrapNoise:
    """Bootstrap of whole fields (n, s, s): they keep their own spectrum, so no filter mends it."""
    side = 2 * fields.shape[-1]
    untouched = torch.zeros(side, side)
    untouched[0, 0] = 1
    return BootstrapNoise(standardised(fields).half(), untouched)


def _signal(recipe: FitRecipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", include={"seed", "transfer", "simulation", "pairs"})
