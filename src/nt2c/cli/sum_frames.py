"""The command `nt2c sum-frames`."""

from pathlib import Path, PurePath
from typing import Annotated

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.pixel_size import check_pixel_size

_KINDS = ("", "_EVN", "_ODD")
"""What is put behind the name of a movie, for the sum of all frames and of every other one."""


def sum_frames(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Movies (.mrc, .mrcs, .tif, .eer ...), folders, patterns in quotes.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    halves: Annotated[
        bool,
        typer.Option("--halves", help="Also NAME_EVN and NAME_ODD, for nt2c evaluate --halves-in."),
    ] = False,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The frames are aligned, whatever they look like.")
    ] = False,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
    ] = None,
) -> int:
    """Sum movies whose frames are aligned, to denoise the sums.

    nt2c denoise takes each image of a stack for itself; this makes one micrograph of it, as nt2c
    denoise --sum-frames does in passing. It does not correct motion: frames that moved are refused.
    """
    check_pixel_size("--pixel-size", pixel_size)
    from nt2c.inference.movies import UNSEEN, sum_aligned
    from nt2c.inference.plan import check_outputs
    from nt2c.inference.summary import REMOVED
    from nt2c.inference.writing import STOPPING
    from nt2c.io.inputs import MicrographInput, find_inputs
    from nt2c.io.micrographs import open_movie, write_micrograph
    from nt2c.io.mrc_writer import history_label

    def outputs(item: MicrographInput) -> list[Path]:
        name = PurePath(item.output_name)
        return [
            output / name.with_stem(f"{name.stem}{kind}") for kind in _KINDS[: 3 if halves else 1]
        ]

    def work(item: MicrographInput) -> None:
        with open_movie(item.path, pixel_size, item.star_pixel_size_a) as movie:
            sums, drift = sum_aligned(movie, halves=halves, trusted=aligned)
            size_a, count = movie.pixel_size_a, movie.sections
        images = (sums.whole, sums.even, sums.odd)
        for path, kind, image in zip(outputs(item), _KINDS, images, strict=False):
            assert image is not None
            label = history_label(f"sum of {plural(count, 'frame')}{kind.replace('_', ' ')}")
            write_micrograph(path, image, size_a, label=label)
            written.append(path)
        seen = "" if drift is None else UNSEEN
        if drift and drift.certain:
            seen = f"shifted by {drift.distance_a:.1f} A between the first and the second half"
        say(f"{item.path}: {plural(count, 'frame')}" + (f", {seen}" if seen else ""))

    movies, failed = find_inputs(inputs, movies=True), 0
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
