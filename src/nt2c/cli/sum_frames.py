"""The command `nt2c sum-frames`."""

from pathlib import Path, PurePath

from nt2c.batch.plan import check_outputs
from nt2c.batch.summary import REMOVED
from nt2c.batch.writing import STOPPING
from nt2c.cli.commands import SumFrames
from nt2c.cli.terminal import say, warn
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.denoising.movies import UNSEEN, sum_aligned
from nt2c.io.inputs import MicrographInput, find_inputs
from nt2c.io.micrographs import open_movie, write_micrograph
from nt2c.io.mrc_writer import history_label

_KINDS = ("", "_EVN", "_ODD")
"""What is put behind the name of a movie, for the sum of all frames and of every other one."""


def sum_frames(given: SumFrames) -> int:
    """Sum movies, each into one micrograph."""
    output, kinds = given.output, _KINDS[: 3 if given.halves else 1]

    def outputs(item: MicrographInput) -> list[Path]:
        name = PurePath(item.output_name)
        return [output / name.with_stem(f"{name.stem}{kind}") for kind in kinds]

    def work(item: MicrographInput) -> None:
        with open_movie(item.path, given.pixel_size_a, item.star_pixel_size_a) as movie:
            sums, drift = sum_aligned(movie, halves=given.halves, trusted=given.aligned)
            size_a, count = movie.pixel_size_a, movie.sections
        images = (sums.whole, sums.even, sums.odd)
        for path, kind, image in zip(outputs(item), kinds, images, strict=False):
            assert image is not None
            label = history_label(f"sum of {plural(count, 'frame')}{kind.replace('_', ' ')}")
            write_micrograph(path, image, size_a, label=label)
            written.append(path)
        seen = "" if drift is None else UNSEEN
        if drift and drift.certain:
            seen = f"shifted by {drift.distance_a:.1f} A between the first and the second half"
        say(f"{item.path}: {plural(count, 'frame')}" + (f", {seen}" if seen else ""))

    movies, failed = find_inputs(given.inputs, movies=True), 0
    written: list[Path] = []
    check_outputs(
        ((path, item.path) for item in movies for path in outputs(item)),
        [item.path for item in movies],
    )
    for item in movies:
        try:
            work(item)
        except InputError as error:
            warn(f"nt2c: {error}")
            failed += 1
        except OSError as error:
            if error.errno in STOPPING:
                raise
            warn(f"nt2c: {error.filename}: {error.strerror}")
            failed += 1
    gone = [path for path in written if not path.is_file()]
    for path in gone:
        warn(f"nt2c: {path}: {REMOVED}")
    if failed < len(movies):
        say(f"results are in {output}")
    return 1 if failed or gone else 0
