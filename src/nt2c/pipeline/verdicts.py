"""What came out of each stage, in a sentence."""

from nt2c.core.words import plural
from nt2c.pipeline.learning import FEW
from nt2c.pipeline.records import (
    ContrastRecord,
    FidelityRecord,
    NoiseRecord,
    StageRecord,
    TrainingRecord,
    WindowsRecord,
)


def percent(share: float) -> str:
    """Return a share as percent, with two digits where it is small."""
    return f"{100 * share:.2g} %" if abs(share) < 0.1 else f"{100 * share:.0f} %"


def of_windows(record: WindowsRecord) -> str:
    """How many windows were found, how large, and where."""
    side_a = record.size_px * record.pixel_size_a
    failed = len(record.failed)
    seen, given = record.looked_at, record.given
    return (
        f"{plural(record.windows, 'window')} of {side_a:.0f} A from "
        f"{plural(record.micrographs, 'micrograph')}"
        + (f" ({seen} of {given} were looked at)" if seen < given else "")
        + (f"; {plural(failed, 'input')} could not be used" if failed else "")
    )


def of_noise(record: NoiseRecord) -> str:
    """How like the noise the sampler's draws are, beside a coloured Gaussian field's."""
    own, beside = record.fidelity, record.coloured
    error, judges = own.radial_error, record.judged_by
    few = f"; judged by only {plural(judges, 'window')}, which says little" if judges < FEW else ""
    spectrum = (
        f"spectrum agrees to {percent(error.value)} in every ring (chance: "
        f"{percent(error.same_high)})"
        if error and error.same_high is not None and error.same_high < 1
        else "too few windows to judge the spectrum"
    )
    coloured = f" (coloured Gaussian {_auc(beside)})" if beside else ""
    return f"{record.noise}: {spectrum}, two-sample AUC {_auc(own)}{coloured}{few}" + (
        f"; {record.noise} noise is taken, since {record.instead}" if record.instead else ""
    )


def _auc(fidelity: FidelityRecord) -> str:
    auc = fidelity.classifier_auc
    return "not measured" if auc is None else f"{auc.value:.2f}"


def of_contrast(record: ContrastRecord) -> str:
    """How strong the particles are, and how sure that is."""
    several = record.per_micrograph
    left = record.left_out
    between = f", {min(several):.2f} to {max(several):.2f} between micrographs"
    return (
        f"particles {record.k1:.2f} times as strong as the simulated ones "
        f"(+- {percent(record.error)}{between if len(several) > 1 else ''}); "
        f"noise gain {record.gain:.2f}"
        + (f"; {plural(left, 'micrograph')} far from the others left out" if left else "")
    )


def of_training(record: TrainingRecord) -> str:
    """What the model leaves of noise, and how well it finds held-out signal."""
    left, before = record.noise_left, record.noise_left_before
    squared = record.validation_correlation2  # None of a network that went wild
    correlation = "no number" if squared is None else f"{squared**0.5:.2f}"
    return (
        f"noise left in empty windows {percent(left.of_noise)} "
        f"(before {percent(before.of_noise)}); correlation with held-out truth "
        f"{correlation}" + (f"; {record.choice.why}" if record.choice else "")
    )


def say(record: StageRecord) -> str:
    """Return the sentence for what came out of a stage."""
    match record:
        case WindowsRecord():
            return of_windows(record)
        case NoiseRecord():
            return of_noise(record)
        case ContrastRecord():
            return of_contrast(record)
        case TrainingRecord():
            return of_training(record)
    raise TypeError(f"{type(record).__name__}: what came out of this stage has no sentence")
