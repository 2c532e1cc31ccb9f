"""Denoise many micrographs, one after another: resumable, unmoved by bad files and kills.

An output tells by itself what it was made from. Its last label line reads
"nt2c VERSION denoise STAMP PRECISION MODEL DATE", where the stamp is a hash of the input file (size
and modification time), the model's weights, the settings and the version. An output with the stamp
that would be written now is done and is skipped, whoever made it; one with another stamp is made
again; a file without such a line is not ours and is left alone unless asked. Since outputs appear
whole or not at all, nothing else has to be kept, and a batch that was killed goes on where it was.
"""

import errno
import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nt2c import __version__
from nt2c.core.errors import InputError, SettingsError
from nt2c.imaging.fourier import resampled_shape
from nt2c.inference.denoiser import Denoiser
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.files import remove_stale_temporaries
from nt2c.io.inputs import MicrographInput
from nt2c.io.micrographs import Micrograph, create_output, open_micrograph
from nt2c.io.mrc import MrcReader
from nt2c.io.mrc_writer import history_label
from nt2c.models.denoiser import DenoiserModel

_LABEL = re.compile(r"nt2c \S+ denoise ([0-9a-f]{12}) (fp32|bf16) ")
_STOPPING = {errno.ENOSPC: "no space left", errno.EDQUOT: "quota used up", errno.EROFS: "read-only"}
_SMALL_FIELD_A = 1500.0  # the fields of cameras are wider, whatever the magnification


@dataclass(frozen=True)
class FileResult:
    """What became of one micrograph.

    Attributes
    ----------
    input, output : Path
        The file read, and the file that is or would be written.
    status : str
        "done"; "skipped", since it was done before; "failed", for the reason in `message`.
    message : str
        Why it failed, with the name of the file and what to do.
    warnings : tuple of str
        What the user should know about the input, without its name.
    seconds : float
        Time from opening the input until the output was in place.
    shape : tuple of int or None
        Rows and columns (y, x) of the output, px.
    sections : int
        Images in the file.
    pixel_size_a : float or None
        Of the output, angstrom.
    precision : str or None
        "fp32" or "bf16".
    """

    input: Path
    output: Path
    status: Literal["done", "skipped", "failed"]
    message: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    shape: tuple[int, int] | None = None
    sections: int = 0
    pixel_size_a: float | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Summary:
    """What became of a batch: a result for each input, in order; seconds of the whole."""

    results: tuple[FileResult, ...]
    seconds: float

    def with_status(self, status: str) -> list[FileResult]:
        """Return the results that are "done", "skipped" or "failed"."""
        return [result for result in self.results if result.status == status]


def denoise_files(
    inputs: Iterable[MicrographInput],
    output_dir: Path | str,
    model: DenoiserModel,
    settings: DenoiseSettings | None = None,
    *,
    device: str = "auto",
    suffix: str = "",
    overwrite: bool = False,
    on_result: Callable[[FileResult], None] | None = None,
) -> Summary:
    """Denoise micrographs into a folder; what is done already is skipped.

    A file that cannot be denoised becomes a "failed" result and the others go on. When the disk is
    full, nothing more is tried.

    Parameters
    ----------
    inputs : iterable of MicrographInput
        From `find_inputs`.
    output_dir : Path or str
        Folder for the results, made when missing; names are those of the inputs.
    model : DenoiserModel
        From `load_model`.
    settings : DenoiseSettings, optional
        How to denoise.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    suffix : str
        Put behind the names of the outputs, before ".mrc".
    overwrite : bool
        Do all again, and write over files that nt2c did not make. Never over an input.
    on_result : callable, optional
        Called with each result when it is there.

    Raises
    ------
    SettingsError
        An output would be written over an input, the folder cannot be made, or the device does not
        exist.
    """
    settings = settings or DenoiseSettings()
    started = time.perf_counter()
    if "/" in suffix:
        raise SettingsError(f"--suffix {suffix}: holds '/'; choose the folder with -o")
    jobs = _plan(list(inputs), Path(output_dir), suffix)
    _prepare_folders(Path(output_dir), jobs)
    batch = _Batch(model, settings, device, overwrite)
    results: list[FileResult] = []
    for index, job in enumerate(jobs):
        if index + 1 < len(jobs):
            _read_ahead(jobs[index + 1].item.path)
        results.append(batch.process(job))
        if on_result:
            on_result(results[-1])
    return Summary(tuple(results), time.perf_counter() - started)


