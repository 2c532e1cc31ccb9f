"""The page of a fit: what was learned, what it looks like, and what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.core.words import plural
from nt2c.io.micrographs import open_micrograph
from nt2c.noise.transfer import segments, tapered_power
from nt2c.pipeline.job import FitJob
from nt2c.pipeline.learning import SAMPLER
from nt2c.pipeline.training import EXAMPLES, prepared_micrographs
from nt2c.pipeline.window_files import load_windows
from nt2c.report.figures import grey_limits, png, shrink
from nt2c.report.fit_figures import mosaic, same_scale, spectra
from nt2c.report.html import Comparison, Page, Section, Table, write_page
from nt2c.report.windows import draw_overlays
from nt2c.training.sampler_files import load_sampler

PAGE = "report.html"
_SHOWN = 3
_LISTED = 20
_LONGEST_PX = 900

_MEASURES = {
    "radial_error": "radial power, worst ring: error",
    "spectrum_error": "two-dimensional power: error",
    "autocorrelation_error": "autocorrelation: error",
    "ks_distance": "distribution of values: KS distance",
    "excess_kurtosis": "excess kurtosis: difference",
    "local_variance_spread": "spread of local variance: ratio",
    "sliced_wasserstein": "sliced Wasserstein distance",
    "diversity": "diversity: ratio",
    "classifier_auc": "two-sample classifier: AUC",
}

Record = Mapping[str, Any]


def write_fit_report(job: FitJob, record: Record, evaluation: Record) -> Path:
    """Write DIR/report.html from the folders of a run; return its path.

    Parameters
    ----------
    job : FitJob
        What was done, and where.
    record : mapping
        Of `fit.json`.
    evaluation : mapping
        Of `evaluation.json`; may be empty.
    """
    stages = record["stages"]
    page = Page(
        title=f"nt2c run: {job.folder.resolve().name}",
        verdict=_verdict(stages, evaluation),
        table=Table(
            ["stage", "what came out", "time"],
            [
                [name, stage["verdict"], f"{stage['seconds']:.0f} s"]
                for name, stage in stages.items()
            ],
            words=True,
        ),
        sections=[
            *_independent(evaluation),
            _synthesized(job),
            _noise(job, stages["noise"]),
            _windows(job, stages["windows"]),
        ],
        comparisons=_comparisons(job),
        details=_details(job, record),
    )
    write_page(job.folder / PAGE, page)
    return job.folder / PAGE


def _verdict(stages: Record, evaluation: Record) -> str:
    training = stages["training"]
    left = training["noise_left"]["of_noise"]
    parts = [f"The model removes {100 * (1 - left):.0f} % of the noise in empty windows"]
    if "independent" in evaluation:
        fraction = evaluation["independent"]["fraction"]
        parts.append(
            f"and recovers {fraction['fitted']:.3f} of the signal "
            f"({fraction['coarse']:.3f} before the fit), judged by independent exposures"
        )
    return " ".join(parts) + "."


def _independent(evaluation: Record) -> list[Section]:
    if "independent" not in evaluation:
        return []
    methods = {"raw": "raw", "coarse": "model before the fit", "fitted": "fitted model"}
    result = evaluation["independent"]
    listed = {"all fields": result["fraction"], **result["fields"]}
    rows = [
        [name, *(f"{own[method]:.3f}" for method in methods)]
        for name, own in list(listed.items())[: 1 + _LISTED]
    ]
    more = len(listed) - len(rows)
    note = "Share of the signal that is recovered, judged by a second exposure; higher is better."
    note += f" {more} more in evaluation.json." if more else ""
    table = Table(["", *methods.values()], rows, emphasis=0, note=note)
    return [Section("Recovered signal", table=table)]


def _synthesized(job: FitJob) -> Section:
    real = prepared_micrographs(job.folder / "windows")
    made = torch.from_numpy(np.load(job.folder / "training" / EXAMPLES)).float()
    typical = int(made.var((-2, -1)).argsort()[len(made) // 2])
    windows, pixel_size_a = load_windows(job.folder / "windows")
    size = windows.shape[-1]

    def power(squares: Tensor) -> NDArray[np.float32]:
        return tapered_power(squares, pixel_size_a)[1].numpy()

    curves = {
        "real micrographs": power(torch.cat([segments(image, size) for image in real])),
        "synthesized micrographs": power(torch.cat([segments(image, size) for image in made])),
        "real windows of noise": power(windows),
        "synthesized noise": power(_draws(job, windows)),
    }
    frequency = tapered_power(windows[:1], pixel_size_a)[0].numpy()
    return Section(
        "A real micrograph and a synthesized one",
        "Both at the same grey scale. The model was trained on micrographs such as the second, of "
        "which it knows the truth. Their particles need not look alike; contrast and noise should.",
        [
            (
                "their middles at one grey scale",
                same_scale(("real", real[0].numpy()), ("synthesized", made[typical].numpy())),
            ),
            (
                f"mean power of {len(real)} real and {len(made)} synthesized",
                spectra(frequency, curves),
            ),
        ],
    )


def _draws(job: FitJob, windows: Tensor) -> Tensor:
    """As many draws of the sampler as there are windows, of their gain."""
    sampler = load_sampler(job.folder / "noise" / SAMPLER)
    count, size, _ = windows.shape
    drawn = sampler.sample((count, size, size), stream(job.recipe.seed, "report draws"))
    return drawn * windows.std()


def _noise(job: FitJob, stage: Record) -> Section:
    windows, _ = load_windows(job.folder / "windows")
    rows = []
    for name, title in _MEASURES.items():
        row = [title, _figure(stage["fidelity"][name])]
        rows.append([*row, _figure(stage["coloured"][name])] if "coloured" in stage else row)
    columns = ["", stage["noise"], *(["coloured Gaussian"] if "coloured" in stage else [])]
    note = (
        f"Against {plural(stage['judged_by'], 'window')} that were not learned from, with "
        "95 % confidence. A star: sets of the same noise would differ as much in less than "
        "1 of 100 cases."
    )
    pictures = same_scale(
        ("real windows", mosaic(windows.numpy())),
        ("synthesized", mosaic(_draws(job, windows).numpy())),
        side_px=4 * windows.shape[-1],
    )
    return Section(
        "Noise", "", [("windows at one grey scale", pictures)], Table(columns, rows, note=note)
    )


def _figure(measure: Record | None) -> str:
    if measure is None:
        return ""
    star = " *" if measure["differs"] else ""
    if measure["low"] is None:  # windows of a single micrograph bound nothing
        return f"{measure['value']:.3f}{star}"
    return f"{measure['value']:.3f} ({measure['low']:.3f} to {measure['high']:.3f}){star}"


def _windows(job: FitJob, stage: Record) -> Section:
    pictures = draw_overlays(job.folder / "windows", _SHOWN)
    return Section(
        "Where the noise was taken",
        f"{stage['verdict']}. No frame should hold a particle; the brighter a frame, the more the "
        "model sees in it.",
        [(path.stem, path.read_bytes()) for path in pictures],
    )


def _comparisons(job: FitJob) -> list[Comparison]:
    shown = []
    for item in job.inputs:
        try:
            with open_micrograph(item.path, job.pixel_size_a, item.star_pixel_size_a) as raw:
                before = raw.read()
            with open_micrograph(job.folder / "denoised" / item.output_name) as done:
                after = done.read()
        except InputError:  # named where it failed
            continue
        pictures = [
            png(small, grey_limits(small))
            for small in (shrink(image, _LONGEST_PX) for image in (before, after))
        ]
        caption = "Each at its own grey scale."
        shown.append(Comparison(item.path.name, pictures[0], pictures[1], caption=caption))
        if len(shown) == _SHOWN:
            break
    return shown


def _details(job: FitJob, record: Record) -> Sequence[str]:
    structures = [path.name for path in job.structures]
    return [
        f"{plural(len(record['inputs']), 'micrograph')}, recipe {job.recipe.name}, "
        f"seed {job.recipe.seed}",
        f"coarse model {record['coarse']['name']} ({record['coarse']['fingerprint']})",
        f"particles learned: {', '.join(structures) or 'random assemblies'}",
        "everything in numbers: fit.json, evaluation.json",
    ]
