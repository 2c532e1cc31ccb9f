"""Fit a model as `nt2c fit` does, and tell what this process wrote; run alone or by torchrun."""

import os
import sys
from pathlib import Path
from typing import Any

from nt2c.cli.app import main
from nt2c.pipeline import learning

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.link", "shutil.rmtree")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def fit(raw: Path, folder: Path, recipe: Path) -> int:
    """Return the exit code."""
    learning.FEW = 1  # windows: these micrographs hold hardly more
    where = [str(raw), "-o", str(folder), "--recipe", str(recipe)]
    return main(["fit", *where, "--noise", "wgan", "--device", "cpu"])


def note_writes(folder: Path, log: Path) -> None:
    """Write the name of each file in `folder` that this process changes into `log`."""
    log.touch()
    inside = str(folder.absolute())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and arguments[2] & _WRITING):
            name = os.fspath(arguments[0]) if isinstance(arguments[0], str | Path) else ""
            if os.path.abspath(name).startswith(inside):
                with log.open("a") as file:
                    file.write(f"{event} {name}\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    raw, folder, recipe = map(Path, sys.argv[1:])
    note_writes(folder, folder.with_name(f"written_{os.environ['RANK']}"))
    sys.exit(fit(raw, folder, recipe))
