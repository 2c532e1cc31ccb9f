"""Reading the micrographs of a batch, image by image; what is done already is told, not read."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nt2c.batch.flow import MemoryGate
from nt2c.batch.plan import Job
from nt2c.batch.stamps import FileState, file_state, made_by_us, stamp
from nt2c.batch.summary import FileResult
from nt2c.core.advice import GIVE_PIXEL_SIZE
from nt2c.core.errors import InputError
from nt2c.denoising.movies import SummedFrames, open_sum
from nt2c.denoising.settings import DenoiseSettings
from nt2c.imaging.fourier import resampled_shape
from nt2c.io.micrographs import Micrograph, open_micrograph

_REPLACED = "its earlier result, from another input, model or setting, is replaced"
NO_MEMORY = "not enough memory, even in tiles; use a larger machine"

_COARSE_A = 8.0  # pixels that show hardly any particle
_SMALL_FIELD_A = 1500.0  # the fields of cameras are wider, whatever the magnification
_BYTES_PER_PX = 4


@dataclass(frozen=True)
class Skip:
    """A micrograph that was done before, in the precision that was used."""

    job: Job
    precision: str


@dataclass(eq=False)
class Source:
    """An open micrograph of the batch.

    Attributes
    ----------
    job : Job
        Where it comes from, and where the result goes.
    micrograph : Micrograph
        The file; its header stays readable when it is closed.
    stamp : str
        Of the result.
    shape, pixel_size_a
        Of the result: rows and columns, and angstrom.
    own_warnings : tuple of str
        What the user should know about it besides the warnings of `micrograph`.
    started : float
        When work on it began, on the clock of `time.perf_counter`.
    failed : bool
        To be set when no more of its images are wanted.
    model : str
        Name of the model that denoises it; of the first image, as the next.
    noise_share : float or None
        What `Denoiser.judged_estimate` says of it.
    """

    job: Job
    micrograph: Micrograph
    stamp: str
    shape: tuple[int, int]
    pixel_size_a: float
    own_warnings: tuple[str, ...]
    started: float
    failed: bool = False
    model: str = ""
    noise_share: float | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about it; complete when its images are read."""
        return (*self.micrograph.warnings, *self.own_warnings)

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Keep what was noticed in one of its images."""
        self.own_warnings += tuple(w for w in warnings if w not in self.own_warnings)

    @property
    def bytes(self) -> int:
        """Memory for its images, raw and denoised, while it is worked on."""
        (rows, columns), (out_rows, out_columns) = self.micrograph.shape, self.shape
        movie = isinstance(self.micrograph.reader, SummedFrames)
        at_once = 2 if movie or self.micrograph.sections > 1 else 1
        return at_once * _BYTES_PER_PX * (rows * columns + out_rows * out_columns)


@dataclass
class Section:
    """One image of a source, or why it could not be read."""

    source: Source
    index: int
    image: NDArray[np.float32] | None = field(default=None, repr=False)
    error: InputError | None = None

    def take(self) -> NDArray[np.float32]:
        """Return the image and keep it no longer.

        Raises
        ------
        InputError
            It could not be read.
        """
        image, self.image = self.image, None
        if image is None:
            raise self.error or ValueError("the image was taken before")
        return image


class Reader:
    """Reads micrographs for a run.

    Parameters
    ----------
    settings : DenoiseSettings
        How they will be denoised.
    model_hash : str
        From `model_fingerprint`.
    gate : MemoryGate
        Each source enters it with `Source.bytes`; whoever is done with the source lets it leave.
    overwrite : bool
        Take nothing for done, and write over files that nt2c did not make.
    """

    def __init__(
        self, settings: DenoiseSettings, model_hash: str, gate: MemoryGate, *, overwrite: bool
    ) -> None:
        self._settings, self._model_hash = settings, model_hash
        self._gate, self._overwrite = gate, overwrite

    def read(self, jobs: Iterable[Job]) -> Iterator[Section | Skip | FileResult]:
        """Yield the images of each job in order, or what became of it without reading."""
        for job in jobs:
            try:
                yield from self._read(job)
            except (InputError, OSError, MemoryError) as error:
                yield FileResult(job.item.path, job.output, "failed", explain(error, job))

    def _read(self, job: Job) -> Iterator[Section | Skip]:
        started = time.perf_counter()
        state = file_state(job.item.path)
        key = stamp(job.item, state, self._model_hash, self._settings)
        precision = self._done_in(job.output, key)
        if precision:
            yield Skip(job, precision)
            return
        opened = open_sum if self._settings.sum_frames else open_micrograph
        with opened(
            job.item.path,
            self._settings.pixel_size_a,
            job.item.star_pixel_size_a,
            tiff_top_first=self._settings.tiff_top_first,
        ) as micrograph:
            shape, pixel_size_a = self._sampling(micrograph)
            warnings = tuple(_own_warnings(micrograph))
            if not self._overwrite and job.output.exists():
                warnings += (_REPLACED,)
            source = Source(job, micrograph, key, shape, pixel_size_a, warnings, started)
            self._gate.enter(source.bytes)
            for index in range(micrograph.sections):
                yield _section(source, index, state)
                if source.failed:
                    break

    def _done_in(self, output: Path, key: str) -> str | None:
        """Return the precision of an output that is done; None where there is work to do."""
        if self._overwrite or not output.exists():
            return None
        found = made_by_us(output)
        if found is None:
            raise InputError(
                f"{output}: exists and was not written by nt2c; move it away, or have the results "
                "written elsewhere (nt2c denoise --overwrite replaces it)"
            )
        return found[1] if found[0] == key else None

    def _sampling(self, micrograph: Micrograph) -> tuple[tuple[int, int], float]:
        """Size (y, x) of the output and its pixel size in angstrom."""
        wanted_a, own_a = self._settings.output_pixel_size_a, micrograph.pixel_size_a
        if wanted_a is None:
            return micrograph.shape, own_a
        shape = resampled_shape(micrograph.shape, own_a, wanted_a)
        # The field of view is kept and sizes are whole, so the pixel size is not quite as wanted.
        shrinkage = (micrograph.shape[0] * micrograph.shape[1] / (shape[0] * shape[1])) ** 0.5
        return shape, own_a * shrinkage


def explain(error: Exception, job: Job) -> str:
    """Return why an input of ours could not be read or denoised, with its name."""
    if isinstance(error, InputError):
        names = (str(job.item.path), str(job.output))
        message = str(error)
        return message if any(name in message for name in names) else f"{names[0]}: {message}"
    if isinstance(error, OSError):
        return f"{job.item.path}: cannot be read ({error.strerror or error}); look at the disk"
    return f"{job.item.path}: {NO_MEMORY}"


def _section(source: Source, index: int, state: FileState | None) -> Section:
    path = source.job.item.path
    try:
        image = source.micrograph.read(index)
        if file_state(path) != state:
            raise InputError(
                f"{path}: changed while it was read; run again when it is written completely"
            )
    except (InputError, OSError, MemoryError) as error:
        return Section(source, index, error=InputError(explain(error, source.job)))
    return Section(source, index, image)


def _own_warnings(micrograph: Micrograph) -> list[str]:
    warnings = []
    if micrograph.sections > 1:
        warnings.append(
            f"{micrograph.sections} images are denoised one by one; if they are the frames of a "
            "movie, give the motion-corrected sum instead, or that of nt2c sum-frames if they are "
            "aligned"
        )
    if made_by_us(micrograph.path):
        warnings.append("is a denoised micrograph already; give the raw one")
    if micrograph.pixel_size_a > _COARSE_A:
        warnings.append(
            f"pixels of {micrograph.pixel_size_a:g} A are too coarse for particles: is the pixel "
            f"size right? If not, give {GIVE_PIXEL_SIZE}"
        )
    width_a = min(micrograph.shape) * micrograph.pixel_size_a
    if width_a < _SMALL_FIELD_A:
        warnings.append(
            f"the field is only {width_a:.0f} A wide: is the pixel size right? If not, give "
            f"{GIVE_PIXEL_SIZE}"
        )
    return warnings
