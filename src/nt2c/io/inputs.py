"""From what a user names (files, folders, patterns, STAR files) to micrographs and output names."""

import glob
import os
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from nt2c.core.errors import InputError
from nt2c.io.star import read_micrographs_star

MICROGRAPH_ENDINGS = (
    ".mrc", ".mrcs", ".tif", ".tiff", ".mrc.gz", ".mrc.bz2", ".mrcs.gz", ".mrcs.bz2",
)  # fmt: skip
MOVIE_ENDINGS = (*MICROGRAPH_ENDINGS, ".eer")
_ANY_DEPTH = re.compile(r"(?:(?<=/)|^)(?:\*\*/+)*\*\*(?:/+|$)")
_PRODUCT = re.compile(r"_(EVN|ODD|PS|noDW|Ctf)$", re.IGNORECASE)
_RELION_JOB = re.compile(r"job\d{3,}$")


@dataclass(frozen=True)
class MicrographInput:
    """A micrograph to process.

    Attributes
    ----------
    path : Path
        The file; it may turn out to be missing or damaged when it is opened.
    output_name : str
        Relative path for a result, ending in .mrc or .mrcs, unlike that of any other input.
    star_pixel_size_a : float or None
        Pixel size in the STAR file that lists the micrograph, angstrom.
    """

    path: Path
    output_name: str
    star_pixel_size_a: float | None = None


@dataclass(frozen=True)
class _Found:
    path: Path
    depth: int = 1  # how many trailing parts of the path make the shortest output name
    star_pixel_size_a: float | None = None


def is_micrograph(path: Path, endings: tuple[str, ...] = MICROGRAPH_ENDINGS) -> bool:
    """Tell whether a file in a folder is taken for a micrograph, by its name; not if hidden."""
    return path.name.lower().endswith(endings) and not path.name.startswith(".")


def split_ending(name: str) -> tuple[str, str]:
    """Split a file name before the ending of a micrograph or movie; without one that is empty."""
    fitting = (ending for ending in MOVIE_ENDINGS if name.lower().endswith(ending))
    cut = len(name) - len(max(fitting, key=len, default=""))
    return name[:cut], name[cut:]


def find_inputs(
    paths: Path | str | Sequence[Path | str], *, movies: bool = False
) -> list[MicrographInput]:
    """Return the micrographs that `paths` stand for, each once, with distinct output names.

    Parameters
    ----------
    paths : Path, str, or sequence of them
        Files are taken as they are, even if missing, so that one bad name does not stop the others.
        Folders give their files with one of `MICROGRAPH_ENDINGS`, not those of their
        subfolders, and without hidden files and the products of motion correction and CTF programs
        (*_EVN, *_ODD, *_PS, *_noDW, *_Ctf). Patterns (with "**" for any depth) leave those out
        too, unless they match nothing else. STAR files give the micrographs that they list.
    movies : bool
        Each file gives one image: EER files are taken too, and all output names end in .mrc.

    Returns
    -------
    list of MicrographInput
        In the order of `paths`, sorted within folders and patterns. The output name is the file
        name (for STAR files the name in the list without "JobType/jobNNN/"); where two would be
        equal, all names from these folders keep a folder in front, and .mrc and .tif files of one
        name in one folder keep the kind in the name.

    Raises
    ------
    InputError
        A folder or pattern gives no micrograph, or a STAR file cannot be used.
    """
    found: dict[Path, _Found] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for item in _expand(path, MOVIE_ENDINGS if movies else MICROGRAPH_ENDINGS):
            whole = _absolute(item.path)
            if not whole.name:
                raise InputError(f"{path}: {item.path} is no micrograph; leave it out")
            found.setdefault(whole, item)
    names = _output_names(list(found.values()), movies)
    return [
        MicrographInput(item.path, name, item.star_pixel_size_a)
        for item, name in zip(found.values(), names, strict=True)
    ]


def _expand(given: Path | str, endings: tuple[str, ...]) -> Iterator[_Found]:
    path = Path(given)
    if path.is_dir():
        yield from _in_folder(path, endings)
    elif path.suffix.lower() == ".star":
        for listed in read_micrographs_star(path):
            yield _Found(listed.path, _star_depth(PurePath(listed.name)), listed.pixel_size_a)
    elif glob.has_magic(str(given)) and not path.exists():
        yield from _matching(str(given), endings)
    else:
        yield _Found(path)


