"""Extraction of noise: from micrographs to a folder of particle-free windows.

The folder holds `windows.npy` (n, side, side), `windows.csv` with their places, `summary.json`, and
in `prepared/` the micrographs at the working pixel size in units of their noise (float16).
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.inference.denoiser import Denoiser, prepare
from nt2c.io.files import atomic_path
from nt2c.io.inputs import MicrographInput, is_micrograph, split_ending
from nt2c.io.micrographs import open_micrograph
from nt2c.io.records import write_json
from nt2c.models.denoiser import DenoiserModel
from nt2c.noise.extraction import (
    ExtractionSettings,
    Level,
    Windows,
    contrast,
    find_windows,
    survey,
    window_px,
)
from nt2c.noise.spectra import power_spectra

COLUMNS = ("micrograph", "y_px", "x_px", "size_px", "y_a", "x_a", "evidence")


@dataclass(frozen=True)
class FileOutcome:
    """What became of an input: used, or left out for `reason`; `warnings` name no file."""

    path: Path
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A micrograph and its windows for each (level, size in pixels)."""

    path: Path
    name: str
    pixel_size_a: float
    contrast: float
    windows: dict[tuple[Level, int], Windows]


@dataclass(frozen=True)
class _Choice:
    """Windows of one size and level: (micrograph, windows), and whether faint ones are in it."""

    level: Level
    size_px: int
    taken: list[tuple[_Found, Windows]]
    faint: bool

    @property
    def count(self) -> int:
        return sum(len(windows) for _, windows in self.taken)


def extract_noise(
    micrographs: Sequence[MicrographInput],
    folder: Path | str,
    model: DenoiserModel,
    settings: ExtractionSettings | None = None,
    *,
    pixel_size_a: float | None = None,
    masks: Path | None = None,
    device: str = "auto",
    on_file: Callable[[FileOutcome], None] | None = None,
) -> dict[str, Any]:
    """Find windows without particles in micrographs, and write them into a folder.

    One micrograph is held at a time. A file that cannot be used is left out and named.

    Parameters
    ----------
    micrographs : sequence of MicrographInput
        From `find_inputs`. At most `settings.micrographs` of them are used, evenly spaced.
    folder : Path or str
        For the results, made when missing; an earlier extraction in it is replaced.
    model : DenoiserModel
        The coarse denoiser, which decides where particles are.
    settings : ExtractionSettings, optional
        Which windows are taken.
    pixel_size_a : float, optional
        The user's pixel size, angstrom; counts before that of STAR file and header.
    masks : Path, optional
        Folder of masks (MRC or TIFF) with the names of their micrographs and the same field of
        view at any size: no window where a mask is not 0. A micrograph may have none.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    on_file : callable, optional
        Called with the outcome of each micrograph.

    Returns
    -------
    dict
        What `summary.json` holds: `windows`, their number; `micrographs` that gave them; their
        `size_px` at `pixel_size_a`; the `evidence_limit`; `spectrum`, the power per ring, 1 for
        white noise of variance 1; a record `per_micrograph`; `skipped` files with the reason;
        `warnings`.

    Raises
    ------
    InputError
        No micrograph can be used, or there are too few windows; the message says how many were
        found and what to change.
    SettingsError
        The device or the folder of masks cannot be used.
    """
    settings = settings or ExtractionSettings()
    folder = Path(folder)
    mask_files = _mask_files(masks)
    inputs = _evenly(micrographs, settings.micrographs)
    if mask_files and not any(_key(item.path) in mask_files for item in inputs):
        raise SettingsError(
            f"--mask {masks}: no mask has the name of a micrograph; {inputs[0].path.name} needs "
            f"{_key(inputs[0].path)}.mrc or .tif"
        )
    denoiser = Denoiser(model, device=device, precision="fp32")
    _clear(folder)
    names = _names(inputs)
    found: list[_Found] = []
    outcomes: list[FileOutcome] = []
    for index, (item, name) in enumerate(zip(inputs, names, strict=True)):
        search = _Search(denoiser, settings, folder, pixel_size_a, mask_files, index)
        one, outcome = search.run(item, name)
        found += [one] if one else []
        outcomes.append(outcome)
        if on_file:
            on_file(outcome)
    if not found:
        raise InputError(f"no micrograph can be used: {outcomes[0].reason}")
    choice = _choose(found, settings, model.pixel_size_a)
    windows = _write_windows(choice, folder)
    summary = _summary(choice, found, outcomes, model.pixel_size_a, windows, settings)
    write_json(folder / "summary.json", summary)
    return summary


