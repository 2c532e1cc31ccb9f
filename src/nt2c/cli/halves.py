"""Even and odd halves: which files belong together."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nt2c.cli.partners import field, image_files, partner, stem
from nt2c.core.errors import InputError, SettingsError
from nt2c.io.inputs import is_micrograph

_EVEN, _ODD = ("_EVN", "_even"), ("_ODD", "_odd")

Others = tuple[Path, Path, Path]
"""To a denoised even half: the raw even, the raw odd and the denoised odd one."""


def folders_of_halves(
    denoised: Sequence[Path], raw: tuple[Path, Path]
) -> tuple[list[Path], Callable[[Path], Others]]:
    """Return the denoised even halves and what belongs to each, from a folder for each kind.

    Parameters
    ----------
    denoised : sequence of Path
        The denoised even and the denoised odd halves: two folders or files.
    raw : (Path, Path)
        The raw even and the raw odd ones.

    Raises
    ------
    SettingsError
        If there are not two, or there are no images.
    """
    if len(denoised) != 2:
        raise SettingsError(
            "--halves EVEN ODD needs two DENOISED: the denoised even halves and the denoised odd "
            f"ones; got {len(denoised)}"
        )
    even, odd = denoised

    def others(path: Path) -> Others:
        return partner(path, raw[0], _EVEN), partner(path, raw[1], _ODD), partner(path, odd, _ODD)

    return image_files([even]), others


def halves_beside(
    denoised: Sequence[Path], raw: Path
) -> tuple[list[Path], Callable[[Path], Others]]:
    """Return the denoised even halves and what belongs to each, from folders that hold both halves.

    Halves are named NAME_EVN and NAME_ODD (RELION, MotionCor, AreTomo) or lie in folders "even" and
    "odd" (Warp), here or in folders below.

    Raises
    ------
    SettingsError
        If there is not one folder, or there are no halves in one.
    """
    if len(denoised) != 1:
        raise SettingsError(
            f"--halves-in needs one DENOISED, the folder of both halves; got {len(denoised)}"
        )
    given, own = _pairs(raw), _pairs(denoised[0])

    def others(path: Path) -> Others:
        name = field(path)
        fitting = [pair for pair in given if field(pair[0]) == name]
        if len(fitting) != 1:
            found = "no" if not fitting else f"{len(fitting)}"
            raise InputError(
                f"{path}: {raw} holds {found} raw halves named {name}; give one folder"
            )
        return *fitting[0], dict(own)[path]

    return [even for even, _ in own], others


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
