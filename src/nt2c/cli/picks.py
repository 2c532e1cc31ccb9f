"""The command `nt2c picks-to-raw`."""

import glob
import os
from pathlib import Path
from typing import Annotated

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.words import plural


def picks_to_raw(
    picks: Annotated[
        list[str],
        typer.Argument(
            metavar="PICKS...",
            help="RELION's autopick.star, STAR files of coordinates or particles, topaz tables, "
            ".cbox, .box, .cs; or patterns in quotes.",
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

    Names become those of the raw micrographs, positions and pixel sizes those of their grid; the
    rest of each file stays as it is. Run it in the project folder.
    """
    from nt2c.inference.plan import check_outputs
    from nt2c.io.inputs import find_inputs
    from nt2c.io.pick_targets import Targets
    from nt2c.io.picks import raw_picks
    from nt2c.io.picks_cs import raw_cs_picks

    if scale is not None and (denoised or not 0 < scale < 1000):
        raise SettingsError(f"--scale {scale:g}: a positive number, and without --denoised")
    exposures = [Path(name) for name in raw if name.lower().endswith(".cs")]
    images = [name for name in raw if not name.lower().endswith(".cs")]
    targets = Targets(
        find_inputs(images) if images else [], find_inputs(denoised) if denoised else [], scale
    )
    given, failed, ready = _expanded(picks), False, {}
    for path in given:
        try:
            if path.suffix.lower() == ".cs":
                if len(exposures) != 1:
                    raise InputError(f"{path}: give the exposures.cs of the raw ones with --raw")
                ready[path] = raw_cs_picks(path, exposures[0], output)
            else:
                ready[path] = raw_picks(path, targets, output)
        except InputError as error:
            warn(f"nt2c: {error}")
            failed = True
    files = [file for new in ready.values() for file in new.files]
    inputs = [*given, *exposures, *(file.source for file in files)]
    check_outputs(((file.path, file.source) for file in files), inputs)
    for path, new in ready.items():
        new.write()
        for note in new.notes:
            say(f"note: {note}")
        say(f"{path}: {plural(new.count, 'pick')} for the raw micrographs")
    if ready:
        say(f"results are in {output}")
    return 1 if failed else 0


def _expanded(names: list[str]) -> list[Path]:
    """Return files for their names and for patterns, each once."""
    found: dict[Path, None] = {}
    for name in names:
        matching = [name]
        if glob.has_magic(name) and not os.path.exists(name):
            matching = sorted(glob.glob(name, recursive=True))
            if not matching:
                raise InputError(f"{name}: no file of picks matches this pattern; check the path")
        found |= dict.fromkeys(map(Path, matching))
    return list(found)
