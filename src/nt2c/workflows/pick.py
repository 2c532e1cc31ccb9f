"""Picks of a set of micrographs at a false discovery rate: from files to lists for other programs.

Each micrograph is looked at once, and what was found in it and in its noise is kept in a file, so
that a run that was stopped goes on and another rate costs nothing. Only lists of blobs of the whole
set are held together.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nt2c.batch.stamps import file_state, model_fingerprint
from nt2c.batch.summary import read_summary, summary_path
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.core.revision import made_by
from nt2c.denoising.denoiser import Denoiser, Prepared, load_model
from nt2c.denoising.settings import BUNDLED
from nt2c.imaging.fourier import resize
from nt2c.imaging.noise_spectrum import NoiseSpectrum
from nt2c.io.files import atomic_path
from nt2c.io.inputs import MicrographInput, find_inputs
from nt2c.io.micrographs import open_micrograph, write_micrograph
from nt2c.io.picks_written import SELECTED, MicrographPicks, write_picks
from nt2c.io.records import Record, write_json
from nt2c.io.star_outputs import write_outputs_star
from nt2c.io.star_text import STAR_HEADER, star_loop, write_star_text
from nt2c.noise.samplers import NoiseSampler
from nt2c.picking.decoys import (
    Draw,
    decoys,
    gaussian_noise,
    local_strength,
    noise_beside_signal,
    sampled_noise,
)
from nt2c.picking.detector import Blobs, find_blobs, largest_px
from nt2c.picking.discovery import Discovery, Judged, discover
from nt2c.picking.places import Places, pick_places
from nt2c.picking.significance import significance_map
from nt2c.pipeline.fit import NOISE
from nt2c.pipeline.learning import SAMPLER
from nt2c.pipeline.training import MODEL
from nt2c.training.digest import digest
from nt2c.training.sampler_files import load_sampler
from nt2c.workflows.options import LEAST_FIELDS, PickOptions

SUMMARY = "summary.json"
_LOOKED = "looked"
_DECIDING = {"diameter_a", "spacing", "fields", "pixel_size_a", "seed"}
_SHOWN_RATES = (0.01, 0.05, 0.1, 0.2)
_MOST_LEFT_OUT = 0.5  # of the area of a good micrograph


@dataclass(frozen=True)
class PickedMicrograph:
    """What was picked in a micrograph.

    Attributes
    ----------
    path : Path
        The raw micrograph.
    picks : int
        Number of picks.
    expected_noise_picks : float
        How many of them are noise, by its own fields of noise.
    left_out : dict
        Share of the area without picks, by reason.
    reason : str
        Why it is not among the selected ones; empty for a good one.
    """

    path: Path
    picks: int
    expected_noise_picks: float
    left_out: dict[str, float]
    reason: str


@dataclass(frozen=True)
class PickSummary:
    """What `summary.json` holds.

    Attributes
    ----------
    options : PickOptions
        What was asked for.
    model_hash, sampler : str
        Of what denoised, and of what drew the noise.
    noise_fields : int
        Fields of noise in all.
    threshold : float or None
        Least score that was taken; None where nothing was.
    picks : int
        Number of picks.
    expected_noise_picks : float
        How many of them are noise.
    share_95 : (float, float)
        95 % confidence interval of the share of noise picks.
    at_rates : dict
        Number of picks at other rates.
    curve : list of (float, int, float)
        Score, picks and expected noise picks, from the highest score down.
    histogram : dict
        Limits of scores (`edges`), and the numbers of blobs (`found`) and of decoys (`noise`)
        between them, decoys for as much area.
    micrographs : tuple of PickedMicrograph
        One for each that could be read.
    failed : tuple of str
        What could not, and why.
    """

    options: PickOptions
    model_hash: str
    sampler: str
    noise_fields: int
    threshold: float | None
    picks: int
    expected_noise_picks: float
    share_95: tuple[float, float]
    at_rates: dict[str, int]
    curve: list[tuple[float, int, float]]
    histogram: dict[str, list[float]]
    micrographs: tuple[PickedMicrograph, ...]
    failed: tuple[str, ...]
    made_by: dict[str, str | int]

    @property
    def selected(self) -> int:
        """Number of good micrographs."""
        return sum(not one.reason for one in self.micrographs)


class _AskedRecord(Record):
    diameter_a: tuple[float, ...]


class _MicrographRecord(Record):
    path: Path


class PickingRecord(Record):
    """What is read again of a `PickSummary`."""

    options: _AskedRecord
    noise_fields: int
    picks: int
    expected_noise_picks: float
    at_rates: Mapping[str, int]
    curve: tuple[tuple[float, int, float], ...]
    histogram: Mapping[str, tuple[float, ...]]
    micrographs: tuple[_MicrographRecord, ...]


def fit_files(folder: Path) -> tuple[Path, Path]:
    """Return model and noise sampler in the folder of a fit.

    Raises
    ------
    SettingsError
        One is missing.
    """
    files = folder / MODEL, folder / NOISE / SAMPLER
    for path in files:
        if not path.is_file():
            raise SettingsError(f"{path}: not there; give the folder of a finished nt2c fit or run")
    return files


@dataclass(frozen=True)
class _Looked:
    """Blobs of a micrograph and of its noise, in working pixels; see `_Look`."""

    item: MicrographInput
    pixel_size_a: float
    shape: tuple[int, int]
    working: tuple[int, int]
    judged: Judged
    left_out: dict[str, float]


def pick(
    inputs: str | Path | Sequence[str | Path | MicrographInput],
    output: Path | str,
    options: PickOptions,
    model: str | Path = BUNDLED,
    *,
    device: str = "auto",
    on_file: Callable[[Path, str, int], None] | None = None,
) -> PickSummary:
    """Pick particles in micrographs, and write the picks for other programs into a folder.

    What was looked at before in the same way is not looked at again.

    Parameters
    ----------
    inputs : str, Path, or sequence of them
        Raw micrographs: files, folders, patterns, or a STAR file; or what `find_inputs` gave.
    output : Path or str
        For the results, made when missing.
    options : PickOptions
        Which picks are wanted. `masks` writes `masks/NAME.mrc` (mode 0): 1 where nothing is to be
        picked; `significance` writes `significance/NAME.mrc` at the working pixel size, see
        `picking.significance`.
    model : str or Path
        A bundled model by name, or a model file; with `options.fit` its own is taken.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    on_file : callable, optional
        Called with each micrograph, why it failed or "", and the number of micrographs.

    Raises
    ------
    InputError
        No micrograph can be used.
    SettingsError
        The device, the model or a folder cannot be used.
    """
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    names = [one for one in given if not isinstance(one, MicrographInput)]
    micrographs = [one for one in given if isinstance(one, MicrographInput)] + find_inputs(names)
    fitted = fit_files(options.fit) if options.fit else None
    loaded = load_model(fitted[0] if fitted else model)
    model_hash = model_fingerprint(loaded)
    by = {} if options.denoised is None else _denoised_by(options.denoised, model_hash)
    if options.fields is None:
        options = options.replace(fields=max(1, math.ceil(LEAST_FIELDS / len(micrographs))))
    sampler, name = None, "gaussian"
    if noise_file := options.noise or (fitted and fitted[1]):
        sampler = load_sampler(noise_file, loaded.pixel_size_a)
        name = digest(sampler.to_tensors()[0].values())
    denoiser = Denoiser(loaded, device=device)
    look = _Look(denoiser, model_hash, options, Path(output), sampler, name, by)
    found: list[_Looked] = []
    failed: list[str] = []
    for index, item in enumerate(micrographs):
        reason = ""
        try:
            found.append(look(item, index))
        except (InputError, OSError) as error:
            reason = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
            failed.append(reason)
        if on_file:
            on_file(item.path, reason, len(micrographs))
    if not found:
        raise InputError(f"no micrograph can be picked on: {failed[0]}")
    stars = [Path(name) for name in names if str(name).lower().endswith(".star")]
    return _write(Path(output), options, found, failed, model_hash, name, stars)


def _denoised_by(folder: Path, model_hash: str) -> dict[str, str]:
    """Return the name of the model that made each file of a folder."""
    path = summary_path(folder)
    if not path.is_file():
        raise SettingsError(
            f"{folder}: no summary.json of nt2c denoise; the noise has to be denoised by the same "
            "model, so give a folder that nt2c denoised into, or none"
        )
    results, about = read_summary(path)
    if about.model_hash != model_hash:
        raise SettingsError(
            f"{folder}: denoised by another model; give that one, or leave the folder out"
        )
    return {os.path.relpath(one.output, folder): one.model or "" for one in results}


@dataclass(frozen=True)
class _Look:
    """Finds the blobs of a micrograph and of its noise; keeps them in `looked/NAME.npz`."""

    denoiser: Denoiser
    model_hash: str
    options: PickOptions
    folder: Path
    sampler: NoiseSampler | None
    sampler_name: str
    models: dict[str, str]

    def __call__(self, item: MicrographInput, index: int) -> _Looked:
        path = self.folder / _LOOKED / Path(item.output_name).with_suffix(".npz")
        key = self._key(item, index)
        wanted = [self._output("masks", item)] * self.options.masks
        wanted += [self._output("significance", item)] * self.options.significance
        if all(output.is_file() for output in wanted):
            known = _read(path, item, key)
            if known:
                return known
        looked = self._look(item, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(path, looked, key)
        return looked

    def _key(self, item: MicrographInput, index: int) -> str:
        what = [
            file_state(item.path), item.star_pixel_size_a, self.model_hash, self.sampler_name,
            self.options.model_dump(include=_DECIDING), index, bool(self.options.denoised),
            made_by("denoising", "picking"),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _output(self, kind: str, item: MicrographInput) -> Path:
        return self.folder / kind / Path(item.output_name).with_suffix(".mrc")

    def _look(self, item: MicrographInput, index: int) -> _Looked:
        with open_micrograph(
            item.path, self.options.pixel_size_a, item.star_pixel_size_a
        ) as micrograph:
            image, own_a = micrograph.read(), micrograph.pixel_size_a
        rows, columns = image.shape
        prepared = self.denoiser.prepare(image, own_a)
        scaled = prepared.scaled
        working = (scaled.shape[0], scaled.shape[1])
        working_a = own_a * math.sqrt(rows * columns / (working[0] * working[1]))
        sizes = [size / working_a for size in self.options.diameter_a]
        if max(sizes) > largest_px(working):
            raise InputError(
                f"particles of {max(self.options.diameter_a):g} A are too large for a field of "
                f"{columns * own_a:.0f} x {rows * own_a:.0f} A: at most a quarter of its shorter "
                "side; are diameter and pixel size right?"
            )
        diameter_px = sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])
        with torch.inference_mode():
            places = pick_places(
                scaled, prepared.scaling, prepared.valid, working_a, max(self.options.diameter_a)
            )
            told = self.denoiser.measure_noise(scaled)
            estimate, by = self._estimate(item, prepared, told)
            noise = list(self._denoised_noise(scaled, estimate, by, told, index))
        allowed = places.allowed.cpu().numpy()

        def blobs(image: NDArray[np.float32]) -> Blobs:
            return find_blobs(image, diameter_px, self.options.spacing, allowed)

        denoised = estimate.cpu().numpy()
        if self.options.significance:
            image = significance_map(denoised, noise, diameter_px, allowed)
            self._write_image("significance", item, image, working_a)
        if self.options.masks:
            self._write_mask(item, places, (rows, columns), own_a)
        judged = Judged(blobs(denoised), tuple(map(blobs, noise)))
        return _Looked(item, own_a, (rows, columns), working, judged, places.left_out)

    def _estimate(
        self, item: MicrographInput, prepared: Prepared, told: NoiseSpectrum
    ) -> tuple[Tensor, str]:
        """Signal in units of the noise, from the network or from what it made before; the model."""
        if self.options.denoised is None:
            made = self.denoiser.judged_estimate(prepared.scaled, told)
            return made.signal, made.model
        path = self.options.denoised / item.output_name
        if not path.is_file():
            raise InputError(f"{path}: not there; denoise the micrograph first")
        with open_micrograph(path) as file:
            image = torch.from_numpy(file.read()).to(prepared.scaled.device)
        rows, columns = prepared.scaled.shape
        grey = resize(image - prepared.centre, (rows, columns)) - prepared.scaling.offset
        return grey / prepared.scaling.unit, self.models.get(item.output_name, "")

    def _denoised_noise(
        self, scaled: Tensor, estimate: Tensor, by: str, told: NoiseSpectrum, index: int
    ) -> Iterator[NDArray[np.float32]]:
        """Yield denoised fields of the micrograph's noise."""
        generator = stream(self.options.seed, "decoys", index, device=scaled.device)
        fields = self.options.fields or 1
        pixel_size_a = self.denoiser.pixel_size_a
        strength = local_strength(scaled, pixel_size_a)

        def fields_of(draw: Draw, count: int) -> Iterator[tuple[Tensor, Tensor]]:
            for field in decoys(draw, strength, pixel_size_a, count, generator):
                yield field, self.denoiser.estimate(field, told, by)

        if self.sampler is not None:
            own = stream(self.options.seed, "sampler", device=scaled.device)
            draw = sampled_noise(self.sampler.sample, told, own)
        else:
            noise = told.detailed(scaled[None])
            shown = list(fields_of(gaussian_noise(noise), min(2, fields)))
            draw = gaussian_noise(noise_beside_signal(noise, scaled, estimate, shown))
        for _, denoised in fields_of(draw, fields):
            yield denoised.cpu().numpy()

    def _write_image(self, kind: str, item: MicrographInput, image: Any, size_a: float) -> None:
        path = self._output(kind, item)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_micrograph(path, image, size_a)

    def _write_mask(
        self, item: MicrographInput, places: Places, shape: tuple[int, int], size_a: float
    ) -> None:
        path = self._output("masks", item)
        path.parent.mkdir(parents=True, exist_ok=True)
        left_out = (~places.allowed).float()[None, None]
        mask = torch.nn.functional.interpolate(left_out, shape, mode="nearest")[0, 0]
        with atomic_path(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
            file.set_data(mask.cpu().numpy().astype(np.int8))
            file.voxel_size = size_a


def _table(blobs: Blobs, field: int = 0) -> NDArray[np.float32]:
    columns = (blobs.yx_px, blobs.height[:, None], blobs.diameter_px[:, None])
    return np.concatenate([*columns, np.full((len(blobs), 1), field)], 1).astype(np.float32)


def _blobs(table: NDArray[np.float32]) -> Blobs:
    wide = table.astype(np.float64)
    return Blobs(wide[:, :2], wide[:, 2], wide[:, 3])


def _keep(path: Path, looked: _Looked, key: str) -> None:
    fields = looked.judged.decoys
    about = {
        "key": key, "pixel_size_a": looked.pixel_size_a, "shape": looked.shape,
        "working": looked.working, "left_out": looked.left_out, "fields": len(fields),
    }  # fmt: skip
    noise = np.concatenate([_table(field, i) for i, field in enumerate(fields)])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, targets=_table(looked.judged.targets), noise=noise, about=json.dumps(about))


