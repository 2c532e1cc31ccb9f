"""Never worse: which model a fit leaves, judged on data that none of them was trained on.

The candidates are the trained model, the ones it started from, and the mean of the weights of the
trained one and its start, which is often better than either (Wortsman et al. 2022, WiSE-FT).
"""

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.denoising.denoiser import Denoiser
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.own_noise import judged
from nt2c.pipeline.records import ChoiceRecord
from nt2c.training.pairs import Pairs
from nt2c.training.recorrupted import NoisyMicrograph, recorrupt, signal_power, target_noise

FITTED, HALF, START, GIVEN = "fitted", "half", "start", "given"
WORDS = {
    FITTED: "the fitted model",
    HALF: "the mean of the fitted model and the one it started from",
    START: "the model that the training started from",
    GIVEN: "the model that the fit started from",
}
FIELDS, MICROGRAPHS = "fields", "micrographs"
"""Judged on: simulated particles in noise windows held out; held-out parts of the micrographs."""

Errors = Mapping[str, Mapping[str, Sequence[float]]]
"""For each kind of data and each candidate the relative squared error of each item."""


def choose(errors: Errors, baseline: str) -> ChoiceRecord:
    """Take the candidate with the least error that is not worse than the baseline on any data.

    Worse is what exceeds the standard error of the difference, item by item.

    Parameters
    ----------
    errors : mapping
        See `Errors`; every kind of data holds the same candidates.
    baseline : str
        Candidate that is taken if none is better.
    """
    totals = {baseline: 0.0}
    worse: dict[str, str] = {}
    for name in next(iter(errors.values())):
        total = 0.0
        for kind, by in errors.items():
            differences = np.subtract(by[name], by[baseline])
            chance = (
                differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else 0
            )
            if not differences.mean() <= chance:  # NaN too
                worse.setdefault(name, kind)
            total += float(differences.mean())
        if name not in worse:
            totals[name] = total
    taken = min(totals, key=lambda name: totals[name])
    means = {
        kind: {name: _finite(float(np.mean(own))) for name, own in by.items()}
        for kind, by in errors.items()
    }
    why = _why(taken, baseline, means, worse)
    return ChoiceRecord(taken=taken, why=why, errors=means)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(
    taken: str,
    baseline: str,
    means: Mapping[str, Mapping[str, float | None]],
    worse: Mapping[str, str],
) -> str:
    def said(value: float | None) -> str:
        return "no number" if value is None else f"{value:.3f}"

    figures = ", ".join(
        f"{said(by[taken])} on held-out {kind} ("
        + (f"{said(by[baseline])} before)" if taken != baseline else f"fitted {said(by[FITTED])})")
        for kind, by in means.items()
    )
    refused = worse.get(FITTED)
    return f"{WORDS[taken]} is taken: error {figures}" + (
        f"; the fitted one is worse on held-out {refused}" if refused and taken != FITTED else ""
    )


def blended(one: DenoiserModel, other: DenoiserModel) -> DenoiserModel:
    """Mean of the weights of two models of one make."""
    network = copy.deepcopy(one.network)
    second = other.network.state_dict()
    network.load_state_dict(
        {k: torch.lerp(v, second[k].to(v), 0.5) for k, v in one.network.state_dict().items()}
    )
    return DenoiserModel(network, one.pixel_size_a, one.metadata)


def errors_on_fields(model: DenoiserModel, fields: Pairs, floor: float, device: str) -> list[float]:
    """Squared error over the power of the signal and a floor, for each field."""
    denoiser = Denoiser(model, device=device, precision="fp32")
    errors = []
    for noisy, clean in zip(fields.noisy[:, 0], fields.clean[:, 0], strict=True):
        left = _estimate(denoiser, noisy) - clean
        errors.append(float(left.square().mean() / (clean.square().mean() + floor)))
    return errors


def errors_on_micrographs(
    model: DenoiserModel,
    micrographs: Sequence[NoisyMicrograph],
    strength: float,
    floor: float,
    *,
    seed: int,
    device: str,
) -> list[float]:
    """Error against the clean signal in the rows that only judge, for each micrograph.

    Estimated without truth, on recorrupted copies (`training.recorrupted`); it may be below 0.
    """
    denoiser = Denoiser(model, device=device, precision="fp32")
    power = signal_power(micrographs) + floor
    errors = []
    for index, one in enumerate(micrographs):
        height, width = one.image.shape
        noise = one.drawn((height, width), stream(seed, "judged micrographs", index))
        first, second = recorrupt(one.image, noise, strength)
        error = judged(_estimate(denoiser, first).cpu() - second).square().mean()
        errors.append((float(error) - target_noise(one.noise_sd, strength)) / power)
    return errors


def _estimate(denoiser: Denoiser, scaled: Tensor) -> Tensor:
    with torch.inference_mode():
        return denoiser.estimate(scaled.to(denoiser.device)).clone()
