"""Turn the records of the ablation into tables and a figure, and put them into docs/results.md.

    python -m benchmarks.ablation.table [--steps N] [--results FILE] [--page FILE]

Of each data set, variant and seed the latest record counts, all with one budget: that of the
latest record unless `--steps` names another. What is between the markers of the page is replaced.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.ablation.sets import DESIGNS, RESULTS, ROOT
from benchmarks.ablation.subjects import NAMES, REAL
from benchmarks.ablation.variants import VARIANTS
from benchmarks.pages import NONE, filled, markdown

from nt2c.io.files import atomic_path
from nt2c.io.records import read_records

PAGE = ROOT / "docs" / "results.md"
FIGURE = ROOT / "docs" / "assets" / "ablation.png"
GAP_BAR_DB, NOISE_BAR, FRACTION_BAR = 0.2, 0.05, 0.02

Record = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Records of one budget, one for each (set, variant, seed)."""

    records: dict[tuple[str, str, int], Record]

    @property
    def sets(self) -> list[str]:
        return [name for name in NAMES if any(key[0] == name for key in self.records)]

    @property
    def variants(self) -> list[str]:
        return [name for name in VARIANTS if any(key[1] == name for key in self.records)]

    def of(self, subject: str, variant: str) -> dict[int, Record]:
        """Records by seed, without those that failed."""
        return {
            seed: record
            for (s, v, seed), record in sorted(self.records.items())
            if (s, v) == (subject, variant) and "error" not in record
        }

    def values(self, subject: str, variant: str, score: str) -> list[float]:
        found = [r["scores"].get(score) for r in self.of(subject, variant).values()]
        return [value for value in found if value is not None]


def chosen(records: Sequence[Record], steps: int | None) -> Results:
    trained = [r for r in records if r["variant"] != "coarse"]
    if steps is None and trained:
        steps = trained[-1]["budget"]["steps"]
    return Results(
        {
            (r["set"], r["variant"], r["seed"]): r
            for r in records
            if r["variant"] == "coarse" or r["budget"]["steps"] == steps
        }
    )


def headline(subject: str) -> str:
    return "fraction" if subject == REAL else "correlation"