def _read(path: Path, item: MicrographInput, key: str) -> _Looked | None:
    """Return what was kept, if it was made in the same way."""
    try:
        with np.load(path) as file:
            about = json.loads(str(file["about"]))
            targets, noise = file["targets"], file["noise"]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    if about.get("key") != key:
        return None
    fields = tuple(_blobs(noise[noise[:, 4] == i]) for i in range(about["fields"]))
    rows, columns = about["shape"]
    return _Looked(
        item, about["pixel_size_a"], (rows, columns), tuple(about["working"]),
        Judged(_blobs(targets), fields), about["left_out"],
    )  # fmt: skip


def _write(
    folder: Path,
    options: PickOptions,
    found: list[_Looked],
    failed: list[str],
    model_hash: str,
    sampler: str,
    stars: Sequence[Path],
) -> PickSummary:
    judged = [one.judged for one in found]
    result = discover(judged, options.spacing)
    q_values = result.q_values()
    threshold = result.threshold(options.fdr)
    lists = [
        _in_raw_pixels(one, one.judged.targets[q <= options.fdr], q[q <= options.fdr])
        for one, q in zip(found, q_values, strict=True)
    ]
    described = tuple(
        _described(one, picks, result, index, threshold)
        for index, (one, picks) in enumerate(zip(found, lists, strict=True))
    )
    taken = sum(len(picks.score) for picks in lists)
    summary = PickSummary(
        options=options,
        model_hash=model_hash,
        sampler=sampler,
        noise_fields=sum(result.fields),
        threshold=threshold if taken else None,
        picks=taken,
        expected_noise_picks=min(float(taken), result.expected(threshold)) if taken else 0.0,
        share_95=result.interval(threshold, np.random.default_rng(options.seed)),
        at_rates={f"{p:g}": sum(int((q <= p).sum()) for q in q_values) for p in _SHOWN_RATES},
        curve=result.curve(),
        histogram=result.histogram(),
        micrographs=described,
        failed=tuple(failed),
        made_by=made_by("denoising", "picking"),
    )
    write_picks(folder, lists)
    good = [picks for picks, one in zip(lists, described, strict=True) if not one.reason]
    _write_selected(folder / SELECTED, good, stars)
    write_json(folder / SUMMARY, summary)
    return summary


