"""Extraction of noise: from micrographs to a folder of particle-free windows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.denoising.denoiser import Denoiser, Prepared, prepare
from nt2c.denoising.polarity import polarity_warnings
from nt2c.imaging.fourier import Rings
from nt2c.io.inputs import MicrographInput, split_ending
from nt2c.io.matching import SameName, stem
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
)
from nt2c.noise.spectra import power_spectra
from nt2c.pipeline.options import ExtractOptions
from nt2c.pipeline.raw_windows import write_raw_windows
from nt2c.pipeline.records import (
    ExtractionRecord,
    SkippedRecord,
    SourceRecord,
    SpectrumRecord,
)
from nt2c.pipeline.window_choice import Choice, Found, choose, sizes_px
from nt2c.pipeline.window_files import clear, write_prepared, write_windows


@dataclass(frozen=True)
class FileOutcome:
    """What became of an input: used, or left out for `reason`; `warnings` name no file."""

    path: Path
    reason: str = ""
    warnings: tuple[str, ...] = ()


def extract_noise(
    micrographs: Sequence[MicrographInput],
    folder: Path | str,
    model: DenoiserModel,
    settings: ExtractionSettings | None = None,
    options: ExtractOptions | None = None,
    on_file: Callable[[FileOutcome], None] | None = None,
) -> ExtractionRecord:
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
    options : ExtractOptions, optional
        How it is done. A mask has the field of view of its micrograph, at any size; a micrograph
        may have none. For the windows at the pixel size of their micrographs see `raw_windows`.
    on_file : callable, optional
        Called with the outcome of each micrograph.

    Returns
    -------
    ExtractionRecord
        What `summary.json` holds.

    Raises
    ------
    InputError
        No micrograph can be used, or there are too few windows; the message says how many were
        found and what to change.
    SettingsError
        The device or the folder of masks cannot be used.
    """
    settings, options = settings or ExtractionSettings(), options or ExtractOptions()
    folder = Path(folder)
    mask_files = SameName(options.mask) if options.mask else None
    inputs = evenly(micrographs, settings.micrographs)
    if mask_files and not any(item.path in mask_files for item in inputs):
        raise SettingsError(
            f"{options.mask}: no mask has the name of a micrograph; {inputs[0].path.name} needs "
            f"{stem(inputs[0].path)}.mrc or .tif"
        )
    denoiser = Denoiser(model, device=options.device, precision="fp32")
    clear(folder)
    names = _names(inputs)
    found: list[Found] = []
    outcomes: list[FileOutcome] = []
    for index, (item, name) in enumerate(zip(inputs, names, strict=True)):
        search = _Search(denoiser, settings, options, folder, mask_files, index)
        one, outcome = search.run(item, name)
        found += [one] if one else []
        outcomes.append(outcome)
        if on_file:
            on_file(outcome)
    if not found:
        raise InputError(f"no micrograph can be used: {outcomes[0].reason}")
    choice = choose(found, settings, model.pixel_size_a)
    windows = write_windows(choice, folder)
    if options.raw:
        write_raw_windows(choice, folder)
    summary = _summary(choice, found, outcomes, model.pixel_size_a, windows, settings)
    write_json(folder / "summary.json", summary)
    return summary


@dataclass(frozen=True)
class Seen:
    """The contrast of a micrograph, and its windows for each (level, size in pixels)."""

    contrast: float
    windows: dict[tuple[Level, int], Windows]


def search(
    denoiser: Denoiser,
    scaled: Tensor,
    settings: ExtractionSettings,
    index: int = 0,
    allowed: Tensor | None = None,
    seed: int = 0,
) -> Seen:
    """Find the windows of a prepared micrograph, of every size and limit.

    Parameters
    ----------
    denoiser : Denoiser
        Decides where particles are.
    scaled : Tensor, shape (y, x)
        Micrograph in units of its noise at the denoiser's pixel size.
    settings : ExtractionSettings
        Which windows are wanted; strict levels and large sizes come first in the result.
    index : int
        Which of several micrographs it is, for the random choice between acceptable windows.
    allowed : Tensor, optional
        True where windows may lie.
    seed : int
        Of that choice.
    """
    working_a = denoiser.pixel_size_a
    with torch.inference_mode():
        estimate = denoiser.estimate(scaled)
        seen = survey(scaled, estimate, working_a, settings, allowed)
        windows = {
            (level, size): find_windows(
                seen, settings, size, level, stream(seed, f"windows {size}", index)
            )
            for level in settings.levels
            for size in sizes_px(settings, working_a)
        }
        return Seen(contrast(seen, settings), windows)


