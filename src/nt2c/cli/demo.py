"""The command `nt2c demo`: hidden truth, denoised, scored and shown on one page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as ConsoleTable

from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.core.random import stream
from nt2c.evaluation.filters import best_gaussian, gaussian, radial_wiener, wiener_gain
from nt2c.evaluation.noise_only import variance_ratio
from nt2c.evaluation.truth import correlation
from nt2c.inference.denoiser import denoise, load_model
from nt2c.io.files import atomic_path
from nt2c.models.denoiser import DenoiserModel
from nt2c.report.figures import Panel, grey_limits, png, shrink, strip
from nt2c.report.html import Comparison, Page, Table, write_page
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

Image = NDArray[np.float32]
AnyImage = NDArray[np.floating[Any]]

PIXEL_SIZE_A = 2.0
SIDE_PX = 1024
SIGMAS_PX = tuple(1.25**i for i in range(1, 13))  # 1.25 to 14.6 px, in steps of a quarter
DIAMETERS_A = {"large": 260.0, "medium": 170.0, "small": 110.0}
EMPTY = "empty ice"
METHODS = ("raw", "Gaussian", "Wiener", "nt2c")


@dataclass(frozen=True)
class Field:
    """A simulated micrograph, its truth, and what each method makes of it: (y, x), counts."""

    name: str
    truth: Image
    results: dict[str, Image]


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the page and the pictures.")
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Another seed gives other particles and other noise.")
    ] = 0,
    model: Annotated[
        str, typer.Option(help="Name of a bundled model, or a model file.")
    ] = "general",
) -> None:
    """Simulate, denoise and score a few micrographs; write a page."""
    if output.exists() and not output.is_dir():
        raise SettingsError(f"{output}: a file; give a folder with --output")
    console = Console()
    network = load_model(model)
    console.print(
        f"simulating and denoising {len(DIAMETERS_A)} micrographs, and one of empty ice ..."
    )
    pairs = {name: simulated(d, seed, i) for i, (name, d) in enumerate(DIAMETERS_A.items())}
    pairs[EMPTY] = simulated(None, seed, len(DIAMETERS_A))
    started = time.perf_counter()
    denoised = {name: denoise(noisy, PIXEL_SIZE_A, network) for name, (noisy, _) in pairs.items()}
    pixels_per_s = len(pairs) * SIDE_PX**2 / (time.perf_counter() - started)
    fields = filtered_fields(pairs, denoised)

    table = scores(fields)
    for field in fields:
        with atomic_path(output / f"{field.name.replace(' ', '_')}.png") as path:
            path.write_bytes(strip(_panels(field, fields[0]), _limits(field, fields[0])))
    page = Page(
        title="nt2c demo",
        verdict=verdict(table),
        table=_page_table(table),
        comparisons=[_comparison(field, fields[0]) for field in fields],
        details=_details(network, model, seed, pixels_per_s),
    )
    write_page(output / "index.html", page)
    _print_table(console, page.table)
    console.print(f"\n{page.verdict}\n{EXTRACT_FROM_RAW}\n")
    console.print(f"look at {output / 'index.html'}", soft_wrap=True)


def simulated(diameter_a: float | None, seed: int, index: int) -> tuple[Image, Image]:
    """Return a noisy micrograph and its noiseless truth.

    Parameters
    ----------
    diameter_a : float or None
        Diameter of the procedural particles in angstrom; None for ice without particles.
    seed, index : int
        Of the demo, and of the micrograph.
    """
    settings = SimulationSettings(
        pixel_size_a=PIXEL_SIZE_A,
        shape=(SIDE_PX, SIDE_PX),
        specimen=SpecimenSettings(
            species_per_field=1, coverage=(0.35, 0.35), empty=float(diameter_a is None)
        ),
        imaging=ImagingSettings(
            defocus_um=(1.5, 2.5),
            b_factor_a2=(100.0, 100.0),
            dose_e_per_a2=(40.0, 40.0),
            ice_thickness_a=(350.0, 350.0),
            ice_gain=(1.0, 1.0),
            contrast_gain=(1.0, 1.0),
            camera_pixel_size_a=(1.0, 1.0),
            detectors=("K3",),
            contamination=0.0,
            carbon=0.0,
            gradient=0.0,
        ),
    )
    size = (diameter_a or 150.0,) * 2
    bank = procedural_bank(1, PIXEL_SIZE_A, 32, size, stream(seed, "demo particles", index))
    batch = simulate(
        bank, settings, 1, stream(seed, "demo placement", index), stream(seed, "demo noise", index)
    )
    return batch.noisy[0].numpy(), batch.clean[0].numpy()


def filtered_fields(
    pairs: dict[str, tuple[Image, Image]], denoised: dict[str, Image]
) -> list[Field]:
    """Apply the linear filters, and bring the background of everything to zero.

    Both filters see the truth: the Gaussian's width and the Wiener gain are the best for each
    micrograph. The empty one gets the middle width and the gain of all others together.
    """
    fields: list[Field] = []
    sigmas: list[float] = []
    for name, (noisy, truth) in pairs.items():
        if name == EMPTY:
            blurred = gaussian(noisy, sorted(sigmas)[len(sigmas) // 2])
            known = [pairs[other] for other in DIAMETERS_A]
            gain = wiener_gain([n for n, _ in known], [t for _, t in known])
        else:
            sigma, blurred = best_gaussian(noisy, truth, SIGMAS_PX)
            sigmas.append(sigma)
            gain = wiener_gain([noisy], [truth])
        wiener = radial_wiener(noisy, gain)
        images: Sequence[AnyImage] = (noisy, blurred, wiener, denoised[name])
        results = dict(zip(METHODS, images, strict=True))
        level = {method: _centred(image) for method, image in results.items()}
        fields.append(Field(name, _centred(truth), level))
    return fields


def _centred(image: AnyImage) -> Image:
    centred: Image = (image - np.median(image)).astype(np.float32)
    return centred


def scores(fields: list[Field]) -> dict[str, dict[str, float]]:
    """Return for each method the correlation with the truth by field, and the share left of ice.

    The share is the variance of the empty micrograph over the mean of those with particles, all
    after the method.
    """
    table: dict[str, dict[str, float]] = {}
    *filled, empty = fields
    for method in METHODS:
        row = {field.name: correlation(field.results[method], field.truth) for field in filled}
        shares = [variance_ratio(empty.results[method], f.results[method]) for f in filled]
        row[EMPTY] = 1 / float(np.mean([1 / share for share in shares]))
        table[method] = row
    return table


def verdict(table: dict[str, dict[str, float]]) -> str:
    """Say in plain words how nt2c compares with the best of both filters."""
    names = list(DIAMETERS_A)
    best = {name: max(table["Gaussian"][name], table["Wiener"][name]) for name in names}
    won = sum(table["nt2c"][name] > best[name] for name in names)
    mine = float(np.mean([table["nt2c"][name] for name in names]))
    theirs = float(np.mean(list(best.values())))
    where = {0: "on none", len(names): "on every one"}.get(won, f"on {won}")
    return (
        f"nt2c is closer to the hidden truth than the best linear filter {where} of "
        f"{len(names)} micrographs with particles: correlation {mine:.2f} against {theirs:.2f} on "
        f"average. In empty ice it leaves {100 * table['nt2c'][EMPTY]:.0f} % of the variance that "
        f"it gives to particles; the better filter leaves "
        f"{100 * min(table['Gaussian'][EMPTY], table['Wiener'][EMPTY]):.0f} %."
    )


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
    caption = (
        "No particles: what is left is what a picker could mistake for one."
        if field.name == EMPTY
        else f"Random assemblies of {DIAMETERS_A[field.name]:.0f} angstrom, "
        f"{SIDE_PX} x {SIDE_PX} pixels of {PIXEL_SIZE_A:g} angstrom."
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
    return name.capitalize() + (" particles" if name in DIAMETERS_A else "")


def _page_table(table: dict[str, dict[str, float]]) -> Table:
    names = {"Gaussian": "best Gaussian", "Wiener": "best radial Wiener"}
    rows = []
    for method, row in table.items():
        correlations = [row[name] for name in DIAMETERS_A]
        cells = [f"{value:.3f}" for value in [*correlations, float(np.mean(correlations))]]
        rows.append([names.get(method, method), *cells, f"{100 * row[EMPTY]:.0f} %"])
    return Table(
        columns=["", *DIAMETERS_A, "mean", EMPTY],
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


def _print_table(console: Console, table: Table) -> None:
    shown = ConsoleTable(box=None, pad_edge=False)
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if i else "left")
    for i, row in enumerate(table.rows):
        shown.add_row(*row, style="bold" if i == table.emphasis else None)
    console.print(shown)
    console.print(table.note, style="dim")