def _in_raw_pixels(one: _Looked, blobs: Blobs, q: NDArray[np.float64]) -> MicrographPicks:
    scale = np.array(one.shape) / np.array(one.working)
    return MicrographPicks(
        one.item,
        one.pixel_size_a,
        one.shape,
        blobs.yx_px * scale,
        blobs.height,
        q,
        blobs.diameter_px * math.sqrt(scale.prod()),
    )


def _described(
    one: _Looked, picks: MicrographPicks, result: Discovery, index: int, threshold: float
) -> PickedMicrograph:
    noise = np.count_nonzero(result.decoys[index] >= threshold) / result.fields[index]
    worst = max(one.left_out, key=lambda reason: one.left_out[reason])
    reason = "" if len(picks.score) else "no picks"
    if one.left_out[worst] > _MOST_LEFT_OUT:
        reason = f"{worst} on {100 * one.left_out[worst]:.0f} % of the area"
    return PickedMicrograph(one.item.path, len(picks.score), noise, one.left_out, reason)


def _write_selected(path: Path, good: list[MicrographPicks], stars: Sequence[Path]) -> None:
    """List the good micrographs: as a copy of the list they come from, where that is one."""
    if len(stars) == 1 and good:
        kept = {Path(one.item.path).absolute(): (one.item.path, None) for one in good}
        write_outputs_star(path, stars[0], kept)
        return
    columns = ("rlnMicrographName", "rlnMicrographPixelSize")
    rows = [(one.name, f"{one.pixel_size_a:.6f}") for one in good]
    write_star_text(path, STAR_HEADER + star_loop("micrographs", columns, rows))
