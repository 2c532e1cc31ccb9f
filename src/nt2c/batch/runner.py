"""Denoise many micrographs: reading and writing overlap computing; unmoved by bad files and kills.

A thread reads ahead, the calling thread computes, a thread writes; micrographs go through in order
and only a few are held at once. An output tells by itself what it was made from (see `stamps`), and
outputs appear whole or not at all, so a batch that was killed goes on where it was.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray

from nt2c.batch.flow import MemoryGate, Sink, ahead
from nt2c.batch.plan import Job
from nt2c.batch.reading import Reader, Section, Skip, Source
from nt2c.batch.stamps import model_fingerprint
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import FileResult
from nt2c.batch.writing import Writer
from nt2c.core.device import free_memory_bytes, is_out_of_memory
from nt2c.core.errors import InputError
from nt2c.denoising.denoiser import Denoiser, Prepared
from nt2c.denoising.noise_share import noise_warnings
from nt2c.denoising.polarity import polarity_warnings
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.models.denoiser import DenoiserModel

OnResult = Callable[[FileResult], None]
Image = NDArray[np.float32]

_SHARE_FOR_IMAGES = 0.5  # of the memory that is free at the start


class Runner:
    """A model made ready on a device, to denoise one batch of micrographs after another.

    Parameters
    ----------
    model : DenoiserModel
        From `load_model`.
    settings : DenoiseSettings
        How micrographs are denoised.
    options : BatchOptions
        What to do again, and how much memory to use.
    device : str
        "auto", "cpu", "cuda" or "cuda:N", in place of that of the options.

    Raises
    ------
    SettingsError
        The device does not exist here.
    """

    def __init__(
        self, model: DenoiserModel, settings: DenoiseSettings, options: BatchOptions, device: str
    ) -> None:
        limit = None if options.max_memory_gb is None else int(options.max_memory_gb * 1e9)
        self.denoiser = Denoiser(
            model,
            device=device,
            precision=settings.precision,
            keep_background=settings.keep_background,
            max_memory_bytes=limit,
        )
        free = free_memory_bytes(torch.device("cpu"), limit)
        self._gate = MemoryGate(int(_SHARE_FOR_IMAGES * free))
        self._reader = Reader(
            settings, model_fingerprint(model), self._gate, overwrite=options.overwrite
        )
        self._writer = Writer(
            settings.float16,
            lambda: self.denoiser.precision,
            self._gate,
        )

    def run(
        self, jobs: Sequence[Job], on_result: OnResult | None = None, stop: Stop | None = None
    ) -> list[FileResult]:
        """Denoise micrographs; what is done already is skipped.

        Parameters
        ----------
        jobs : sequence of Job
            From `plan_jobs`.
        on_result : callable, optional
            Called with each result when it is there, in order.
        stop : Stop, optional
            Is looked at before each micrograph.

        Returns
        -------
        list of FileResult
            One for each job, in order. "left" are those that `stop` came before; when the disk is
            full, they are "failed".
        """
        results: list[FileResult] = []
        wish = Stop() if stop is None else stop

        def tell(result: FileResult) -> None:
            results.append(result)
            wish.done += result.status == "done"
            if on_result:
                on_result(result)

        self._writer.full = ""
        try:
            self._go_through(jobs, tell, wish)
        finally:
            self._gate.clear()
        for job in jobs[len(results) :]:
            if self._writer.full:
                tell(FileResult(job.item.path, job.output, "failed", self._writer.full))
            else:
                results.append(FileResult(job.item.path, job.output, "left"))
        return results

    def decide_precision(self, jobs: Sequence[Job]) -> None:
        """Decide the precision as a run over `jobs` does, on the first that is or can be denoised.

        So all that share `jobs` among them compute in the same precision.
        """
        wanted = takewhile(lambda _: self.denoiser.precision is None, jobs)
        for item in self._reader.read(wanted):
            if isinstance(item, Skip):
                self.denoiser.precision = item.precision
            elif isinstance(item, Section):
                item.source.failed = True  # no more of its images
                try:
                    self.denoiser.decide_precision(self._prepare(item).scaled)
                except Exception as error:  # will be told when it is denoised
                    if not isinstance(error, InputError) and not is_out_of_memory(error):
                        raise
                finally:
                    self._gate.leave(item.source.bytes)

    def _go_through(self, jobs: Sequence[Job], tell: OnResult, stop: Stop) -> None:
        waiting: deque[Future[FileResult]] = deque()
        sink: Sink[Image, FileResult] | None = None

        def is_over() -> bool:
            return bool(stop or self._writer.full)

        wanted = takewhile(lambda _: not is_over(), jobs)
        with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing:
            try:
                for item in ahead(self._reader.read(wanted), reading):
                    if isinstance(item, Section):
                        if item.index == 0:
                            while waiting and stop.may_be_enough(len(waiting)):
                                tell(waiting.popleft().result())
                            if is_over():
                                break
                            sink = self._sink(item.source, writing)
                            waiting.append(sink.result)
                        assert sink is not None
                        self._hand_over(item, sink)
                    else:
                        waiting.append(self._ready(item))
                    while waiting and (len(waiting) > 1 or waiting[0].done()):
                        tell(waiting.popleft().result())
            except BaseException as error:
                if sink:
                    sink.fail(error)
                raise
            for last in waiting:
                tell(last.result())

    def _sink(self, source: Source, pool: ThreadPoolExecutor) -> Sink[Image, FileResult]:
        return Sink(partial(self._writer.write, source), source.micrograph.sections, pool)

    def _hand_over(self, section: Section, sink: Sink[Image, FileResult]) -> None:
        """Denoise an image and give it, or the error that came, to the writer."""
        source = section.source
        if source.failed:
            return
        try:
            prepared = self._prepare(section)
            warnings = prepared.warnings
            if section.index == 0:
                warnings += polarity_warnings(prepared.scaled, self.denoiser.pixel_size_a)
            noise = self.denoiser.measure_noise(prepared.scaled)
            if section.index == 0:
                made = self.denoiser.judged_estimate(prepared.scaled, noise)
                source.model, source.noise_share = made.model, made.noise_share
                warnings += noise_warnings(made.noise_share, made.model)
                signal = made.signal
            else:
                signal = self.denoiser.estimate(prepared.scaled, noise, by=source.model)
            source.warn(warnings)
            sink.put(self.denoiser.restore(prepared, signal, source.shape))
        except Exception as error:
            source.failed = True
            sink.fail(error)

    def _prepare(self, section: Section) -> Prepared:
        return self.denoiser.prepare(section.take(), section.source.micrograph.pixel_size_a)

    def _ready(self, item: Skip | FileResult) -> Future[FileResult]:
        if isinstance(item, Skip):
            if self.denoiser.precision is None:  # decided when that output was made
                self.denoiser.precision = item.precision
            item = FileResult(item.job.item.path, item.job.output, "skipped")
        ready: Future[FileResult] = Future()
        ready.set_result(item)
        return ready
