"""What a report says of picks: how many, and how many of them are noise."""

from collections.abc import Sequence

from nt2c.report.html import Chart, Curve, Section, Table
from nt2c.workflows.pick import PickingRecord

MOST_SHOWN = 200_000
"""Picks that a page draws; beyond, it would not open any more."""


def picking_section(picking: PickingRecord) -> Section:
    """Figures of the picks, noise picks to expect at every number of picks, and the scores."""
    picks, noise = picking.picks, picking.expected_noise_picks
    diameter = " to ".join(f"{value:g}" for value in picking.options.diameter_a)
    count = len(picking.micrographs)
    text = (
        f"{picks} picks of {diameter} A in {count} micrographs, of which {noise:.1f} are expected "
        f"to be noise: picks on {picking.noise_fields} fields of noise, denoised in the same "
        "way, tell. Dirt, ice crystals and film are no noise: look at the picks. "
        'Tick "picks" at the micrographs to see them, the surest in green.'
    )
    _, taken, expected = zip(*picking.curve, strict=True) if picking.curve else ((), (), ())
    edges = picking.histogram["edges"]
    middles = [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]
    charts = [
        Chart(
            "noise picks to expect, as the threshold falls",
            [Curve("expected noise picks", taken, [max(value, 1e-2) for value in expected])],
            "picks",
            "noise picks",
            log=True,
        ),
        Chart(
            "scores",
            [
                Curve("micrographs", middles, _drawn(picking.histogram["found"])),
                Curve("noise", middles, _drawn(picking.histogram["noise"]), dashed=True),
            ],
            "score",
            "number",
            log=True,
        ),
    ]
    rows = [[f"{100 * float(rate):g} %", str(n)] for rate, n in picking.at_rates.items()]
    return Section(
        "Picks", text, table=Table(["share of noise, at most", "picks"], rows), charts=charts
    )


def _drawn(numbers: Sequence[float]) -> list[float]:
    """Return numbers that a logarithmic axis can show."""
    return [max(float(number), 0.1) for number in numbers]
