"""Charts and strips of pictures, written as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.quality.crops import FIELD, SHOWN
from benchmarks.report.picking import Column
from benchmarks.report.records import Latest, Record, specimen
from benchmarks.report.speed import grouped, of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nt2c.io.files import atomic_path
from nt2c.report.figures import Panel, grey_limits, strip

TITLES = {
    "raw": "raw",
    "gaussian": "best Gaussian",
    "wiener": "best Wiener",
    "wavelet": "best wavelet",
    "tv": "best total variation",
    "topaz-affine": "Topaz affine",
    "topaz-unet-small": "Topaz unet-small",
    "topaz-unet": "Topaz unet",
    "nt2c": "nt2c",
    "nt2c fit": "nt2c fit",
    "truth": "truth",
    "other_exposure": "other exposure",
}
COLOURS = {
    "raw": "0.7",
    "gaussian": "#8c6d31",
    "wiener": "#bd9e39",
    "wavelet": "#9c9ede",
    "tv": "#5254a3",
    "topaz-affine": "#c7e9c0",
    "topaz-unet-small": "#74c476",
    "topaz-unet": "#238b45",
    "nt2c": "#d62728",
    "nt2c fit": "#ff9896",
}
STRIP_HEIGHT_IN = 2.3
BANDS_SHOWN = (-0.06, 0.04)  # what falls far below leaves the chart; the table has it


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def style(method: str) -> dict[str, Any]:
    ours = method.startswith("nt2c")
    return {
        "color": COLOURS.get(method, "black"),
        "label": TITLES.get(method, method),
        "lw": 2.2 if ours else 1.3,
        "zorder": 3 if ours else 2,
    }


def bands(quality: Latest, path: Path, data: str = "empiar10146") -> None:
    """Fraction in each band, as the difference to the raw micrograph's.

    A filter that weights frequencies cannot change the fraction within a narrow band.
    """
    names = list(quality.score(data, "raw", "bands") or {})
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for method in quality.methods:
        values = quality.score(data, method, "bands")
        base = quality.score(data, "raw", "bands")
        if values and method != "raw":
            axes.plot(names, [values[n] - base[n] for n in names], marker="o", ms=3.5,
                      **style(method))  # fmt: skip
    axes.axhline(0, color="0.7", lw=1)
    axes.set_ylim(*BANDS_SHOWN)
    axes.set_xlabel("band of resolution (A)")
    axes.set_ylabel("fraction, less that of raw")
    axes.set_title("EMPIAR-10146: signal recovered in each band", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    save(figure, path)


def curves(picking: Latest, shown: Sequence[Column], path: Path) -> None:
    """Precision against recall, a panel for each specimen."""
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(2.9 * across, 2.2 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes, column in zip(panels.flat, shown, strict=False):
        for method in picking.methods:
            points = picking.score(column[0], method, "specimens", column[1], "curve")
            if points:
                axes.plot(points["recall"], points["precision"], **style(method))
        axes.set_title(specimen(*column), fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, labelbottom=True)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, ncol=5, loc="outside upper center")
    save(figure, path)


def speed(records: list[Record], path: Path) -> None:
    """Seconds for a micrograph after start-up, by size and threads, on a logarithmic scale."""
    runs = grouped(records, "run")
    figure = Figure(figsize=(7.2, 0.55 * len(runs) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(runs))[::-1]
    for shift, (program, colour) in zip(
        (0.2, -0.2), (("nt2c", "#d62728"), ("topaz", "#238b45")), strict=True
    ):
        for place, found in zip(places, runs.values(), strict=True):
            value = of(found, program, "each_s")
            if value is not None:
                axes.barh(place + shift, value, 0.36, color=colour)
                axes.text(
                    value * 1.06,
                    place + shift,
                    f"{value:.1f} s" if value < 10 else f"{value:.0f} s",
                    va="center",
                    fontsize=8,
                )
        axes.barh(0, 0, color=colour, label={"nt2c": "nt2c", "topaz": "Topaz unet"}[program])
    axes.set_yticks(places, [f"{s}, {t} thread{'s' * (t > 1)}" for s, t in runs], fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("seconds for a micrograph, file to file, after start-up")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(fontsize=8, frameon=False, loc="outside upper right", ncol=2)
    save(figure, path)


def strips(crops: Path, folder: Path) -> list[str]:
    """Name the sets with a strip, drawn anew where parts of the images are kept.

    All panels of a strip share one grey scale.
    """
    made = []
    for data in FIELD:
        images = {
            key: np.load(kept).astype(np.float32)
            for key in (*(m.replace(" ", "_") for m in SHOWN), "truth", "other_exposure")
            if (kept := crops / f"{data}-{key}.npy").is_file()
        }
        path = folder / f"strip-{data}.png"
        if len(images) < 3:
            made += [data] if path.is_file() else []
            continue
        smooth = [image for key, image in images.items() if key not in ("raw", "other_exposure")]
        limits = grey_limits(*smooth, sigmas=4.0)
        panels = [Panel(TITLES.get(k.replace("_", " "), TITLES.get(k, k)), image)
                  for k, image in images.items()]  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(strip(panels, limits, STRIP_HEIGHT_IN))
        made.append(data)
    return made
