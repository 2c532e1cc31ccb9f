"""`nt2c sample-noise`: images of noise from a sampler file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nt2c.cli.commands import SampleNoise
from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError
from nt2c.core.random import stream
from nt2c.io.files import atomic_path
from nt2c.io.mrc_writer import MrcWriter
from nt2c.noise.samplers import NoiseSampler
from nt2c.training.sampler_files import read_sampler

_SUFFIXES = (".mrc", ".mrcs", ".npy")


def sample_noise(given: SampleNoise) -> None:
    """Draw noise into a file."""
    output, count, shape = given.output, given.count, given.shape
    if output.suffix not in _SUFFIXES:
        raise SettingsError(f"{output}: give a name that ends in {', '.join(_SUFFIXES)}")
    if output.suffix == ".mrc" and count > 1:
        raise SettingsError(f"{output}: {count} images make a stack; give a name ending in .mrcs")
    if min(shape) < 1:
        raise SettingsError(f"--shape {shape[0]} {shape[1]}: sides must be at least 1")
    drawn_by, pixel_size_a = read_sampler(given.sampler)
    _write(output, _draws(drawn_by, given), shape, count, pixel_size_a)
    say(f"noise: {output}")


def _draws(sampler: NoiseSampler, given: SampleNoise) -> Iterator[NDArray[np.float32]]:
    for index in range(given.count):
        generator = stream(given.seed, "sampled noise", index)
        yield sampler.sample((1, *given.shape), generator)[0].numpy()


def _write(
    path: Path,
    images: Iterator[NDArray[np.float32]],
    shape: tuple[int, int],
    count: int,
    pixel_size_a: float,
) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".npy":
            stack = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.float32, shape=(count, *shape)
            )
            for index, image in enumerate(images):
                stack[index] = image
            stack.flush()
            return
        with MrcWriter(temporary, shape, count, pixel_size_a, label="noise of nt2c") as writer:
            for index, image in enumerate(images):
                writer.write(index, image)
