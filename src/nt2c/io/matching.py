"""Which files belong together, as their names tell.

A name without the ending of an image is its stem. Files of one field have one stem (`SameName`), or
stems that differ by the word that says what a file is (`partner`, `halves_beside`) or by words that
programs put behind it (`picked_on`). Where two files fit equally well an error names both.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.inputs import MICROGRAPH_ENDINGS, is_micrograph, split_ending

ROLES = ("_noisy", "_denoised", "_clean", "_truth", "_even", "_odd", "_EVN", "_ODD")
"""Endings that say what a file is; without it files of one field have one name."""

_EVEN, _ODD = ("_EVN", "_even"), ("_ODD", "_odd")
_ADDED = re.compile(r"[_.-][A-Za-z]+$")  # what programs put behind names; numbers tell them apart
_UID_DIGITS = range(15, 22)

Halves = tuple[Path, Path, Path]
"""To a denoised even half: the raw even, the raw odd and the denoised odd one."""


def stem(path: PurePath | str) -> str:
    """Return a file's name without the ending of an image; other dots stay."""
    return split_ending(PurePath(path).name)[0]


def by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the files of each stem."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[stem(path)].append(path)
    return dict(found)


def field(path: Path) -> str:
    """Return the name of the field that a file shows: its stem without one of `ROLES`."""
    name = stem(path)
    role = next((role for role in ROLES if name.endswith(role)), "")
    return name[: len(name) - len(role)]


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


class SameName:
    """The image files of a folder, found by the micrographs whose stems they have.

    Parameters
    ----------
    folder : Path
        Folder of masks, of second exposures, ...

    Raises
    ------
    SettingsError
        It is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(f"{folder}: not a folder; give the one that holds the images")
        self.folder = folder
        self._files = by_stem(sorted(filter(is_micrograph, folder.iterdir())))

    def __contains__(self, path: Path) -> bool:
        """Whether a file has the stem of this micrograph."""
        return stem(path) in self._files

    def of(self, path: Path) -> Path | None:
        """Return the file with the stem of a micrograph, None if there is none.

        Raises
        ------
        InputError
            There are two.
        """
        fitting = self._files.get(stem(path), [])
        if len(fitting) > 1:
            raise _ambiguous(path, self.folder, fitting)
        return fitting[0] if fitting else None


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
        raise _ambiguous(path, place, ranked)
    return ranked[0]


def halves_in_folders(
    even: Path, odd: Path, raw_even: Path, raw_odd: Path
) -> tuple[list[Path], Callable[[Path], Halves]]:
    """Return the denoised even halves and what belongs to each, from a folder for each kind.

    Parameters
    ----------
    even, odd, raw_even, raw_odd : Path
        The denoised even halves, the denoised odd ones, and the raw ones: folders or files.

    Raises
    ------
    SettingsError
        There are no images.
    """

    def others(path: Path) -> Halves:
        return (
            partner(path, raw_even, _EVEN),
            partner(path, raw_odd, _ODD),
            partner(path, odd, _ODD),
        )

    return image_files([even]), others


def halves_beside(denoised: Path, raw: Path) -> tuple[list[Path], Callable[[Path], Halves]]:
    """Return the denoised even halves and what belongs to each, from folders that hold both halves.

    Halves are named NAME_EVN and NAME_ODD (RELION, MotionCor, AreTomo) or lie in folders "even" and
    "odd" (Warp), here or in folders below.

    Raises
    ------
    SettingsError
        There are no halves in one of the folders.
    """
    given, own = _pairs(raw), _pairs(denoised)

    def others(path: Path) -> Halves:
        name = field(path)
        fitting = [pair for pair in given if field(pair[0]) == name]
        if len(fitting) != 1:
            found = "no" if not fitting else f"{len(fitting)}"
            raise InputError(
                f"{path}: {raw} holds {found} raw halves named {name}; give one folder"
            )
        return *fitting[0], dict(own)[path]

    return [even for even, _ in own], others


def picked_on(name: str, files: Mapping[str, Sequence[Path]]) -> Path | None:
    """Return the file that a name of another program means, None if there is none.

    Parameters
    ----------
    name : str
        Name or path, with or without ending. It fits when its stem is that of the file, or differs
        from it by words at the end such as "_denoised" or "_autopick"; of several files the one
        with more equal folders above counts.
    files : mapping of str to sequence of Path
        From `by_stem`.

    Raises
    ------
    InputError
        Two files fit equally well.
    """
    own = stem(name)
    while own not in files:
        shorter = _ADDED.sub("", own)
        if shorter == own:
            return None
        own = shorter
    folders = PurePath(name).parent.parts
    ranked = sorted(files[own], key=lambda path: -_equal_end(path.parent.parts, folders))
    best = [_equal_end(path.parent.parts, folders) for path in ranked[:2]]
    if len(ranked) > 1 and best[0] == best[1]:
        raise InputError(f"'{name}': may be {ranked[0]} or {ranked[1]}; give one of them")
    return ranked[0]


def without_uid(path: str) -> str:
    """Return a file's stem without the 15 to 21 digits of its number that CryoSPARC puts first."""
    name = PurePosixPath(path.removeprefix(">")).stem
    number, _, rest = name.partition("_")
    return rest if number.isdigit() and len(number) in _UID_DIGITS and rest else name


def _ambiguous(path: Path, place: Path, fitting: Sequence[Path]) -> InputError:
    names = " and ".join(p.name for p in fitting[:2])
    return InputError(f"{path}: {place} holds {names}; give a folder with one of them")


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the even and odd halves in a folder and below."""
    files = sorted(path for path in folder.rglob("*") if is_micrograph(path))
    odd = {_place(path, _ODD, "odd"): path for path in files}
    pairs = [
        (path, odd[place])
        for path in files
        if (place := _place(path, _EVEN, "even")) is not None and place in odd
    ]
    if not pairs:
        raise SettingsError(f"{folder}: holds no halves (NAME_EVN, NAME_ODD; or even/, odd/)")
    return pairs


def _place(path: Path, endings: Sequence[str], folder: str) -> tuple[Path, str] | None:
    """Return the folder and field of a half, equal for both halves; None for other files."""
    if stem(path).endswith(tuple(endings)):
        return path.parent, field(path)
    return (path.parent.parent, stem(path)) if path.parent.name.lower() == folder else None


def _equal_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the equal folders at the end of two paths."""
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))
