"""`nt2c sample-noise`: images of noise from a sampler file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nt2c.noise.samplers import NoiseSampler

_SUFFIXES = (".mrc", ".mrcs", ".npy")


def sample_noise(
    sampler: Annotated[Path, typer.Argument(help="File written by nt2c train-noise.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File: .mrc, .mrcs or .npy.")],
    shape: Annotated[tuple[int, int], typer.Option(metavar="Y X", help="Rows and columns, px.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same images, whatever the count.")
    ] = 0,
) -> None:
    """Draw noise of mean 0 and variance 1, of any size, at the pixel size it was learned at."""
    from nt2c.training.sampler_files import read_sampler

    if output.suffix not in _SUFFIXES:
        raise SettingsError(f"{output}: give a name that ends in {', '.join(_SUFFIXES)}")
    if output.suffix == ".mrc" and count > 1:
        raise SettingsError(f"{output}: {count} images make a stack; give a name ending in .mrcs")
    if min(shape) < 1:
        raise SettingsError(f"--shape {shape[0]} {shape[1]}: sides must be at least 1")
    drawn_by, pixel_size_a = read_sampler(sampler)
    _write(output, _draws(drawn_by, shape, count, seed), shape, count, pixel_size_a)
    say(f"noise: {output}")


def _draws(
    sampler: "NoiseSampler", shape: tuple[int, int], count: int, seed: int
) -> "Iterator[NDArray[np.float32]]":
    from nt2c.core.random import stream

    for index in range(count):
        yield sampler.sample((1, *shape), stream(seed, "sampled noise", index))[0].numpy()


def _write(
    path: Path,
    images: "Iterator[NDArray[np.float32]]",
    shape: tuple[int, int],
    count: int,
    pixel_size_a: float,
) -> None:
    import numpy as np

    from nt2c.io.files import atomic_path
    from nt2c.io.mrc_writer import MrcWriter

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
