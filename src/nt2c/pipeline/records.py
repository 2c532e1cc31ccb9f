"""What a fit left behind, as its files say it: typed, and checked when they are read.

The files hold more: every figure and setting. What is here is what is read again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, JsonValue, model_validator

from nt2c.io.records import Record


class Figure(Record):
    """A measure with its 95 % interval, and that of sets of equal noise; see `Measure`."""

    value: float
    low: float | None
    high: float | None
    same_low: float | None
    same_high: float | None
    differs: bool


class FidelityRecord(Record):
    """Measures of a sampler, those of `noise.statistics.SHOWN`; None of one that was not taken."""

    model_config = ConfigDict(extra="allow")

    radial_error: Figure | None = None
    spectrum_error: Figure | None = None
    autocorrelation_error: Figure | None = None
    ks_distance: Figure | None = None
    excess_kurtosis: Figure | None = None
    local_variance_spread: Figure | None = None
    sliced_wasserstein: Figure | None = None
    diversity: Figure | None = None
    classifier_auc: Figure | None = None


class StageRecord(Record):
    """What every stage says: a sentence, its time, warnings. It holds more than is read again."""

    model_config = ConfigDict(extra="allow")

    verdict: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class SkippedRecord(Record):
    """A file that could not be used, and why."""

    path: str
    reason: str


class SourceRecord(Record):
    """A micrograph that windows were looked for in: how many it gave, and how much it shows."""

    name: str
    path: Path
    windows: int
    contrast: float


class SpectrumRecord(Record):
    """Power per ring, 1 for white noise of variance 1, at frequencies in 1/angstrom."""

    frequency: tuple[float, ...]
    power: tuple[float, ...]


class ExtractionRecord(Record):
    """`summary.json` of windows.

    Attributes
    ----------
    windows, micrographs : int
        Number of windows, and of micrographs that gave them.
    size_px : int
        Their side.
    pixel_size_a : float
        Their pixel size, angstrom.
    evidence_limit : float
        How much sign of signal they may show.
    variance : float
        Of all their pixels.
    spectrum : SpectrumRecord
        Their power.
    per_micrograph : tuple of SourceRecord
        Those that could be used.
    skipped : tuple of SkippedRecord
        Those that could not.
    warnings : tuple of str
        What to look at.
    settings : mapping
        Which windows were wanted, of whatever version.
    """

    windows: int
    micrographs: int
    size_px: int
    pixel_size_a: float
    evidence_limit: float
    variance: float
    spectrum: SpectrumRecord
    per_micrograph: tuple[SourceRecord, ...]
    skipped: tuple[SkippedRecord, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, JsonValue]


class WindowsRecord(StageRecord):
    """Windows found: how many, in how many micrographs, how large; what could not be used."""

    windows: int
    micrographs: int
    size_px: int
    pixel_size_a: float
    failed: tuple[str, ...]
    given: int
    looked_at: int


class NoiseRecord(StageRecord):
    """A sampler: how like the noise it is, beside a coloured field, judged by how many windows."""

    noise: str
    judged_by: int
    fidelity: FidelityRecord
    coloured: FidelityRecord | None = None
    instead: str = ""


class ContrastRecord(StageRecord):
    """How strong the particles are, with its relative error; and the gain of the noise."""

    k1: float
    error: float
    gain: float
    per_micrograph: tuple[float, ...]
    left_out: int = 0


class ChoiceRecord(Record):
    """Which candidate was taken, why, and the mean errors of all, by kind of data and candidate;
    None for an error that is no number.
    """

    taken: str
    why: str
    errors: dict[str, dict[str, float | None]]


class NoiseLeftRecord(Record):
    """What a denoiser leaves in particle-free windows, judged in the whole micrographs.

    Attributes
    ----------
    of_noise : float
        Variance of the output in the windows over that of the micrographs there.
    of_output : float
        Variance of the output in the windows over that of the output everywhere.
    """

    of_noise: float
    of_output: float


class TrainingRecord(StageRecord):
    """What the model leaves of noise, that before it too, and how well it finds held-out signal."""

    noise_left: NoiseLeftRecord
    noise_left_before: NoiseLeftRecord
    validation_correlation2: float | None = None
    choice: ChoiceRecord | None = None
    on_micrographs: bool = False


class RecipeRecord(Record):
    """Of the recipe."""

    name: str
    seed: int
    noise: str


class ModelRecord(Record):
    """A model by its name and the hash of its weights."""

    name: str | None
    fingerprint: str


class FitRecord(Record):
    """`fit.json`: how a model came about. `stages` has those of a first round, too."""

    version: str
    recipe: RecipeRecord
    coarse: ModelRecord
    inputs: tuple[str, ...]
    structures: tuple[str, ...]
    stages: dict[str, StageRecord]
    windows: WindowsRecord
    noise: NoiseRecord
    contrast: ContrastRecord
    training: TrainingRecord

    @model_validator(mode="before")
    @classmethod
    def _with_last_round(cls, given: Any) -> Any:
        stages = given.get("stages") if isinstance(given, Mapping) else None
        return {**stages, **given} if isinstance(stages, Mapping) else given


class Recovered(Record):
    """Share of the signal that raw, coarsely denoised and denoised micrographs show."""

    raw: float
    coarse: float
    fitted: float


class IndependentRecord(Record):
    """Judged by independent exposures: all fields pooled, each, and which could not be judged."""

    fraction: Recovered
    fields: dict[str, Recovered]
    failed: tuple[str, ...] = ()


class EvaluationRecord(Record):
    """`evaluation.json`: what was measured after a fit without the truth."""

    noise_left: NoiseLeftRecord
    noise_left_before: NoiseLeftRecord
    independent: IndependentRecord | None = None