@dataclass(frozen=True)
class _Search:
    denoiser: Denoiser
    settings: ExtractionSettings
    options: ExtractOptions
    folder: Path
    mask_files: SameName | None
    index: int

    def run(self, item: MicrographInput, name: str) -> tuple[Found | None, FileOutcome]:
        """Prepare a micrograph, keep it, and find its windows of every size and limit."""
        try:
            prepared, own_a, warnings = self._prepared(item)
            scaled, allowed = prepared.scaled, prepared.valid
            mask = self._allowed(item, scaled)
            if mask is not None:
                allowed = mask if allowed is None else mask & allowed
        except InputError as error:
            return None, FileOutcome(item.path, str(error))
        except OSError as error:
            return None, FileOutcome(item.path, f"cannot be read ({error.strerror or error})")
        seen = search(self.denoiser, scaled, self.settings, self.index, allowed, self.options.seed)
        write_prepared(self.folder, name, scaled)
        found = Found(item.path, name, own_a, seen.contrast, seen.windows)
        return found, FileOutcome(item.path, warnings=warnings)

    def _prepared(self, item: MicrographInput) -> tuple[Prepared, float, tuple[str, ...]]:
        """Micrograph in units of its noise, its exact working pixel size, and warnings."""
        with open_micrograph(
            item.path, self.options.pixel_size_a, item.star_pixel_size_a
        ) as micrograph:
            image = torch.from_numpy(micrograph.read()).to(self.denoiser.device)
            own_a, warnings = micrograph.pixel_size_a, micrograph.warnings
            if micrograph.sections > 1:
                warnings += (f"holds {micrograph.sections} images; only the first is used",)
        try:
            prepared = prepare(image, own_a, self.denoiser.pixel_size_a)
        except InputError as error:
            raise InputError(f"{item.path}: {error}") from None
        warnings += polarity_warnings(prepared.scaled, self.denoiser.pixel_size_a)
        exact_a = own_a * image.shape[0] / prepared.scaled.shape[0]
        return prepared, exact_a, warnings + prepared.warnings

    def _allowed(self, item: MicrographInput, scaled: Tensor) -> Tensor | None:
        path = self.mask_files.of(item.path) if self.mask_files else None
        if path is None:
            return None
        with open_micrograph(path, 1.0) as file:
            mask = torch.from_numpy(file.read_unchecked()).to(scaled.device)
        if abs(mask.shape[0] / mask.shape[1] * scaled.shape[1] / scaled.shape[0] - 1) > 0.02:
            raise InputError(
                f"{path}: {mask.shape[0]} x {mask.shape[1]} pixels are not the field of view of "
                f"{item.path.name}; make the mask with its proportions"
            )
        shape = (scaled.shape[0], scaled.shape[1])
        return adaptive_max_pool2d((mask != 0).float()[None, None], shape)[0, 0] == 0


def _summary(
    choice: Choice,
    found: list[Found],
    outcomes: list[FileOutcome],
    working_a: float,
    windows: Tensor,
    settings: ExtractionSettings,
) -> ExtractionRecord:
    counts = {one.name: len(own) for one, own in choice.taken}
    return ExtractionRecord(
        windows=len(windows),
        micrographs=sum(count > 0 for count in counts.values()),
        size_px=choice.size_px,
        pixel_size_a=working_a,
        evidence_limit=choice.level[0],
        variance=float(windows.var()),
        spectrum=_spectrum(windows, working_a),
        per_micrograph=tuple(
            SourceRecord(
                name=one.name,
                path=one.path.absolute(),
                windows=counts.get(one.name, 0),
                contrast=one.contrast,
            )
            for one in found
        ),
        skipped=tuple(
            SkippedRecord(path=str(o.path), reason=o.reason) for o in outcomes if o.reason
        ),
        warnings=tuple(_warnings(choice, settings)),
        settings=settings.model_dump(mode="json"),
    )


def _warnings(choice: Choice, settings: ExtractionSettings) -> list[str]:
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


def _spectrum(windows: Tensor, pixel_size_a: float) -> SpectrumRecord:
    """Mean power per ring of the windows; 1 for white noise of variance 1."""
    size = windows.shape[-1]
    power = power_spectra(windows - windows.mean((-2, -1), keepdim=True)).mean(0)
    mean = Rings.nearest((size, size)).means(power)[1 : size // 2]
    frequency = torch.arange(1, size // 2) / (size * pixel_size_a)
    return SpectrumRecord(frequency=tuple(frequency.tolist()), power=tuple(mean.tolist()))


def evenly(items: Sequence[MicrographInput], most: int) -> list[MicrographInput]:
    """Return at most so many of the micrographs, evenly spread."""
    count = min(most, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _names(items: Sequence[MicrographInput]) -> list[str]:
    """Names of files in one folder: those of the outputs, unlike each other."""
    names = [split_ending(item.output_name)[0].replace("/", "__") for item in items]
    distinct: list[str] = []
    for index, name in enumerate(names):
        if names.count(name) > 1:
            name = f"{name}_{index}"
            while name in names or name in distinct:
                name += "_"
        distinct.append(name)
    return distinct