def figure_of(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Mean and, of several, standard deviation."""
    if not values:
        return NONE
    text = f"{scale * fmean(values):.{digits}f}"
    return f"{text} ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else text


def score_table(results: Results, sets: Sequence[str], cell: Callable[[str, str], str]) -> str:
    return markdown(
        ["variant", *sets], ([v, *(cell(s, v) for s in sets)] for v in results.variants)
    )


def blobs(results: Results, subject: str, variant: str) -> str:
    noise = results.values(subject, variant, "blobs_in_noise")
    particles = results.values(subject, variant, "blobs_with_particles")
    return f"{fmean(noise):.0f} of {fmean(particles):.0f}" if noise else NONE


def gaps_db(results: Results, subject: str, variant: str) -> list[float]:
    """PSNR of the oracle minus that of a variant, seed by seed."""
    oracle, other = results.of(subject, "oracle"), results.of(subject, variant)
    return [
        oracle[seed]["scores"]["psnr_db"] - other[seed]["scores"]["psnr_db"]
        for seed in sorted(oracle.keys() & other.keys())
    ]


def sections(results: Results, with_figure: bool) -> list[str]:
    simulated = [name for name in results.sets if name != REAL]
    parts = [about(results), "\n".join(f"- {line}" for line in verdicts(results))]
    if with_figure:
        parts.append(
            "![Score of every variant on every data set](assets/ablation.png)\n\n"
            "Dots: seeds. Bars: their mean. Dashed: the bundled model."
        )
    parts += [
        "### Fraction (real set) and correlation with the truth (simulated sets)",
        score_table(
            results,
            results.sets,
            lambda s, v: figure_of(results.values(s, v, headline(s)), 3),
        ),
        "### PSNR in dB, after the least-squares match",
        score_table(results, simulated, lambda s, v: figure_of(results.values(s, v, "psnr_db"), 2)),
        "### Transfer gap in dB: PSNR of the oracle minus that of the variant",
        gap_table(results),
        "### Variance out of noise alone, in percent of that with particles",
        score_table(
            results,
            simulated,
            lambda s, v: figure_of(results.values(s, v, "noise_ratio"), 1, 100),
        ),
        "### Resolution in angstrom where the FRC with the truth falls below 0.5",
        score_table(results, simulated, lambda s, v: figure_of(results.values(s, v, "frc05_a"), 1)),
        "### Blobs picked in noise alone, of those picked with particles",
        score_table(results, simulated, lambda s, v: blobs(results, s, v)),
        "### AUC of a classifier that tells the noise from held-out windows (0.5: it cannot)",
        noise_table(results),
        "### Windows, contrast and noise gain",
        contrast_table(results),
    ]
    failed = failures(results)
    return [*parts, "### Failed", failed] if failed else parts


def about(results: Results) -> str:
    trained = [r for (_, v, _), r in results.records.items() if v != "coarse"]
    if not trained:
        return "Only the bundled model has been scored so far."
    budgets = {(r["budget"]["recipe"], r["budget"]["steps"]) for r in trained}
    names = " and ".join(f"recipe `{recipe}`, {steps} steps" for recipe, steps in sorted(budgets))
    factors = {r["budget"]["paper_factor"] for r in trained if r["variant"] == "paper"}
    if max(factors, default=1) > 1:
        names += f" (`paper`: {max(factors)} times as many)"
    seconds = sorted(r["seconds"]["training"] for r in trained if "seconds" in r)
    took = f", {seconds[len(seconds) // 2]:.0f} s in the middle" if seconds else ""
    commits = list(dict.fromkeys(r["commit"] for r in sorted(trained, key=lambda r: r["date"])))
    seeds = len({seed for _, _, seed in results.records})
    return (
        f"{len(results.records)} runs; {names} of the final training for every variant{took}; "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}. Commits "
        f"{', '.join(f'`{c}`' for c in commits)}. ± is the standard deviation over the seeds of "
        "contrast and final training; noise was learned once for each set."
    )


def verdicts(results: Results) -> list[str]:
    """What the figures say about the bars that were set beforehand, met or not."""
    lines = []
    sets = [s for s in results.sets if results.of(s, "wgan") and results.of(s, "coarse")]
    for subject in sets:
        score = headline(subject)
        gain = fmean(results.values(subject, "wgan", score)) - fmean(
            results.values(subject, "coarse", score)
        )
        lines.append(
            f"{subject}: {score} with WGAN noise {gain:+.3f} against the bundled model "
            f"(bar +{FRACTION_BAR}: {met(gain >= FRACTION_BAR)}). "
            f"{ranking(results, subject)}".rstrip()
        )
    for subject in sets:
        gaps = gaps_db(results, subject, "wgan")
        if gaps:
            lines.append(
                f"{subject}: transfer gap {figure_of(gaps, 2)} dB "
                f"(bar {GAP_BAR_DB}: {met(fmean(gaps) <= GAP_BAR_DB)})."
            )
        left = results.values(subject, "wgan", "noise_ratio")
        if left:
            lines.append(
                f"{subject}: {100 * fmean(left):.1f} % of the variance out of noise alone "
                f"(bar {100 * NOISE_BAR:.0f} %: {met(fmean(left) <= NOISE_BAR)})."
            )
    return lines


def met(is_met: bool) -> str:
    return "met" if is_met else "**not met**"


def ranking(results: Results, subject: str) -> str:
    """Which noise did best, and whether the seeds can tell it from the WGAN's."""
    score = headline(subject)
    learned = [v for v in ("white", "coloured", "bootstrap", "wgan") if results.of(subject, v)]
    means = {v: fmean(results.values(subject, v, score)) for v in learned}
    best = max(means, key=lambda v: means[v])
    if best == "wgan":
        rest = {v: m for v, m in means.items() if v != "wgan"}
        if not rest:
            return ""
        second = max(rest, key=lambda v: rest[v])
        return f"Best of the samplers, {means[best] - rest[second]:.3f} above {second}."
    return f"Best of the samplers: {best}, {means[best] - means['wgan']:.3f} above the WGAN."


def gap_table(results: Results) -> str:
    sets = [s for s in results.sets if s in DESIGNS]
    variants = [v for v in results.variants if v != "oracle"]

    def cell(subject: str, variant: str) -> str:
        if variant != "coarse":
            return figure_of(gaps_db(results, subject, variant), 2)
        coarse = results.values(subject, "coarse", "psnr_db")
        oracle = results.values(subject, "oracle", "psnr_db")
        return figure_of([value - coarse[0] for value in oracle] if coarse else [], 2)

    return markdown(["variant", *sets], ([v, *(cell(s, v) for s in sets)] for v in variants))


def noise_table(results: Results) -> str:
    """How well a classifier tells the sampler's noise from windows held out."""
    variants = [v for v in ("white", "coloured", "bootstrap", "wgan", "paper")
                if v in results.variants]  # fmt: skip

    def cell(subject: str, variant: str) -> str:
        for record in results.of(subject, variant).values():
            auc = record["stages"]["noise"]["fidelity"]["classifier_auc"]
            return f"{auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f})"
        return NONE

    return markdown(
        ["variant", *results.sets], ([v, *(cell(s, v) for s in results.sets)] for v in variants)
    )


def contrast_table(results: Results) -> str:
    """Windows, contrast and noise gain, measured and against the true noise."""
    rows = []
    for subject in results.sets:
        own = next((r for v in ("wgan", "coloured", "bootstrap", "white")
                    for r in results.of(subject, v).values()), None)  # fmt: skip
        if own is None:
            continue
        oracle = next(iter(results.of(subject, "oracle").values()), None)
        measured = own["stages"]["contrast"]
        found = [measured, oracle["stages"]["contrast"] if oracle else None]
        noise = own["stages"]["noise"]
        rows.append(
            [
                subject,
                str(noise["learned_from"] + noise["judged_by"]),
                str(measured["window_px"]),
                *(NONE if c is None else f"{c[key]:.3f}" for key in ("k1", "gain") for c in found),
            ]
        )
    head = ["set", "windows", "side in px", "k1", "k1, true noise", "gain", "gain, true noise"]
    return markdown(head, rows)


def failures(results: Results) -> str:
    return "\n".join(
        f"- {subject}, {variant}, seed {seed}: {record['error']}"
        for (subject, variant, seed), record in sorted(results.records.items())
        if "error" in record
    )


def draw(results: Results, path: Path) -> None:
    """One panel for each data set: the score of each variant, seed by seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = results.sets
    columns = min(3, len(sets))
    rows = -(-len(sets) // columns)
    size = (3.2 * columns, 2.6 * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, sharex=True)
    names = [v for v in results.variants if v != "coarse"]
    for axis in axes.flat[len(sets) :]:
        axis.set_axis_off()
    for axis, subject in zip(axes.flat, sets, strict=False):
        for place, variant in enumerate(names):
            values = results.values(subject, variant, headline(subject))
            colour = "0.55" if variant in ("simulated", "oracle", "paper") else "C0"
            axis.plot([place] * len(values), values, "o", color=colour, ms=4, alpha=0.7)
            if values:
                axis.plot([place - 0.3, place + 0.3], [fmean(values)] * 2, color=colour, lw=2)
        for value in results.values(subject, "coarse", headline(subject)):
            axis.axhline(value, color="0.3", lw=0.8, ls="--")
        axis.set_title(subject, fontsize=9)
        axis.set_ylabel(headline(subject), fontsize=8)
        axis.set_xticks(range(len(names)), names, rotation=60, fontsize=8)
        axis.tick_params(labelbottom=True, labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--steps", type=int, help="budget; that of the latest record if absent")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    results = chosen(read_records(arguments.results), arguments.steps)
    trained = any(v != "coarse" for v in results.variants)
    if trained:
        draw(results, arguments.figure)
    text = "\n\n".join(sections(results, trained))
    with atomic_path(arguments.page) as temporary:
        page = arguments.page.read_text(encoding="utf-8")
        temporary.write_text(filled(page, "ablation", text), encoding="utf-8")
    print(f"{len(results.records)} records in {arguments.page}")


if __name__ == "__main__":
    main()
