"""The command `nt2c picks-to-raw`."""

from pathlib import Path
from typing import Annotated

import typer

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import plural


def picks_to_raw(
    picks: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICKS...",
            help="RELION's autopick.star, STAR files of coordinates or particles, topaz tables, "
            ".cbox, .box, .cs.",
        ),
    ],
    raw: Annotated[
        list[str],
        typer.Option(
            metavar="RAW",
            help="Raw micrographs: a folder, a pattern in quotes, a micrographs.star; for .cs an "
            "exposures.cs. Repeat for several.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    denoised: Annotated[
        list[str] | None,
        typer.Option(metavar="DENOISED", help="Micrographs picked on, for their size."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Raw pixels in one pixel of the picks, if the sizes do not tell."
        ),
    ] = None,
) -> int:
    """Rewrite picks made on denoised micrographs, for extraction from the raw ones.

    Names become those of the raw micrographs and positions are scaled to their grid; the rest of
    each file stays as it is. Run it in the project folder.
    """
    from nt2c.io.inputs import find_inputs
    from nt2c.io.pick_targets import Targets
    from nt2c.io.picks import rewrite_picks
    from nt2c.io.picks_cs import rewrite_cs_picks

    if scale is not None and (denoised or not 0 < scale < 1000):
        raise SettingsError(f"--scale {scale:g}: a positive number, and without --denoised")
    exposures = [Path(name) for name in raw if name.lower().endswith(".cs")]
    images = [name for name in raw if not name.lower().endswith(".cs")]
    targets = Targets(
        find_inputs(images) if images else [], find_inputs(denoised) if denoised else [], scale
    )
    failed, written = False, 0
    for path in picks:
        try:
            if path.suffix.lower() == ".cs":
                if len(exposures) != 1:
                    raise InputError(f"{path}: give the exposures.cs of the raw ones with --raw")
                count = rewrite_cs_picks(path, exposures[0], output)
            else:
                count = rewrite_picks(path, targets, output)
        except InputError as error:
            typer.secho(f"nt2c: {error}", err=True, fg="red")
            failed = True
        else:
            written += 1
            typer.echo(f"{path}: {plural(count, 'pick')} for the raw micrographs")
    if written:
        typer.echo(f"results are in {output}")
    return 1 if failed else 0