def load_windows(folder: Path | str) -> tuple[Float[Tensor, "n s s"], float]:
    """Return the windows of an extraction, (n, side, side), and their pixel size in angstrom.

    Raises
    ------
    InputError
        The folder holds no finished extraction.
    """
    import json

    folder = Path(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        windows = np.load(folder / "windows.npy")
        return torch.from_numpy(windows.astype(np.float32)), float(summary["pixel_size_a"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: no finished extraction of noise; make one with nt2c extract-noise"
        ) from None


@dataclass(frozen=True)
class _Search:
    denoiser: Denoiser
    settings: ExtractionSettings
    folder: Path
    pixel_size_a: float | None
    mask_files: dict[str, Path]
    index: int

    def run(self, item: MicrographInput, name: str) -> tuple[_Found | None, FileOutcome]:
        """Prepare a micrograph, keep it, and find its windows of every size and limit."""
        try:
            scaled, own_a, warnings = self._prepared(item)
            allowed = self._allowed(item, scaled)
        except InputError as error:
            return None, FileOutcome(item.path, str(error))
        except OSError as error:
            return None, FileOutcome(item.path, f"cannot be read ({error.strerror or error})")
        working_a = self.denoiser.pixel_size_a
        with torch.inference_mode():
            estimate = self.denoiser.estimate(scaled)
            seen = survey(scaled, estimate, working_a, self.settings, allowed)
            windows = {
                (level, size): find_windows(
                    seen, self.settings, size, level,
                    stream(self.settings.seed, f"windows {size}", self.index),
                )
                for level in self.settings.levels
                for size in _sizes_px(self.settings, working_a)
            }  # fmt: skip
            clear = contrast(seen, self.settings)
        with atomic_path(self.folder / "prepared" / f"{name}.npy") as temporary:
            with temporary.open("wb") as file:
                np.save(file, scaled.cpu().numpy().astype(np.float16))
        found = _Found(item.path, name, own_a, clear, windows)
        return found, FileOutcome(item.path, warnings=warnings)

    def _prepared(self, item: MicrographInput) -> tuple[Tensor, float, tuple[str, ...]]:
        """Micrograph in units of its noise, its exact working pixel size, and warnings."""
        with open_micrograph(item.path, self.pixel_size_a, item.star_pixel_size_a) as micrograph:
            image = torch.from_numpy(micrograph.read()).to(self.denoiser.device)
            own_a, warnings = micrograph.pixel_size_a, micrograph.warnings
            if micrograph.sections > 1:
                warnings += (f"holds {micrograph.sections} images; only the first is used",)
        try:
            prepared = prepare(image, own_a, self.denoiser.pixel_size_a)
        except InputError as error:
            raise InputError(f"{item.path}: {error}") from None
        return prepared.scaled, own_a * image.shape[0] / prepared.scaled.shape[0], warnings

    def _allowed(self, item: MicrographInput, scaled: Tensor) -> Tensor | None:
        path = self.mask_files.get(_key(item.path))
        if path is None:
            return None
        with open_micrograph(path, 1.0) as file:
            mask = torch.from_numpy(file.reader.read(0)).to(scaled.device)
        if abs(mask.shape[0] / mask.shape[1] * scaled.shape[1] / scaled.shape[0] - 1) > 0.02:
            raise InputError(
                f"{path}: {mask.shape[0]} x {mask.shape[1]} pixels are not the field of view of "
                f"{item.path.name}; make the mask with its proportions"
            )
        shape = (scaled.shape[0], scaled.shape[1])
        return adaptive_max_pool2d((mask != 0).float()[None, None], shape)[0, 0] == 0


def _choose(found: list[_Found], settings: ExtractionSettings, working_a: float) -> _Choice:
    """Return the strictest, then largest windows with enough of them; clear micrographs first."""
    low, high = settings.faint
    clear = [one for one in found if not low < one.contrast < high]
    pools = [clear, found] if 0 < len(clear) < len(found) else [found]
    counts: dict[int, int] = {}
    for pool in pools:
        for level in settings.levels:
            for size in _sizes_px(settings, working_a):
                taken = _shared_out([(one, one.windows[level, size]) for one in pool], settings)
                choice = _Choice(level, size, taken, len(clear) < len(pool))
                if choice.count >= settings.least:
                    return choice
                counts[size] = choice.count
    listed = ", ".join(f"{count} of {size * working_a:.0f} A" for size, count in counts.items())
    raise InputError(
        f"too few windows without particles in {len(found)} micrographs: {listed}; at least "
        f"{settings.least} are needed. Give more micrographs or emptier ones (areas of the grid "
        "with few particles are best), smaller windows (--window, or extraction.windows_a in a "
        "recipe), or see whether --pixel-size is right"
    )


def _shared_out(
    taken: list[tuple[_Found, Windows]], settings: ExtractionSettings
) -> list[tuple[_Found, Windows]]:
    """Take the same number from all that have as many: `count` in all, and no one dominates.

    No micrograph gives more than three times the mean of those that give any.
    """
    counts = np.array([len(windows) for _, windows in taken])
    share = 3 / max(1, int(np.count_nonzero(counts)))
    quota = max(1, int(counts.max(initial=0)))
    while quota > 1:
        total = int(counts.clip(max=quota).sum())
        if total <= settings.count and quota <= share * total:
            break
        quota -= 1
    return [
        (one, Windows(w.y_px[:quota], w.x_px[:quota], w.size_px, w.evidence[:quota]))
        for one, w in taken
    ]


def _write_windows(choice: _Choice, folder: Path) -> Tensor:
    """Cut the windows from the micrographs that were kept; write them and their places."""
    cut: list[Tensor] = []
    rows: list[tuple[object, ...]] = []
    size = choice.size_px
    for one, windows in choice.taken:
        scaled = torch.from_numpy(np.load(folder / "prepared" / f"{one.name}.npy")).float()
        for y, x, evidence in zip(windows.y_px, windows.x_px, windows.evidence, strict=True):
            cut.append(scaled[y : y + size, x : x + size])
            middle = ((corner + size / 2) * one.pixel_size_a for corner in (y, x))
            rows.append((one.name, y, x, size, *(f"{a:.1f}" for a in middle), f"{evidence:.6f}"))
    stacked = torch.stack(cut)
    with atomic_path(folder / "windows.npy") as temporary, temporary.open("wb") as file:
        np.save(file, stacked.numpy())
    with (
        atomic_path(folder / "windows.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as text,
    ):
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return stacked


def _summary(
    choice: _Choice,
    found: list[_Found],
    outcomes: list[FileOutcome],
    working_a: float,
    windows: Tensor,
    settings: ExtractionSettings,
) -> dict[str, Any]:
    counts = {one.name: len(own) for one, own in choice.taken}
    return {
        "windows": len(windows),
        "micrographs": sum(count > 0 for count in counts.values()),
        "size_px": choice.size_px,
        "pixel_size_a": working_a,
        "evidence_limit": choice.level[0],
        "variance": float(windows.var()),
        "spectrum": _spectrum(windows, working_a),
        "per_micrograph": [
            {
                "name": one.name,
                "path": one.path,
                "windows": counts.get(one.name, 0),
                "contrast": one.contrast,
            }
            for one in found
        ],
        "skipped": [{"path": o.path, "reason": o.reason} for o in outcomes if o.reason],
        "warnings": _warnings(choice, settings),
        "settings": settings.model_dump(mode="json"),
    }


def _warnings(choice: _Choice, settings: ExtractionSettings) -> list[str]:
    warnings = []
    if choice.faint:
        warnings.append(
            "some micrographs show neither clear particles nor none: windows may hold particles "
            "too faint to see; look at the overlays"
        )
    if choice.level > settings.levels[0]:
        warnings.append(
            "few places are free of signal: windows with an evidence up to "
            f"{choice.level[0]:g} of the noise variance were taken, where "
            f"{settings.levels[0][0]:g} is usual; emptier "
            "micrographs would be better"
        )
    return warnings


def _spectrum(windows: Tensor, pixel_size_a: float) -> dict[str, list[float]]:
    """Mean power per ring of the windows; 1 for white noise of variance 1."""
    size = windows.shape[-1]
    power = power_spectra(windows - windows.mean((-2, -1), keepdim=True)).mean(0)
    k = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
    ring = (k * size).round().long().flatten()
    total = torch.zeros(int(ring.max()) + 1).index_add_(0, ring, power.flatten())
    mean = (total / torch.bincount(ring))[1 : size // 2]
    frequency = torch.arange(1, size // 2) / (size * pixel_size_a)
    return {"frequency": frequency.tolist(), "power": mean.tolist()}


def _sizes_px(settings: ExtractionSettings, working_a: float) -> list[int]:
    return list(dict.fromkeys(window_px(size, working_a) for size in settings.windows_a))


def _evenly(items: Sequence[MicrographInput], most: int) -> list[MicrographInput]:
    count = min(most, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _names(items: Sequence[MicrographInput]) -> list[str]:
    """Names of files in one folder: those of the outputs, unlike each other."""
    names = [split_ending(item.output_name)[0].replace("/", "__") for item in items]
    return [
        name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)
    ]


def _clear(folder: Path) -> None:
    """Make the folder, without what an earlier extraction left in it."""
    (folder / "prepared").mkdir(parents=True, exist_ok=True)
    for path in (folder / "prepared").glob("*.npy"):
        path.unlink()
    for name in ("summary.json", "windows.npy", "windows.csv"):
        (folder / name).unlink(missing_ok=True)


def _key(path: Path) -> str:
    return split_ending(path.name)[0]


def _mask_files(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise SettingsError(f"--mask {folder}: not a folder; give the one that holds the masks")
    return {_key(path): path for path in sorted(folder.iterdir()) if is_micrograph(path)}
