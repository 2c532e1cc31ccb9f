"""A model from micrographs; and the whole way from there to denoised and measured ones."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from nt2c.batch.run import denoise_files
from nt2c.batch.summary import FileResult, Summary
from nt2c.core.words import plural
from nt2c.denoising.denoiser import load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.io.inputs import find_inputs
from nt2c.io.records import write_json
from nt2c.io.star import read_optics_star
from nt2c.pipeline.fit import FitResult
from nt2c.pipeline.fit import fit as do_stages
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.judging import judge_independent
from nt2c.pipeline.records import EvaluationRecord
from nt2c.pipeline.settings import read_fit_recipe
from nt2c.pipeline.stages import locked
from nt2c.pipeline.start import starting_model
from nt2c.training.processes import join
from nt2c.workflows.options import FitOptions, PickOptions
from nt2c.workflows.pick import PickSummary, pick

DENOISED = "denoised"
PICKS = "picks"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class RunResult:
    """What came of a run: the fit, what became of each micrograph, and the picks if wanted."""

    fit: FitResult
    summary: Summary
    picks: PickSummary | None


class Silent:
    """A watch that says nothing."""

    def begin(self, stage: str, total: int | None) -> None:
        """Do nothing."""

    def expect(self, total: int) -> None:
        """Do nothing."""

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        """Do nothing."""

    def verdict(self, stage: str, text: str, seconds: float, *, reused: bool) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""


def fit(
    inputs: str | Path | Sequence[str | Path],
    output: Path | str,
    options: FitOptions | None = None,
    watch: Watch | None = None,
) -> FitResult:
    """Make a model from micrographs: `model.safetensors` in a folder.

    What is done already is not done again. Processes that a launcher such as torchrun has started
    train together.

    Parameters
    ----------
    inputs : str, Path, or sequence of them
        Raw micrographs: files, folders, patterns, or a STAR file, which tells the optics too.
    output : Path or str
        Folder for the results.
    options : FitOptions, optional
        The recipe, and what counts before it.
    watch : Watch, optional
        Hears how it goes on.

    Raises
    ------
    InputError
        No micrograph can be used, too few particle-free windows are found, or a file of a
        structure or a mask is no such thing.
    SettingsError
        There is no such recipe, model or device, or the folder holds files of others.
    """
    return fit_job(plan(inputs, output, options or FitOptions()), watch or Silent())


def fit_job(job: FitJob, watch: Watch) -> FitResult:
    """Do a fit that is planned; the first of several processes holds the lock of the folder."""
    with locked(job.folder) if join(job.device).first else nullcontext():
        return do_stages(job, watch)


def plan(
    inputs: str | Path | Sequence[str | Path], output: Path | str, options: FitOptions
) -> FitJob:
    """Return the job that options ask for; parameters and errors are those of `fit`."""
    recipe = read_fit_recipe(options.recipe)
    found = tuple(find_inputs(inputs))
    notes: list[str] = []
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    stars = [str(path) for path in given if str(path).lower().endswith(".star")]
    if len(stars) == 1:
        optics = read_optics_star(stars[0])
        recipe = recipe.imaged_as(optics, stars[0])
        notes += [f"{stars[0]}: {optics.left_out}"] if optics.left_out else []
    if options.noise is not None:
        recipe = recipe.replace(noise=options.noise)
    if options.seed is not None:
        recipe = recipe.replace(seed=options.seed)
    return FitJob(
        inputs=found,
        folder=Path(output),
        recipe=recipe,
        coarse=starting_model(
            load_model(options.model),
            found,
            pixel_size_a=options.pixel_size_a,
            device=options.device,
        ),
        pixel_size_a=options.pixel_size_a,
        structures=options.structure,
        masks=options.mask,
        device=options.device,
        time_s=options.time_s,
        notes=tuple(notes),
    )


def run(
    job: FitJob, independent: Path | None, watch: Watch, diameter_a: float | None = None
) -> RunResult:
    """Fit a model to micrographs, denoise them with it, and measure what needs no truth.

    What is done already is not done again. The figures are kept in `evaluation.json`.

    Parameters
    ----------
    job : FitJob
        From `plan`.
    independent : Path or None
        Folder of independent exposures of the same fields, to measure the signal recovered.
    watch : Watch
        Hears how it goes on.
    diameter_a : float, optional
        Pick particles of this diameter, angstrom, too.

    Raises
    ------
    InputError, SettingsError
        As `fit` does; or nothing in `independent` can be compared.
    """
    with locked(job.folder):
        fitted = do_stages(job, watch)
        summary = _denoise(job, fitted, watch)
        _evaluate(job, fitted, independent, watch)
        picks = _pick(job, diameter_a, watch) if diameter_a else None
    return RunResult(fitted, summary, picks)


def _denoise(job: FitJob, fitted: FitResult, watch: Watch) -> Summary:
    """Denoise the micrographs with the fitted model; what is done already is skipped."""
    watch.begin("denoise", len(job.inputs))
    shown: list[FileResult] = []

    def show(one: FileResult) -> None:
        shown.append(one)
        watch.advance(len(shown), one.input.name)

    summary = denoise_files(
        job.inputs,
        job.folder / DENOISED,
        load_model(fitted.model),
        DenoiseSettings(pixel_size_a=job.pixel_size_a),
        BatchOptions(device=job.device),
        on_result=show,
    )
    done, skipped = (len(summary.with_status(status)) for status in ("done", "skipped"))
    there = plural(done + skipped, "micrograph")
    watch.verdict("denoise", there, summary.seconds, reused=not done)
    return summary


def _pick(job: FitJob, diameter_a: float, watch: Watch) -> PickSummary:
    """Pick on the denoised micrographs."""
    watch.begin("pick", len(job.inputs))
    started = time.perf_counter()
    looked: list[Path] = []

    def show(path: Path, _: str, __: int) -> None:
        looked.append(path)
        watch.advance(len(looked), path.name)

    options = PickOptions(
        diameter_a=(diameter_a,),
        fit=job.folder,
        denoised=job.folder / DENOISED,
        pixel_size_a=job.pixel_size_a,
    )
    found = pick(job.inputs, job.folder / PICKS, options, device=job.device, on_file=show)
    text = f"{plural(found.picks, 'pick')}, of which {found.expected_noise_picks:.1f} may be noise"
    watch.verdict("pick", text, time.perf_counter() - started, reused=False)
    return found


def _evaluate(job: FitJob, fitted: FitResult, independent: Path | None, watch: Watch) -> None:
    """Measure what can be measured without the truth."""
    training = fitted.record.training
    measured = EvaluationRecord(
        noise_left=training.noise_left, noise_left_before=training.noise_left_before
    )
    if independent is not None:
        watch.begin("evaluate", len(job.inputs))
        started = time.perf_counter()
        scores = judge_independent(job, job.folder / DENOISED, independent, watch)
        measured = measured.replace(independent=scores)
        fraction = scores.fraction
        watch.verdict(
            "evaluate",
            f"recovered share of the signal {fraction.fitted:.3f} (before the fit "
            f"{fraction.coarse:.3f}, raw {fraction.raw:.3f})",
            time.perf_counter() - started,
            reused=False,
        )
        for message in scores.failed:
            watch.warn(message)
    write_json(job.folder / EVALUATION, measured)
