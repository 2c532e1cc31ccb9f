"""What each command takes: its settings, which are its options and their help (see `options`).

Nothing here imports what computes: help and wrong options wait for no torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nt2c.cli.help import PlainCommand
from nt2c.cli.options import Command, Part
from nt2c.cli.relion_words import RelionCommand
from nt2c.core.errors import SettingsError
from nt2c.core.options import PIXEL_SIZE, Device, File, Folder, PixelSizeA, Seconds, TrainingDevice
from nt2c.denoising.settings import BUNDLED, BatchOptions, DenoiseSettings
from nt2c.hosts.relion_end import tell_failure
from nt2c.pipeline.options import ExtractOptions
from nt2c.workflows.options import (
    SAME_SEED,
    TRAINING_DEVICE,
    EvaluateOptions,
    FitOptions,
    NoiseOptions,
    PickOptions,
    SimulateOptions,
)

Output = Annotated[Path, Field(title="DIR", description="Folder for the results.")]
RawInputs = Annotated[
    list[str],
    Field(
        title="INPUT",
        description="Raw micrographs: files, folders, patterns in quotes, or a micrographs.star.",
    ),
]
ModelName = Annotated[
    str, Field(BUNDLED, title="NAME|FILE", description="A bundled model or a model file.")
]
OwnPixelSize = Annotated[PixelSizeA | None, Field(None, description=PIXEL_SIZE)]
Training = Annotated[TrainingDevice, Field("auto", description=TRAINING_DEVICE)]
Threads = Annotated[
    int | None,
    Field(
        None, title="N", ge=1, description="Number of threads; by default one for each processor."
    ),
]


class Denoise(Command):
    """Denoise micrographs with a model.

    Writes DIR/NAME.mrc with the pixel size, grid and polarity of the input. Files that are done
    are skipped, so the same command again does the rest. A file that cannot be denoised is named
    at the end and does not stop the others.
    """

    work: ClassVar = "nt2c.cli.denoise:denoise"
    arguments: ClassVar = ("inputs",)

    inputs: list[str] = Field(
        title="INPUT",
        description="Micrographs (.mrc, .mrcs, .tif, .tiff, .mrc.gz, .mrc.bz2), folders, patterns "
        "in quotes, or a micrographs.star.",
    )
    output: Output
    model: ModelName
    settings: DenoiseSettings = DenoiseSettings()
    batch: BatchOptions = BatchOptions()
    threads: Threads
    live: bool = Field(
        False, description="Keep denoising micrographs as they arrive; DIR/live.html shows them."
    )
    poll_s: float = Field(
        10.0, ge=0.1, description="With --live: seconds between two looks at the inputs."
    )
    idle_exit_s: float | None = Field(
        None, ge=0, description="With --live: stop after so many seconds without a new micrograph."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        batch = self.batch
        not_live = (batch.shard, batch.retry_failed, batch.json_file, batch.device == "cuda:all")
        if self.live and any(not_live):
            raise ValueError(
                "--live: not together with --shard, --retry-failed, --json or --device cuda:all"
            )
        if batch.retry_failed and batch.overwrite:
            raise ValueError("--retry-failed: not together with --overwrite, which does all again")
        if self.idle_exit_s is not None and not self.live:
            raise ValueError("--idle-exit: only with --live")
        return self


class Slurm(Command):
    """Denoise on a Slurm cluster: print, or submit, an array of shards and a job that merges.

    Takes what nt2c denoise takes. Each task finishes the micrograph in hand when its time is
    nearly up and goes back to the queue; one that is killed is started again. At the end nt2c
    merge says what is done and what failed: DIR/slurm/merge.log. Review the script, then run it
    with bash.
    """

    work: ClassVar = "nt2c.cli.slurm:slurm"
    arguments: ClassVar = ("words",)

    words: list[str] = Field(
        title="INPUT... -o DIR [OPTIONS OF DENOISE]...", description="As for nt2c denoise."
    )
    shards: int = Field(ge=1, title="N", description="Tasks that share the micrographs.")
    submit: bool = Field(False, description="Submit the jobs instead of printing the script.")
    partition: str | None = Field(None, title="NAME", description="Partition (queue) of the tasks.")
    merge_partition: str | None = Field(
        None,
        title="NAME",
        description="Partition of the job that merges, which needs no GPU; by default that of the "
        "tasks, or, if these have GPUs, the cluster's own default.",
    )
    qos: str | None = Field(None, title="NAME", description="Quality of service of the jobs.")
    account: str | None = Field(None, title="NAME", description="Account that is charged.")
    time: str | None = Field(
        None,
        title="HH:MM:SS",
        description="Time limit of a task, as Slurm writes it; what is left then is queued again.",
    )
    gpus: int = Field(0, ge=0, description="GPUs of a task; more than one with --device cuda:all.")
    cpus: int = Field(1, ge=1, description="CPUs of a task.")
    mem: str | None = Field(None, title="SIZE", description="Memory of a task, such as 8G.")
    sbatch: tuple[str, ...] = Field(
        (),
        title="OPTION",
        description="Another option of sbatch for the tasks; repeat for several.",
    )


class Merge(Command):
    """Join the summaries of the shards of a run, and name what failed or is missing.

    Writes DIR/summary.json, and DIR/micrographs.star if the micrographs came from a STAR file: the
    same list with the denoised micrographs.
    """

    work: ClassVar = "nt2c.cli.merge:merge"
    arguments: ClassVar = ("folder",)

    folder: Path = Field(title="DIR", description="Output folder of nt2c denoise --shard.")


class Simulate(Command):
    """Simulate micrographs together with their truth.

    For each micrograph NAME the folder gets NAME.mrc (counts), clean/NAME_clean.mrc (its particles
    without noise), halves/even and halves/odd (independent halves of the exposure) and
    coordinates/NAME.star; beside them are micrographs.star, settings.toml and metadata.jsonl with
    every parameter drawn.
    """

    work: ClassVar = "nt2c.cli.simulate:simulate"

    output: Output
    options: SimulateOptions = SimulateOptions()


class ExtractNoise(Command):
    """Find windows without particles: samples of the noise of these micrographs.

    Writes DIR/windows.npy at the working pixel size of the model in units of the noise, their
    places in windows.csv, an overlay of each micrograph, and a summary. A file that cannot be
    used is named and does not stop the others.
    """

    work: ClassVar = "nt2c.cli.extract_noise:extract_noise"
    arguments: ClassVar = ("inputs",)

    inputs: RawInputs
    output: Output
    model: str = Field(
        BUNDLED, title="NAME|FILE", description="The denoiser that tells where particles are."
    )
    options: ExtractOptions = ExtractOptions()
    window_a: float | None = Field(
        None,
        description="Side of the windows in angstrom; by default the largest of which there are "
        "enough.",
    )
    count: int | None = Field(None, title="N", description="Take at most this many windows.")


class Train(Command):
    """Train a denoiser on simulated micrographs.

    The checkpoint, log and validation pictures go to a folder beside the model; run the same
    command again to continue an interrupted training. Started by torchrun, several processes
    train together.
    """

    work: ClassVar = "nt2c.cli.train:train"
    arguments: ClassVar = ("recipe",)
    resumes: ClassVar = True

    recipe: Path = Field(title="RECIPE", description="Recipe (TOML), such as recipes/general.toml.")
    output: Path = Field(title="FILE", description="Model file to write.")
    start: File | None = Field(
        None,
        title="FILE",
        description="Model to start from; by default the weights are random.",
    )
    time_s: Seconds | None = Field(
        None,
        title="TIME",
        description="How long the training shall take, such as 8h, in place of the steps of the "
        "recipe.",
    )
    device: Training


class Fit(Command):
    """Make a model from your own micrographs: their noise is learned and transferred.

    Finds particle-free windows, learns their noise, measures the contrast of the particles, and
    trains a denoiser on simulated particles of that contrast in that noise, and on the micrographs
    themselves: DIR/model.safetensors.
    No movies, halves or truth are needed. The same command again does only what is missing, and
    goes on where it was stopped. Started by torchrun, several processes train together.
    """

    work: ClassVar = "nt2c.cli.fit:fit"
    arguments: ClassVar = ("inputs",)
    resumes: ClassVar = True

    inputs: RawInputs
    output: Output
    options: FitOptions = FitOptions()


class Run(Fit):
    """Fit a model to micrographs, denoise them with it, measure, and write a report.

    Does what `nt2c fit` does, then writes DIR/denoised, DIR/evaluation.json and DIR/report.html.
    The same command again does only what is missing. For several processes that train together
    start `nt2c fit` with torchrun first.
    """

    work: ClassVar = "nt2c.cli.fit:run"

    independent: Folder | None = Field(
        None,
        title="DIR",
        description="Independent exposures of the same fields, to measure how much signal is "
        "recovered; nothing is learned from them.",
    )
    diameter_a: float | None = Field(
        None, gt=0, description="Pick particles of this diameter in angstrom, too: DIR/picks."
    )


class TrainNoise(Command):
    """Learn the noise of micrographs from particle-free windows.

    A fifth of the windows is held out to judge the result, beside a coloured Gaussian field. The
    wgan keeps its checkpoint and log in a folder beside the file: run the same command again to
    continue an interrupted training. Started by torchrun, several processes train it together.
    """

    work: ClassVar = "nt2c.cli.train_noise:train_noise"
    arguments: ClassVar = ("windows",)
    resumes: ClassVar = True

    windows: Path = Field(
        title="WINDOWS", description="Folder written by nt2c extract-noise, or windows in a .npy."
    )
    output: Path = Field(title="FILE", description="Sampler file to write.")
    options: NoiseOptions = NoiseOptions()


class SampleNoise(Command):
    """Draw noise of mean 0 and variance 1, of any size, at the pixel size it was learned at."""

    work: ClassVar = "nt2c.cli.sample_noise:sample_noise"
    arguments: ClassVar = ("sampler",)

    sampler: Path = Field(title="SAMPLER", description="File written by nt2c train-noise.")
    output: Path = Field(title="FILE", description="File to write: .mrc, .mrcs or .npy.")
    shape: tuple[int, int] = Field(title="Y X", description="Rows and columns in pixels.")
    count: int = Field(1, ge=1, description="Number of images.")
    seed: int = Field(0, ge=0, description=SAME_SEED.format("images"))


class Relion(Command):
    """Denoise micrographs, fit a model to them, or pick on them, as an external job of RELION.

    Give `nt2c relion` as external executable, or `nt2c relion fit` or `nt2c relion pick`, a
    micrographs.star as input, and other options as parameters: label model, value FILE. Continue
    does what is missing.
    """

    work: ClassVar = "nt2c.cli.relion:relion"
    arguments: ClassVar = ("mode",)
    flags: ClassVar = {
        "output": "--o",
        "in_mics": "--in_mics",
        "in_3dref": "--in_3dref",
        "threads": "--j",
    }
    parser: ClassVar[type[PlainCommand]] = RelionCommand

    output: Path = Field(title="DIR", description="Folder of the job; RELION gives it.")
    mode: Literal["denoise", "fit", "pick"] = Field(
        "denoise", title="denoise|fit|pick", description="What the job does."
    )
    in_mics: Path | None = Field(
        None, title="STAR", description="Input micrographs, a micrographs.star."
    )
    in_3dref: Path | None = Field(
        None, title="MAP", description="fit: a structure of your particle, to be learned too."
    )
    threads: Threads
    model: ModelName
    batch: Annotated[BatchOptions, Part(("device",))] = BatchOptions()
    pixel_size_a: OwnPixelSize
    settings: Annotated[
        DenoiseSettings, Part(("precision", "keep_background", "float16"), "denoise: ")
    ] = DenoiseSettings()
    do_at_most: int | None = Field(
        None, ge=0, description="denoise: stop after this many micrographs; Continue does more."
    )
    fit: Annotated[FitOptions, Part(("recipe", "noise"), "fit: ")] = FitOptions()
    diameter_a: float | None = Field(
        None, gt=0, description="pick: diameter of the particles in angstrom."
    )
    fdr: float = Field(
        PickOptions.model_fields["fdr"].default,
        gt=0,
        lt=1,
        title="SHARE",
        description="pick: largest share of noise among the picks.",
    )

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self:
        """Return the settings; tell RELION of wrong ones, too."""
        try:
            return super().of_options(given)
        except SettingsError:
            tell_failure(given["output"])
            raise

    @model_validator(mode="after")
    def _has_diameter(self) -> Self:
        if self.mode == "pick" and self.diameter_a is None:
            raise ValueError("pick: give --diameter, that of the particles in angstrom")
        return self

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if self.in_mics is None:
            raise ValueError(
                "no --in_mics: give a micrographs.star as 'Input micrographs' of the job"
            )
        return self


class Cryosparc(Command):
    """Denoise exposures of CryoSPARC; adds micrograph_blob_denoised to them.

    With --project, --workspace and --job as an external job, through cryosparc-tools (the extra
    `cryosparc` of nt2c), on a machine that sees the project's folder. Log in before with
    `python -m cryosparc.tools login`, or set CRYOSPARC_BASE_URL, CRYOSPARC_EMAIL and
    CRYOSPARC_PASSWORD. With --exposures from and to .cs files, without a server.
    """

    work: ClassVar = "nt2c.cli.cryosparc:cryosparc"

    project: str | None = Field(
        None, title="P1", description="Project; with --workspace and --job."
    )
    workspace: str | None = Field(
        None, title="W1", description="Workspace for the new external job."
    )
    job: str | None = Field(None, title="J1", description="Job with raw exposures.")
    group: str = Field(
        "exposures", title="NAME", description="Output group of --job that holds the exposures."
    )
    exposures: Path | None = Field(
        None,
        title="CS",
        description="Without a server: a .cs file; with --project-dir and -o.",
    )
    project_dir: Path | None = Field(
        None, title="DIR", description="Folder that the paths in --exposures are relative to."
    )
    output: Path | None = Field(
        None, title="DIR", description="Folder for the results of --exposures."
    )
    model: ModelName
    settings: Annotated[DenoiseSettings, Part(("output_pixel_size_a", "float16"))] = (
        DenoiseSettings()
    )
    batch: Annotated[BatchOptions, Part(("device",))] = BatchOptions()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.exposures is not None:
            server = self.project or self.workspace or self.job
            if self.project_dir is None or self.output is None or server:
                raise ValueError("--exposures goes with --project-dir and -o, and without a server")
        elif not (self.project and self.workspace and self.job):
            raise ValueError("give --project, --workspace and --job; or --exposures")
        elif self.project_dir or self.output:
            raise ValueError("--project-dir and -o belong to --exposures; the job has a folder")
        return self


class Pick(Command):
    """Pick particles so that a known share of the picks is noise.

    Denoises the micrographs and, in the same way, noise like theirs; what is found in the noise
    tells how many picks are noise. Writes lists for RELION, CryoSPARC, EMAN, crYOLO and topaz, in
    pixels of the raw micrographs. The same command again does only what is missing.
    """

    work: ClassVar = "nt2c.cli.pick:pick"
    arguments: ClassVar = ("inputs",)
    resumes: ClassVar = True

    inputs: RawInputs
    output: Output
    model: ModelName
    options: PickOptions
    device: Device = Field("auto", description="auto, cpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.options.fit and self.model != BUNDLED:
            raise ValueError("--model: not together with --fit, which has its own")
        return self


class PicksToRaw(Command):
    """Rewrite picks made on denoised micrographs, for extraction from the raw ones.

    Names become those of the raw micrographs, positions and pixel sizes those of their grid; the
    rest of each file stays as it is. Run it in the project folder.
    """

    work: ClassVar = "nt2c.cli.picks:picks_to_raw"
    arguments: ClassVar = ("picks",)

    picks: list[str] = Field(
        title="PICKS",
        description="RELION's autopick.star, STAR files of coordinates or particles, topaz tables, "
        ".cbox, .box, .cs; or patterns in quotes.",
    )
    raw: list[str] = Field(
        title="RAW",
        description="Raw micrographs: a folder, a pattern in quotes, a micrographs.star; for .cs "
        "an exposures.cs. Repeat for several.",
    )
    output: Output
    denoised: tuple[str, ...] = Field(
        (), title="DENOISED", description="Micrographs that were picked on, for their size."
    )
    scale: float | None = Field(
        None,
        title="S",
        gt=0,
        lt=1000,
        description="Raw pixels in one pixel of the picks, where it does not follow from the "
        "sizes.",
    )

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        if self.scale is not None and self.denoised:
            raise ValueError(f"--scale {self.scale:g}: not together with --denoised")
        return self


class SumFrames(Command):
    """Sum movies whose frames are aligned, to denoise the sums.

    nt2c denoise treats each image of a stack on its own; this makes one micrograph of all, as nt2c
    denoise --sum-frames does on the way. It corrects no motion: frames that moved are refused.
    """

    work: ClassVar = "nt2c.cli.sum_frames:sum_frames"
    arguments: ClassVar = ("inputs",)

    inputs: list[str] = Field(
        title="INPUT",
        description="Movies (.mrc, .mrcs, .tif, .eer ...), folders, patterns in quotes.",
    )
    output: Output
    halves: bool = Field(
        False, description="Also NAME_EVN and NAME_ODD, for nt2c evaluate --halves-in."
    )
    aligned: bool = Field(False, description="The frames are aligned, whatever they look like.")
    pixel_size_a: OwnPixelSize


class Evaluate(Command):
    """Measure how good denoised micrographs are.

    Give at least one of --truth, --independent with --raw, --halves, --halves-in, --noise-only.
    Files belong together by name. docs/metrics.md defines each figure and says how it can mislead.
    """

    work: ClassVar = "nt2c.cli.evaluate:evaluate"
    arguments: ClassVar = ("denoised",)

    denoised: list[Path] = Field(
        title="DENOISED", description="Denoised micrographs: files or folders."
    )
    options: EvaluateOptions
    json_file: Path | None = Field(None, description="Write all results to this file.")


class Report(Command):
    """Write a page that shows and judges denoised micrographs: one file, for any browser.

    Raw and denoised under a slider, spectra, contrast, hints on ice, carbon and drift; after a fit
    what was learned, too. A file that cannot be read is listed, and does not stop the others.
    """

    work: ClassVar = "nt2c.cli.report:report"
    arguments: ClassVar = ("folder",)

    folder: Path = Field(title="DIR", description="Results of nt2c denoise, run or fit.")
    output: Path | None = Field(
        None, title="FILE", description="File to write; by default DIR/report.html."
    )


class Models(Command):
    """List the bundled models with their measured figures."""

    work: ClassVar = "nt2c.cli.models:models"


class Info(Command):
    """Show what a model file holds and was trained on."""

    work: ClassVar = "nt2c.cli.models:info"
    arguments: ClassVar = ("model",)

    model: str = Field(title="MODEL", description="Name of a bundled model, or a model file.")


class Demo(Command):
    """Simulate, denoise and score a few micrographs; write a page."""

    work: ClassVar = "nt2c.cli.demo:demo"

    output: Path = Field(
        Path("demo"), title="DIR", description="Folder for the page and the pictures."
    )
    seed: int = Field(0, ge=0, description="Another seed gives other particles and other noise.")
    model: ModelName