def _in_folder(folder: Path, endings: tuple[str, ...]) -> Iterator[_Found]:
    try:
        candidates = _micrographs(folder.iterdir(), endings)
    except OSError as error:
        raise InputError(
            f"{folder}: this folder cannot be read ({error.strerror}); look with ls -ld"
        ) from None
    chosen = [path for path in candidates if not _is_product(path)]
    if not chosen:
        raise InputError(
            f"{folder}: {_nothing(candidates)} ({' '.join(endings)}) in "
            f"this folder; for files in subfolders give a pattern such as '{folder}/**/*.mrc'"
        )
    yield from map(_Found, chosen)


def _matching(pattern: str, endings: tuple[str, ...]) -> Iterator[_Found]:
    candidates = _micrographs(map(Path, set(_glob(pattern))), endings)
    if not candidates:
        raise InputError(f"{pattern}: no micrograph matches this pattern; check the path")
    yield from map(_Found, [p for p in candidates if not _is_product(p)] or candidates)


def _glob(pattern: str) -> Iterator[str]:
    """Yield what `glob.glob` does, but what "**" finds once, however many links lead there."""
    found = _ANY_DEPTH.search(pattern)
    if found is None:
        yield from glob.glob(pattern)
        return
    rest = pattern[found.end() :] or "*"
    for folder in _folders(glob.glob(pattern[: found.start()] or os.curdir)):
        yield from _glob(os.path.join(glob.escape(folder), rest))


def _folders(tops: list[str]) -> Iterator[str]:
    """Yield folders and those below, but hidden ones; by links only what is found in no other way.

    A folder that was seen is not looked at again, so that links may go round in circles.
    """
    seen: set[str] = set()
    waiting = deque(sorted(tops, key=os.path.islink))
    while waiting:
        folder = waiting.popleft()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        try:
            entries = [e for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]
        except OSError:
            continue
        waiting.extend(sorted(e.path for e in entries if e.is_symlink()))
        waiting.extendleft(e.path for e in entries if not e.is_symlink())


def _micrographs(paths: Iterable[Path], endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in paths if is_micrograph(path, endings) and not path.is_dir())


def _is_product(path: Path) -> bool:
    return bool(_PRODUCT.search(split_ending(path.name)[0]))


def _nothing(candidates: list[Path]) -> str:
    if candidates:
        return f"only {len(candidates)} products such as {candidates[0].name}, no micrographs"
    return "no micrographs"


def _star_depth(name: PurePath) -> int:
    """Count the parts of a name relative to the project folder, without "JobType/jobNNN/"."""
    if name.is_absolute() or ".." in name.parts:
        return 1
    in_job = len(name.parts) > 2 and _RELION_JOB.match(name.parts[1])
    return len(name.parts) - (2 if in_job else 0)


def _output_names(found: list[_Found], movies: bool) -> list[str]:
    """Return distinct names: the shortest; where some are equal, with more of their folders."""
    paths = [_absolute(item.path) for item in found]
    full = [path.parts for path in _full_outputs(paths, movies)]
    depths = [min(item.depth, len(parts) - 1) for item, parts in zip(found, full, strict=True)]
    while True:
        names = ["/".join(p[len(p) - d :]) for p, d in zip(full, depths, strict=True)]
        clashes = [group for group in _equal(names) if len(group) > 1]
        if not clashes:
            return names
        folders = {full[index][:-1] for group in clashes for index in group}
        grown = [i for i, p in enumerate(full) if p[:-1] in folders and depths[i] < len(p) - 1]
        if not grown:
            first, second = (found[i].path for i in clashes[0][:2])
            raise InputError(f"{first} and {second} give the same output; rename one of them")
        for index in grown:
            depths[index] += 1


def _full_outputs(paths: list[Path], movies: bool) -> list[Path]:
    """Return paths with the output's suffix; x.mrc and x.tif side by side give x_tif.mrc too."""
    plain = [path.with_name(_output_file(path.name, movies)) for path in paths]
    clashing = {i for group in _equal(plain) if len(group) > 1 for i in group}
    return [
        path.with_name(f"{path.name.replace('.', '_')}{out.suffix}")
        if index in clashing and path.name != out.name
        else out
        for index, (path, out) in enumerate(zip(paths, plain, strict=True))
    ]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _output_file(name: str, movies: bool) -> str:
    stem, ending = split_ending(name)
    return stem + (".mrcs" if ending.lower().startswith(".mrcs") and not movies else ".mrc")


def _equal(values: Sequence[object]) -> list[list[int]]:
    groups: dict[object, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        groups[value].append(index)
    return list(groups.values())