@dataclass(frozen=True)
class _Job:
    item: MicrographInput
    output: Path


class _Batch:
    """What is common to all micrographs of a run."""

    def __init__(
        self, model: DenoiserModel, settings: DenoiseSettings, device: str, overwrite: bool
    ) -> None:
        self.settings = settings
        self.overwrite = overwrite
        self.denoiser = Denoiser(
            model,
            device=device,
            precision=settings.precision,
            keep_background=settings.keep_background,
        )
        self.model_name = str(model.metadata.get("name", "unnamed"))
        self.model_hash = model_fingerprint(model)
        self.stopped = ""

    def process(self, job: _Job) -> FileResult:
        """Skip, denoise or refuse one micrograph; errors of the file end up in the result."""
        if self.stopped:
            return FileResult(job.item.path, job.output, "failed", self.stopped)
        try:
            stamp = self.stamp(job.item)
            if self._is_done(job.output, stamp):
                return FileResult(job.item.path, job.output, "skipped")
            return self._denoise(job, stamp)
        except InputError as error:
            message = _with_name(str(error), job)
        except OSError as error:
            message = self._explain(job, error)
        except (MemoryError, torch.OutOfMemoryError):
            message = f"{job.item.path}: not enough memory, even in tiles; use a larger machine"
        return FileResult(job.item.path, job.output, "failed", message)

    def stamp(self, item: MicrographInput) -> str:
        """Hash of all that decides the output; changes with the input file."""
        try:
            status = item.path.stat()
            file = [status.st_size, status.st_mtime_ns]
        except OSError:  # opening it will tell
            file = []
        what = [file, item.star_pixel_size_a, self.model_hash, self.settings.model_dump()]
        return hashlib.sha256(json.dumps([*what, __version__]).encode()).hexdigest()[:12]

    def _is_done(self, output: Path, stamp: str) -> bool:
        if self.overwrite or not output.exists():
            return False
        found = _made_by_us(output)
        if found is None:
            raise InputError(
                f"{output}: exists and was not written by nt2c denoise; give another folder with "
                "-o, a --suffix, or --overwrite to replace it"
            )
        if found[0] != stamp:
            return False
        if self.denoiser.precision is None:  # decided when that output was made
            self.denoiser.precision = found[1]
        return True

    def _denoise(self, job: _Job, stamp: str) -> FileResult:
        started = time.perf_counter()
        with open_micrograph(
            job.item.path, self.settings.pixel_size_a, job.item.star_pixel_size_a
        ) as micrograph:
            shape, pixel_size_a = self._sampling(micrograph)
            image = self._section(micrograph, 0, shape)
            text = f"denoise {stamp} {self.denoiser.precision} {self.model_name}"
            with create_output(
                job.output,
                micrograph,
                pixel_size_a=pixel_size_a,
                shape=shape,
                float16=self.settings.float16,
                label=history_label(text),
            ) as writer:
                writer.write(0, image)
                del image
                for section in range(1, micrograph.sections):
                    writer.write(section, self._section(micrograph, section, shape))
        return FileResult(
            job.item.path,
            job.output,
            "done",
            warnings=(*micrograph.warnings, *_own_warnings(micrograph)),
            seconds=time.perf_counter() - started,
            shape=shape,
            sections=micrograph.sections,
            pixel_size_a=pixel_size_a,
            precision=self.denoiser.precision,
        )

    def _section(
        self, micrograph: Micrograph, section: int, shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        return self.denoiser(micrograph.read(section), micrograph.pixel_size_a, shape)

    def _sampling(self, micrograph: Micrograph) -> tuple[tuple[int, int], float]:
        """Size (y, x) of the output and its pixel size in angstrom."""
        wanted_a, own_a = self.settings.output_pixel_size_a, micrograph.pixel_size_a
        if wanted_a is None:
            return micrograph.shape, own_a
        shape = resampled_shape(micrograph.shape, own_a, wanted_a)
        # The field of view is kept and sizes are whole, so the pixel size is not quite as wanted.
        shrinkage = (micrograph.shape[0] * micrograph.shape[1] / (shape[0] * shape[1])) ** 0.5
        return shape, own_a * shrinkage

    def _explain(self, job: _Job, error: OSError) -> str:
        message = f"{job.output}: cannot be written ({error.strerror or error})"
        if error.errno in _STOPPING:
            why = _STOPPING[error.errno]
            self.stopped = f"{job.output.parent}: {why}; mend that and run again, it does the rest"
        return message


def model_fingerprint(model: DenoiserModel) -> str:
    """Hash of what a model computes: weights, network and working pixel size."""
    digest = hashlib.sha256(model.network.settings.model_dump_json().encode())
    digest.update(str(model.pixel_size_a).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _plan(items: list[MicrographInput], folder: Path, suffix: str) -> list[_Job]:
    """Pair inputs and outputs; earlier outputs found beside their inputs are not denoised again."""
    jobs = [_Job(item, _output(folder, item, suffix)) for item in items]
    sources = {_identity(job.item.path): job for job in jobs}
    products = set()
    for job in jobs:
        other = sources.get(_identity(job.output))
        if other is None:
            continue
        if other is job or _made_by_us(other.item.path) is None:
            raise SettingsError(
                f"{job.output}: is an input and would be written over; give another folder with "
                "-o, or a --suffix"
            )
        products.add(other.item.path)
    return [job for job in jobs if job.item.path not in products]


def _output(folder: Path, item: MicrographInput, suffix: str) -> Path:
    name = Path(item.output_name)
    return folder / name.with_name(f"{name.stem}{suffix}{name.suffix}")


def _identity(path: Path) -> object:
    """Equal for two names of one file."""
    try:
        status = path.stat()
    except OSError:
        return os.path.abspath(path)
    return status.st_dev, status.st_ino


def _prepare_folders(output_dir: Path, jobs: Sequence[_Job]) -> None:
    """Make the folders of the outputs, and clear what killed runs left in them."""
    for folder, _ in Counter([output_dir, *(job.output.parent for job in jobs)]).items():
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"-o {folder}: a file; give a folder for the results")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale_temporaries(folder)
        except OSError as error:
            raise SettingsError(
                f"-o {folder}: cannot be used as folder for the results ({error.strerror})"
            ) from None


def _made_by_us(path: Path) -> tuple[str, str] | None:
    """Return stamp and precision in the last label of an output of ours, None for other files."""
    try:
        reader = MrcReader(path)
    except (InputError, OSError):
        return None
    reader.close()
    lines = [bytes(line).decode("ascii", "replace") for line in reader.header.record["label"]]
    found = _LABEL.match(next((line for line in reversed(lines) if line.strip()), ""))
    return (found[1], found[2]) if found else None


def _own_warnings(micrograph: Micrograph) -> list[str]:
    warnings = []
    if _made_by_us(micrograph.path):
        warnings.append("is a denoised micrograph already; give the raw one")
    width_a = min(micrograph.shape) * micrograph.pixel_size_a
    if width_a < _SMALL_FIELD_A:
        warnings.append(
            f"the field is only {width_a:.0f} A wide: is the pixel size right? --pixel-size sets it"
        )
    return warnings


def _with_name(message: str, job: _Job) -> str:
    names = (str(job.item.path), str(job.output))
    return message if any(name in message for name in names) else f"{names[0]}: {message}"


def _read_ahead(path: Path) -> None:
    """Ask the system to read a file while another is denoised."""
    if not hasattr(os, "posix_fadvise"):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # reading it will tell
        return
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass
    finally:
        os.close(descriptor)
