"""Whether a fit paid: is its model better, level or worse, and which one to use."""

from collections.abc import Sequence

import numpy as np

from nt2c.pipeline.choosing import FIELDS, GIVEN, MICROGRAPHS, START
from nt2c.pipeline.records import ChoiceRecord, IndependentRecord
from nt2c.pipeline.training import MODEL
from nt2c.pipeline.verdicts import percent
from nt2c.report.sources import Source

LEVEL = 0.005
"""Differences in the recovered share of the signal, or in the error, that are none."""

_DATA = {
    FIELDS: "simulated particles in your noise",
    MICROGRAPHS: "held-out parts of your micrographs",
}


def fit_verdict(source: Source) -> list[str]:
    """Return the result of a fit in plain words, most important first; empty without a fit.

    An independent exposure is the best judge; then what the fit measured on data that it held out.
    """
    if not source.fit:
        return []
    training = source.fit.training
    before, fitted = str(source.fit.coarse.name), str(source.folder / MODEL)
    choice, evaluation = training.choice, source.evaluation
    if choice and choice.taken == _baseline(choice):
        verdict = (
            f"The fit found no model that is better than {before}: {fitted} is {before} again. "
            f"Use {before}."
        )
    elif evaluation and evaluation.independent:
        verdict = _by_exposures(evaluation.independent, before, fitted)
    elif choice:
        verdict = _by_what_was_held_out(choice, before, fitted)
    else:
        verdict = _unknown(before)
    left, earlier = (
        percent(one.of_noise) for one in (training.noise_left, training.noise_left_before)
    )
    return [
        verdict,
        f"In empty windows it leaves {left} of the noise, the model that its training started from "
        f"{earlier}.",
    ]


def _baseline(choice: ChoiceRecord) -> str:
    """Name, among the candidates, of the model that the whole fit started from."""
    return GIVEN if any(GIVEN in errors for errors in choice.errors.values()) else START


def _by_exposures(judged: IndependentRecord, before: str, fitted: str) -> str:
    """Compare by the recovered share of the signal: pooled, with the scatter between fields."""
    mine, other = judged.fraction.fitted, judged.fraction.coarse
    gains = [field.fitted - field.coarse for field in judged.fields.values()]
    figures = (
        f"of the signal that a second exposure shows it recovers {mine:.3f}, {before} {other:.3f}"
    )
    return _said(mine - other, max(LEVEL, 2 * _standard_error(gains)), figures, before, fitted)


def _by_what_was_held_out(choice: ChoiceRecord, before: str, fitted: str) -> str:
    """Compare by the errors on which the fit chose its model."""
    names = choice.taken, _baseline(choice)
    pairs: dict[str, tuple[float, float]] = {}
    for kind, errors in choice.errors.items():
        mine, other = map(errors.get, names)
        if mine is not None and other is not None:
            pairs[kind] = (mine, other)
    if not pairs:  # no number, of a network that went wild
        return _unknown(before)
    gain = float(np.mean([other - mine for mine, other in pairs.values()]))
    figures = "its error on " + " and on ".join(
        f"{_DATA.get(kind, kind)} is {mine:.3f}, that of {before} {other:.3f}"
        for kind, (mine, other) in pairs.items()
    )
    return _said(gain, LEVEL, figures, before, fitted)


def _unknown(before: str) -> str:
    return (
        f"Whether the fitted model is better than {before} is not known: nothing was there to "
        "judge by. A second exposure of the same fields tells: nt2c run --independent."
    )


def _said(gain: float, level: float, figures: str, before: str, fitted: str) -> str:
    if gain > level:
        return f"The fitted model is better than {before}: {figures}. Use {fitted}."
    if gain < -level:
        return f"The fitted model is worse than {before}: {figures}. Use {before}."
    return f"The fitted model is level with {before}: {figures}. Use {before}, or either."


def _standard_error(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    return float(np.std(values, ddof=1)) / len(values) ** 0.5
