"""Writing the results of a batch, image by image, each file whole or not at all."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from nt2c.batch.flow import MemoryGate
from nt2c.batch.reading import Source, explain
from nt2c.batch.summary import FileResult
from nt2c.core.device import is_out_of_memory
from nt2c.core.errors import InputError
from nt2c.io.micrographs import create_output
from nt2c.io.mrc_writer import history_label

STOPPING = {errno.ENOSPC: "no space left", errno.EDQUOT: "quota used up", errno.EROFS: "read-only"}
"""Errors of the system after which no other file can be written either."""


class Writer:
    """Writes results for a run.

    Parameters
    ----------
    float16 : bool
        Write half-precision files.
    precision : callable
        Returns "fp32" or "bf16" when the first image is there.
    gate : MemoryGate
        What a source took of it is given back when its result is written.

    Attributes
    ----------
    full : str
        Why nothing more can be written; empty while it can.
    """

    def __init__(
        self,
        float16: bool,
        precision: Callable[[], str | None],
        gate: MemoryGate,
    ) -> None:
        self.full = ""
        self._float16 = float16
        self._precision, self._gate = precision, gate
        self._last_end = 0.0

    def write(self, source: Source, images: Iterator[NDArray[np.float32]]) -> FileResult:
        """Write what is made of a source; errors of it, and of making it, end up in the result."""
        job = source.job
        try:
            self._write(source, images)
        except OSError as error:
            message = f"{job.output}: cannot be written ({error.strerror or error})"
            if error.errno in STOPPING:
                why = STOPPING[error.errno]
                self.full = f"{job.output.parent}: {why}; mend that and run again, it does the rest"
        except Exception as error:
            if not isinstance(error, InputError) and not is_out_of_memory(error):
                raise
            message = explain(error, job)
        else:
            return self._done(source)
        finally:
            self._gate.leave(source.bytes)
        return FileResult(job.item.path, job.output, "failed", message)

    def _write(self, source: Source, images: Iterator[NDArray[np.float32]]) -> None:
        with ExitStack() as stack:
            for index, image in enumerate(images):
                if index == 0:
                    if self.full:
                        raise InputError(self.full)
                    text = f"denoise {source.stamp} {self._precision()} {source.model}"
                    output = create_output(
                        source.job.output,
                        source.micrograph,
                        pixel_size_a=source.pixel_size_a,
                        shape=source.shape,
                        float16=self._float16,
                        label=history_label(text),
                    )
                    writer = stack.enter_context(output)
                writer.write(index, image)

    def _done(self, source: Source) -> FileResult:
        end = time.perf_counter()
        began, self._last_end = max(source.started, self._last_end), end
        return FileResult(
            source.job.item.path,
            source.job.output,
            "done",
            warnings=source.warnings,
            seconds=end - began,
            shape=source.shape,
            sections=source.micrograph.sections,
            pixel_size_a=source.pixel_size_a,
            precision=self._precision(),
            model=source.model,
            noise_share=source.noise_share,
        )
