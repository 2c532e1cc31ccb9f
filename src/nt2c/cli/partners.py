"""Which file belongs to which: partners by name in another folder."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.inputs import MICROGRAPH_ENDINGS, is_micrograph, split_ending

ROLES = ("_noisy", "_denoised", "_clean", "_truth", "_even", "_odd", "_EVN", "_ODD")
"""Endings that say what a file is; without it files of one field have one name."""


def stem(path: Path) -> str:
    """Return a file's name without the ending of an image; other dots stay."""
    return split_ending(path.name)[0]


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return the image files among files and in folders, each once, sorted within a folder.

    Raises
    ------
    SettingsError
        If a path does not exist, or there is no image file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(filter(is_micrograph, path.iterdir()))
            if not inside:
                endings = " ".join(MICROGRAPH_ENDINGS)
                raise SettingsError(f"{path}: holds no image file ({endings})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise SettingsError(f"{path}: no such file or folder")
    return list({os.path.abspath(path): path for path in found}.values())


def labels(files: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem, or the path that tells it from others of that stem."""
    count = Counter(map(stem, files))
    alike = [os.path.abspath(path.parent) for path in files if count[stem(path)] > 1]
    common = os.path.commonpath(alike) if alike else ""
    return [
        stem(path) if count[stem(path)] == 1 else os.path.relpath(path, common) for path in files
    ]


def field(path: Path) -> str:
    """Return the name of the field that a file shows: its stem without one of `ROLES`."""
    name = stem(path)
    role = next((role for role in ROLES if name.endswith(role)), "")
    return name[: len(name) - len(role)]


def partner(path: Path, place: Path, roles: Sequence[str] = ()) -> Path:
    """Return the file of `place` that shows the same field as `path`.

    Parameters
    ----------
    path : Path
        Denoised file.
    place : Path
        Folder of partners, or the partner itself.
    roles : sequence of str
        Endings to prefer, the first most; then comes the name of `path`, then any other.

    Raises
    ------
    InputError
        If no other file shows that field, or several do and none is preferred.
    """
    if place.is_file():
        return place
    fitting = [p for p in image_files([place]) if field(p) == field(path) and not p.samefile(path)]
    if not fitting:
        raise InputError(f"{path}: {place} holds no partner named {field(path)}")
    preferred = [*(field(path) + role for role in roles), stem(path)]
    ranked = sorted(fitting, key=lambda p: [*preferred, stem(p)].index(stem(p)))
    if len(ranked) > 1 and stem(ranked[0]) not in preferred:
        names = " and ".join(p.name for p in ranked[:2])
        raise InputError(f"{path}: {place} holds {names}; give a folder with one of them")
    return ranked[0]
