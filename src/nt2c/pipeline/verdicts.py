"""What came out of each stage, in a sentence."""

from collections.abc import Callable, Mapping
from typing import Any

from nt2c.core.words import plural
from nt2c.pipeline.learning import FEW

Record = Mapping[str, Any]


def percent(share: float) -> str:
    """Return a share as percent, with two digits where it is small."""
    return f"{100 * share:.2g} %" if abs(share) < 0.1 else f"{100 * share:.0f} %"


def of_windows(record: Record) -> str:
    """How many windows were found, how large, and where."""
    side_a = record["size_px"] * record["pixel_size_a"]
    failed = len(record["failed"])
    seen, given = record["looked_at"], record["given"]
    return (
        f"{plural(record['windows'], 'window')} of {side_a:.0f} A from "
        f"{plural(record['micrographs'], 'micrograph')}"
        + (f" ({seen} of {given} were looked at)" if seen < given else "")
        + (f"; {plural(failed, 'input')} could not be used" if failed else "")
    )


def of_noise(record: Record) -> str:
    """How like the noise the sampler's draws are, beside a coloured Gaussian field's."""
    own, coloured = record["fidelity"], record.get("coloured")
    why = record.get("instead")
    error, judges = own["radial_error"], record["judged_by"]
    few = f"; judged by only {plural(judges, 'window')}, which says little" if judges < FEW else ""
    spectrum = (
        f"spectrum agrees to {percent(error['value'])} in every ring (chance: "
        f"{percent(error['same_high'])})"
        if error["same_high"] < 1
        else "too few windows to judge the spectrum"
    )
    beside = f" (coloured Gaussian {coloured['classifier_auc']['value']:.2f})" if coloured else ""
    return (
        f"{record['noise']}: {spectrum}, two-sample AUC {own['classifier_auc']['value']:.2f}"
        f"{beside}{few}" + (f"; {record['noise']} noise is taken, since {why}" if why else "")
    )


def of_contrast(record: Record) -> str:
    """How strong the particles are, and how sure that is."""
    several = record["per_micrograph"]
    left = record.get("left_out", 0)
    between = f", {min(several):.2f} to {max(several):.2f} between micrographs"
    return (
        f"particles {record['k1']:.2f} times as strong as the simulated ones "
        f"(+- {percent(record['error'])}{between if len(several) > 1 else ''}); "
        f"noise gain {record['gain']:.2f}"
        + (f"; {plural(left, 'micrograph')} far from the others left out" if left else "")
    )


def of_training(record: Record) -> str:
    """What the model leaves of noise, and how well it finds held-out signal."""
    left, before = record["noise_left"], record["noise_left_before"]
    squared = record["validation_correlation2"]  # None of a network that went wild
    correlation = "no number" if squared is None else f"{squared**0.5:.2f}"
    return (
        f"noise left in empty windows {percent(left['of_noise'])} "
        f"(before {percent(before['of_noise'])}); correlation with held-out truth "
        f"{correlation}" + (f"; {record['choice']['why']}" if "choice" in record else "")
    )


SAY: dict[str, Callable[[Record], str]] = {
    "windows": of_windows,
    "noise": of_noise,
    "contrast": of_contrast,
    "training": of_training,
}
"""The sentence for the record of each stage."""
