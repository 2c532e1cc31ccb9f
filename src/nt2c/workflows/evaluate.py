"""How good denoised micrographs are: all of a folder, by the truth or by what stands in for it."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nt2c.core.errors import InputError, SettingsError
from nt2c.evaluation.halves import crossed_score, halves_score
from nt2c.evaluation.noise_only import pick_threshold, variance_ratio
from nt2c.evaluation.pairs import BandScore, PairScore, band_scores, pair_score, pooled_fraction
from nt2c.evaluation.spectral import Image
from nt2c.evaluation.truth import truth_score
from nt2c.io.matching import (
    Halves,
    field,
    halves_beside,
    halves_in_folders,
    image_files,
    labels,
    partner,
)
from nt2c.io.micrographs import open_micrograph
from nt2c.picking.detector import find_blobs
from nt2c.workflows.options import EvaluateOptions

Figures = dict[str, float | None]
"""Figures by name, as docs/metrics.md defines them; None where one cannot be given."""


@dataclass(frozen=True)
class Band:
    """The signal between two periods, angstrom: its share of all, and what is recovered of it."""

    coarse_a: float
    fine_a: float
    share: float
    fraction: float | None


@dataclass(frozen=True)
class Scores:
    """Micrographs compared with one kind of thing.

    Attributes
    ----------
    fields : dict of str to Figures
        Of each micrograph, by its name.
    mean : Figures
        Means over them; of independent exposures the pooled fraction.
    bands : tuple of Band
        With independent exposures: all fields pooled.
    bands_of_fields : dict of str to tuple of BandScore
        The same for each field.
    """

    fields: Mapping[str, Figures]
    mean: Figures
    bands: tuple[Band, ...] = ()
    bands_of_fields: Mapping[str, tuple[BandScore, ...]] | None = None

    def to_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        if self.bands_of_fields is None:
            return {"fields": self.fields, "mean": self.mean}
        fields = {
            name: figures
            | {"bands": [asdict(b) | {"fraction": b.fraction} for b in self.bands_of_fields[name]]}
            for name, figures in self.fields.items()
        }
        return {"fields": fields, **self.mean, "bands": [asdict(band) for band in self.bands]}


@dataclass(frozen=True)
class Evaluation:
    """What was measured of denoised micrographs; None of what they were not compared with.

    `failed` has a message for each micrograph that could not be scored.
    """

    halves: Scores | None
    truth: Scores | None
    independent: Scores | None
    noise_only: Scores | None
    failed: tuple[str, ...]

    @property
    def scores(self) -> dict[str, Scores]:
        """Those that there are, by their names."""
        kinds = ("halves", "truth", "independent", "noise_only")
        return {kind: scores for kind in kinds if (scores := getattr(self, kind)) is not None}

    def to_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        records = {kind: scores.to_record() for kind, scores in self.scores.items()}
        return {**records, "failed": list(self.failed)}


def evaluate(
    denoised: str | Path | Sequence[str | Path],
    options: EvaluateOptions,
    on_failed: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure how good denoised micrographs are; files belong together by name.

    Parameters
    ----------
    denoised : str, Path, or sequence of them
        Denoised micrographs: files or folders.
    options : EvaluateOptions
        What they are compared with.
    on_failed : callable, optional
        Called with the message of each micrograph that cannot be scored.

    Raises
    ------
    SettingsError
        A folder holds no images, a path is not there, or there are too few or too many folders.
    """
    given = [denoised] if isinstance(denoised, str | Path) else denoised
    paths = [Path(path) for path in given]
    run = _Run(options, on_failed)
    halves = None
    if options.halves:
        if len(paths) != 2:
            raise SettingsError(
                "'halves' EVEN ODD needs two DENOISED: the denoised even halves and the denoised "
                f"odd ones; got {len(paths)}"
            )
        halves = run.halves(*halves_in_folders(paths[0], paths[1], *options.halves))
    if options.halves_in:
        if len(paths) != 1:
            raise SettingsError(
                f"'halves_in' needs one DENOISED, the folder of both halves; got {len(paths)}"
            )
        halves = run.halves(*halves_beside(paths[0], options.halves_in))
    alone = options.truth or options.independent or options.noise_only
    files = image_files(paths) if alone else []
    return Evaluation(
        halves,
        run.truth(files, options.truth) if options.truth else None,
        run.independent(files, options.independent, options.raw)
        if options.independent and options.raw
        else None,
        run.noise_only(files, options.noise_only) if options.noise_only else None,
        tuple(run.failed),
    )


