"""The page of `nt2c demo`, and its pictures."""

from pathlib import Path

import numpy as np

from nt2c.io.files import atomic_path
from nt2c.models.denoiser import DenoiserModel
from nt2c.report.figures import Panel, grey_limits, png, shrink, strip
from nt2c.report.html import Comparison, Page, Table, write_page
from nt2c.workflows.demo import (
    EMPTY,
    PIXEL_SIZE_A,
    Demonstration,
    Field,
    scores,
    verdict,
    with_particles,
)


def write_demo(
    folder: Path, done: Demonstration, model: DenoiserModel, name: str, seed: int
) -> Page:
    """Write `index.html` and a picture of each field; return the page.

    Parameters
    ----------
    folder : Path
        Made when missing.
    done : Demonstration
        What is shown.
    model : DenoiserModel
        That denoised it.
    name : str
        Of the model, as the user gave it.
    seed : int
        Of the demonstration.
    """
    fields, table = done.fields, scores(done.fields)
    for field in fields:
        with atomic_path(folder / f"{field.name.replace(' ', '_')}.png") as path:
            path.write_bytes(strip(_panels(field, fields[0]), _limits(field, fields[0])))
    page = Page(
        title="nt2c demo",
        verdict=verdict(table),
        table=_page_table(table),
        comparisons=[_comparison(field, fields[0]) for field in fields],
        details=_details(model, name, seed, done.pixels_per_s),
    )
    write_page(folder / "index.html", page)
    return page


def _limits(field: Field, first: Field) -> tuple[float, float]:
    """Grey scale of a field: its own; that of the first one for the empty field."""
    shown = first if field.name == EMPTY else field
    return grey_limits(shown.results["nt2c"], shown.truth, sigmas=4.5)


def _panels(field: Field, first: Field, longest_px: int = 512) -> list[Panel]:
    limits = _limits(field, first)
    images = {**field.results, "hidden truth": field.truth}
    return [
        Panel(
            title,
            small := shrink(image, longest_px),
            grey_limits(small) if title == "raw" else limits,
        )
        for title, image in images.items()
    ]


def _comparison(field: Field, first: Field) -> Comparison:
    before, after = (shrink(image, 768) for image in (field.results["raw"], field.results["nt2c"]))
    limits = _limits(field, first)
    rows, columns = field.truth.shape
    caption = (
        "No particles: what is left is what a picker could mistake for one."
        if field.diameter_a is None
        else f"Random assemblies of {field.diameter_a:.0f} angstrom, "
        f"{rows} x {columns} pixels of {PIXEL_SIZE_A:g} angstrom."
    )
    return Comparison(
        name=_heading(field.name),
        before=png(before),
        after=png(after, limits),
        labels=("raw", "nt2c"),
        caption=caption,
        panels=[(p.title, png(shrink(p.image, 256), p.limits)) for p in _panels(field, first)],
    )


def _heading(name: str) -> str:
    return name.capitalize() + ("" if name == EMPTY else " particles")


def _page_table(table: dict[str, dict[str, float]]) -> Table:
    names = {"Gaussian": "best Gaussian", "Wiener": "best radial Wiener"}
    rows = []
    for method, row in table.items():
        correlations = [row[name] for name in with_particles(row)]
        cells = [f"{value:.3f}" for value in [*correlations, float(np.mean(correlations))]]
        rows.append([names.get(method, method), *cells, f"{100 * row[EMPTY]:.0f} %"])
    return Table(
        columns=["", *with_particles(table["nt2c"]), "mean", EMPTY],
        rows=rows,
        emphasis=len(rows) - 1,
        note="Correlation with the noiseless truth for large, medium and small particles; last, "
        "variance in empty ice over that with particles. Both filters (blur, and Wiener's gain by "
        "frequency) were tuned on the truth of each micrograph; nt2c never sees it.",
    )


def _details(model: DenoiserModel, name: str, seed: int, pixels_per_s: float) -> list[str]:
    return [
        f"Model {name}, works at {model.pixel_size_a:g} angstrom per pixel; "
        f"{pixels_per_s / 1e6:.1f} million pixels per second here.",
        "The model has not met these particles; the simulator is the one that it learned from.",
        f"Simulated with seed {seed}: `nt2c demo --seed {seed + 1}` draws other particles.",
        "Every image but the raw ones is on one grey scale per micrograph; protein is dark.",
    ]
