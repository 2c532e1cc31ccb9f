"""Fill the tables of docs/results.md and README.md, and draw their pictures, from the records.

    python -m benchmarks.report

Nothing is measured: the latest record of each method and set counts. What stands between markers
<!-- NAME: begin --> and <!-- NAME: end --> is replaced.
"""

import argparse
from pathlib import Path

from benchmarks.about import RESULTS, ROOT
from benchmarks.pages import filled
from benchmarks.quality.crops import FOLDER as CROPS
from benchmarks.report import figures, picking, quality, speed
from benchmarks.report.records import latest

from nt2c.io.files import atomic_path
from nt2c.io.records import read_records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=ROOT / "docs/results.md")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--assets", type=Path, default=ROOT / "docs/assets")
    arguments = parser.parse_args()
    scores = latest(arguments.results / "quality.jsonl")
    blobs = latest(arguments.results / "picking.jsonl", picker="blobs")
    detector = latest(arguments.results / "picking.jsonl", picker="topaz")
    runs = read_records(arguments.results / "speed.jsonl")
    figures.bands(scores, arguments.assets / "bands.png")
    figures.curves(blobs, picking.columns(blobs), arguments.assets / "picking.png")
    figures.speed(runs, arguments.assets / "speed.png")
    strips = figures.strips(CROPS, arguments.assets)
    fill(
        arguments.page,
        quality=quality.section(scores, strips),
        picking=picking.section(blobs, detector),
        speed=speed.section(runs),
    )
    fill(arguments.readme, results=quality.readme(scores, blobs), speed=speed.sentence(runs))
    print(f"{len(scores.records)} records of quality, {len(blobs.records)} of picking, "
          f"{len(runs)} of speed in {arguments.page} and {arguments.readme}")  # fmt: skip


def fill(path: Path, **texts: str) -> None:
    page = path.read_text(encoding="utf-8")
    for name, text in texts.items():
        page = filled(page, name, text)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