class _Run:
    """Scores fields, and lets the others go on where one fails."""

    def __init__(self, options: EvaluateOptions, on_failed: Callable[[str], None] | None) -> None:
        self.options = options
        self.failed: list[str] = []
        self._on_failed = on_failed

    def truth(self, files: Sequence[Path], place: Path) -> Scores:
        def score(path: Path) -> Figures:
            image, pixel_size_a = self._read(path)
            clean = self._image(partner(path, place, ("_clean", "_truth")))
            return asdict(truth_score(image, clean, pixel_size_a))

        return _with_means(self._each(files, score))

    def independent(self, files: Sequence[Path], place: Path, raw: Path) -> Scores:
        noise_sds = _noise_sds(self.options.scale)
        scores: list[PairScore] = []
        bands: list[tuple[BandScore, ...]] = []

        def score(path: Path) -> Figures:
            image, pixel_size_a = self._read(path)
            images = (image, self._image(partner(path, place)), self._image(partner(path, raw)))
            if noise_sds and field(path) not in noise_sds:
                raise InputError(f"{path}: {self.options.scale} has no row named {field(path)}")
            noise_sd = noise_sds.get(field(path))
            whole = pair_score(*images, pixel_size_a=pixel_size_a, noise_sd=noise_sd)
            split = band_scores(*images, pixel_size_a=pixel_size_a, noise_sd=noise_sd)
            scores.append(whole)
            bands.append(split)
            return asdict(whole) | {"fraction": whole.fraction}

        fields = self._each(files, score)
        pooled = tuple(
            Band(
                band[0].coarse_a,
                band[0].fine_a,
                sum(b.signal for b in band) / sum(s.signal for s in scores),
                pooled_fraction(band),
            )
            for band in zip(*bands, strict=False)
        )
        fraction = pooled_fraction(scores) if scores else None
        of_fields = dict(zip(fields, bands, strict=True))
        return Scores(fields, {"fraction": fraction}, pooled, of_fields)

    def halves(self, even: Sequence[Path], others: Callable[[Path], Halves]) -> Scores:
        def score(path: Path) -> Figures:
            (first, pixel_size_a), rest = self._read(path), map(self._image, others(path))
            raw_even, raw_odd, second = rest
            images = (raw_even, raw_odd, first, second)
            result = halves_score(*images)
            crossed = crossed_score(*images, pixel_size_a=pixel_size_a)
            return asdict(result) | {"error": result.error} | asdict(crossed)

        return _with_means(self._each(even, score))

    def noise_only(self, files: Sequence[Path], place: Path) -> Scores:
        def score(path: Path) -> Figures:
            particles, pixel_size_a = self._read(path)
            noise = self._image(partner(path, place))
            figures: Figures = {"variance_ratio": variance_ratio(noise, particles)}
            if self.options.diameter_a is not None:
                diameter_px = self.options.diameter_a / pixel_size_a
                taken = find_blobs(particles, diameter_px)
                threshold = pick_threshold([taken])
                figures["blobs_with_particles"] = taken.count(threshold)
                figures["blobs_in_noise"] = find_blobs(noise, diameter_px).count(threshold)
            return figures

        return _with_means(self._each(files, score))

    def _read(self, path: Path) -> tuple[Image, float]:
        with open_micrograph(path, self.options.pixel_size_a) as micrograph:
            if micrograph.sections > 1:
                raise InputError(
                    f"{path}: a stack of {micrograph.sections} images; give single micrographs"
                )
            return micrograph.read(), micrograph.pixel_size_a

    def _image(self, path: Path) -> Image:
        return self._read(path)[0]

    def _each(self, files: Sequence[Path], score: Callable[[Path], Figures]) -> dict[str, Figures]:
        fields = {}
        for name, path in zip(labels(files), files, strict=True):
            try:
                fields[name] = score(path)
            except InputError as error:
                self.failed.append(str(error))
                if self._on_failed:
                    self._on_failed(str(error))
        return fields


def _noise_sds(scale: Path | None) -> dict[str, float]:
    if scale is None:
        return {}
    try:
        with scale.open(newline="") as file:
            return {row["name"]: float(row["noise_sd_micrograph"]) for row in csv.DictReader(file)}
    except OSError as error:
        raise SettingsError(f"'scale' {scale}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError):
        raise SettingsError(
            f"{scale}: expected a CSV file with the columns name and noise_sd_micrograph (a number)"
        ) from None


def _with_means(fields: dict[str, Figures]) -> Scores:
    """Add means over fields; None of a figure that a field lacks: without it they would flatter."""
    rows = list(fields.values())
    return Scores(fields, {key: _mean([row[key] for row in rows]) for key in (rows or [{}])[0]})


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
