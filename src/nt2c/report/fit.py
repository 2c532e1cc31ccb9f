"""What a report says of a fit: what was learned, and what it looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nt2c.core.random import stream
from nt2c.core.words import plural
from nt2c.io.records import read_records
from nt2c.noise.statistics import SHOWN
from nt2c.noise.transfer import segments, tapered_power
from nt2c.pipeline.fit import NOISE, TRAINING, WINDOWS
from nt2c.pipeline.learning import SAMPLER
from nt2c.pipeline.own_noise import prepared_micrographs
from nt2c.pipeline.records import (
    Figure,
    FitRecord,
    IndependentRecord,
    NoiseRecord,
    StageRecord,
)
from nt2c.pipeline.training import EXAMPLES
from nt2c.pipeline.window_files import load_windows
from nt2c.report.fit_figures import mosaic, same_scale
from nt2c.report.html import Chart, Curve, Section, Table
from nt2c.report.sources import Source
from nt2c.training.loop import LOG
from nt2c.training.sampler_files import load_sampler

_LISTED = 20
_CURVE = 3
_CURVES = {"loss": "loss", "validation_correlation2": "correlation² with held-out truth"}


@dataclass(frozen=True)
class Learned:
    """Windows of noise (n, s, s) of a fit, and as many draws of what it learned, of their gain."""

    windows: Tensor
    draws: Tensor
    pixel_size_a: float

    @classmethod
    def of(cls, folder: Path, fit: FitRecord) -> "Learned":
        """Load the windows of a folder, and draw."""
        windows, pixel_size_a = load_windows(folder / WINDOWS)
        sampler = load_sampler(folder / NOISE / SAMPLER, pixel_size_a)
        count, size, _ = windows.shape
        generator = stream(fit.recipe.seed, "report draws")
        draws = sampler.sample((count, size, size), generator) * windows.std()
        return cls(windows, draws, pixel_size_a)

    @property
    def curves(self) -> dict[str, list[float]]:
        """Radial power, 1 for white noise of unit variance."""
        named = {"noise windows": self.windows, "synthesized": self.draws}
        return {
            name: [float(f"{value:.3g}") for value in _power(squares, self.pixel_size_a)]
            for name, squares in named.items()
        }


def fit_sections(source: Source, fit: FitRecord, learned: Learned) -> list[Section]:
    """Sections on the recovered signal, the training, synthesized micrographs and the noise."""
    independent = source.evaluation.independent if source.evaluation else None
    return [
        *(_independent(independent) if independent else ()),
        *training_sections(source.folder),
        _synthesized(source.folder, learned),
        _noise(learned, fit.noise),
        Section(
            "Where the noise was taken",
            f'{fit.stages[WINDOWS].verdict}. Tick "noise windows" at the micrographs to see them; '
            "no frame should hold a particle.",
        ),
    ]


def fit_table(stages: Mapping[str, StageRecord]) -> Table:
    """What came out of each stage, with its warnings."""
    rows = [
        [
            name,
            ". Warning: ".join([stage.verdict, *stage.warnings]),
            f"{stage.seconds:.0f} s",
        ]
        for name, stage in stages.items()
    ]
    return Table(["stage", "what came out", "time"], rows, words=True)


def fit_details(fit: FitRecord) -> Sequence[str]:
    """How the model was made, one line each."""
    structures = [Path(path).name for path in fit.structures]
    own = ["your micrographs"] if fit.training.on_micrographs else []
    learned = [", ".join(structures) or "random assemblies", *own]
    return [
        f"fit with nt2c {fit.version}: {plural(len(fit.inputs), 'micrograph')}, "
        f"recipe {fit.recipe.name}, seed {fit.recipe.seed}, noise {fit.recipe.noise}",
        f"coarse model {fit.coarse.name} ({fit.coarse.fingerprint})",
        f"learned from: {', '.join(learned)}",
        "everything in numbers: fit.json, evaluation.json",
    ]


def _power(squares: Tensor, pixel_size_a: float) -> NDArray[np.float32]:
    return (tapered_power(squares, pixel_size_a)[1] / pixel_size_a**2).numpy()


def training_sections(folder: Path) -> list[Section]:
    """Curves of what was trained, from the logs; a sampler that was not trained has none.

    Few values are no curve: they are told in a table.
    """
    charts, rows = [], []
    for stage in (TRAINING, NOISE):
        path = folder / stage / LOG
        if not path.is_file():
            continue
        records = read_records(path)
        for key, name in _CURVES.items():
            points = [(one["step"], one[key]) for one in records if one.get(key) is not None]
            if len(points) < _CURVE:
                rows += [[f"{stage}: {name}", str(step), f"{value:.3g}"] for step, value in points]
                continue
            steps, values = zip(*points, strict=True)
            curve = Curve(name, list(steps), list(values))
            charts.append(Chart(f"{stage}: {name}", [curve], "step", name))
    table = Table(["", "step", "value"], rows) if rows else None
    text = "Loss should level off; what is judged on held-out fields should not fall."
    return [Section("Training", text, table=table, charts=charts)] if charts or rows else []


def _independent(result: IndependentRecord) -> list[Section]:
    listed = {"all fields": result.fraction, **result.fields}
    rows = [
        [name, *(f"{round(own, 3) + 0.0:.3f}" for own in (one.raw, one.coarse, one.fitted))]
        for name, one in list(listed.items())[: 1 + _LISTED]  # + 0.0: no -0.000
    ]
    more = len(listed) - len(rows)
    note = "Share of the signal that is recovered, judged by a second exposure; higher is better."
    note += f" {more} more in evaluation.json." if more else ""
    table = Table(["", "raw", "model before the fit", "fitted model"], rows, emphasis=0, note=note)
    return [Section("Recovered signal", table=table)]


def _synthesized(folder: Path, learned: Learned) -> Section:
    real = prepared_micrographs(folder / WINDOWS)
    made = torch.from_numpy(np.load(folder / TRAINING / EXAMPLES)).float()
    typical = int(made.var((-2, -1)).argsort()[len(made) // 2])
    size, pixel_size_a = learned.windows.shape[-1], learned.pixel_size_a
    squares = {
        "real micrographs": torch.cat([segments(image, size) for image in real]),
        "synthesized micrographs": torch.cat([segments(image, size) for image in made]),
        "real windows of noise": learned.windows,
        "synthesized noise": learned.draws,
    }
    frequency = tapered_power(learned.windows[:1], pixel_size_a)[0].tolist()
    curves = [
        Curve(name, frequency, _power(own, pixel_size_a).tolist(), name.startswith("synth"))
        for name, own in squares.items()
    ]
    return Section(
        "A real micrograph and a synthesized one",
        "Both at the same grey scale. The model was trained on micrographs such as the second, of "
        "which it knows the truth; of your micrographs it does not. Their particles need not look "
        "alike; contrast and noise should.",
        [
            (
                "their middles at one grey scale",
                same_scale(("real", real[0].numpy()), ("synthesized", made[typical].numpy())),
            ),
        ],
        charts=[
            Chart(
                f"mean power of {len(real)} real and {len(made)} synthesized",
                curves,
                "spatial frequency, 1/A",
                "power, 1 is white noise",
                log=True,
            )
        ],
    )


def _noise(learned: Learned, stage: NoiseRecord) -> Section:
    rows = []
    for name, title in SHOWN.items():
        row = [title, _figure(getattr(stage.fidelity, name))]
        rows.append([*row, _figure(getattr(stage.coloured, name))] if stage.coloured else row)
    columns = ["", stage.noise, *(["coloured Gaussian"] if stage.coloured else [])]
    note = (
        f"Against {plural(stage.judged_by, 'window')} that were not learned from, with "
        "95 % confidence. A star: sets of the same noise would differ as much in less than "
        "1 of 100 cases."
    )
    pictures = same_scale(
        ("real windows", mosaic(learned.windows.numpy())),
        ("synthesized", mosaic(learned.draws.numpy())),
        side_px=4 * learned.windows.shape[-1],
    )
    return Section(
        "Noise", "", [("windows at one grey scale", pictures)], Table(columns, rows, note=note)
    )


def _figure(measure: Figure | None) -> str:
    if measure is None:
        return ""
    star = " *" if measure.differs else ""
    if measure.low is None:  # windows of a single micrograph bound nothing
        return f"{measure.value:.3f}{star}"
    return f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f}){star}"
