"""The command `nt2c picks-to-raw`."""

import glob
import os
from pathlib import Path

from nt2c.batch.plan import check_outputs
from nt2c.cli.commands import PicksToRaw
from nt2c.cli.terminal import say, warn
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.io.inputs import find_inputs
from nt2c.io.pick_targets import Targets
from nt2c.io.picks import raw_picks
from nt2c.io.picks_cs import raw_cs_picks


def picks_to_raw(given: PicksToRaw) -> int:
    """Rewrite files of picks."""
    output = given.output
    exposures = [Path(name) for name in given.raw if name.lower().endswith(".cs")]
    images = [name for name in given.raw if not name.lower().endswith(".cs")]
    denoised = find_inputs(given.denoised) if given.denoised else []
    targets = Targets(find_inputs(images) if images else [], denoised, given.scale)
    paths, failed, ready = _expanded(given.picks), False, {}
    for path in paths:
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
    inputs = [*paths, *exposures, *(file.source for file in files)]
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
