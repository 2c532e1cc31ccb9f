"""The command `nt2c sum-frames`."""

from pathlib import Path, PurePath
from typing import Annotated

import typer

from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.pixel_size import check_pixel_size


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
    from nt2c.io.inputs import MicrographInput, find_inputs
    from nt2c.io.micrographs import open_movie, write_micrograph
    from nt2c.io.mrc_writer import history_label

    def work(item: MicrographInput) -> None:
        with open_movie(item.path, pixel_size, item.star_pixel_size_a) as movie:
            sums, drift = sum_aligned(movie, halves=halves, trusted=aligned)
            size_a, count = movie.pixel_size_a, movie.sections
        kinds = {"": sums.whole, "_EVN": sums.even, "_ODD": sums.odd}
        for ending, image in kinds.items():
            if image is None:
                continue
            name = PurePath(item.output_name)
            path = output / name.with_name(f"{name.stem}{ending}.mrc")
            if path.exists() and path.samefile(item.path):
                raise InputError(f"{path}: would be written over; give another folder with -o")
            label = history_label(f"sum of {plural(count, 'frame')}{ending.replace('_', ' ')}")
            write_micrograph(path, image, size_a, label=label)
        seen = "" if drift is None else UNSEEN
        if drift and drift.certain:
            seen = f"shifted by {drift.distance_a:.1f} A between the first and the second half"
        typer.echo(f"{item.path}: {plural(count, 'frame')}" + (f", {seen}" if seen else ""))

    movies, failed = find_inputs(inputs, movies=True), 0
    for item in movies:
        try:
            work(item)
        except InputError as error:
            typer.secho(f"nt2c: {error}", err=True, fg="red")
            failed += 1
    if failed < len(movies):
        typer.echo(f"results are in {output}")
    return 1 if failed else 0
