"""Noise as a micrograph has it, for a denoiser to be shown in the micrograph's place.

The noise has the spectrum that was measured in the micrograph, in its units, and the denoiser is
told the same of it. So picks on what the denoiser makes of it are those that noise alone gives, with
that denoiser, in that micrograph. The spectrum is that of all noise, not of places that were chosen
because they are quiet.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.noise_spectrum import NoiseSpectrum, measure_noise

WhiteDraw = Callable[[tuple[int, int], torch.Generator], Float[Tensor, "y x"]]
"""Draws noise of a size (y, x) that is white on the average, of variance 1."""

_SAMPLES, _SAMPLE_PX = 8, 256  # from which the spectrum of a sampler is measured


def gaussian_white(shape: tuple[int, int], generator: torch.Generator) -> Float[Tensor, "y x"]:
    """Draw white Gaussian noise."""
    return torch.randn(shape, generator=generator, device=generator.device)


def whitened(
    sample: Callable[[tuple[int, int, int], torch.Generator], Float[Tensor, "n y x"]],
    generator: torch.Generator,
) -> WhiteDraw:
    """Return what draws from a sampler and takes its spectrum away; all else that it has stays.

    Parameters
    ----------
    sample : callable
        Draws noise of shape (n, y, x), as `noise.samplers.NoiseSampler.sample` does.
    generator : torch.Generator
        For the draws on which its spectrum is measured.
    """
    spectrum = measure_noise(sample((_SAMPLES, _SAMPLE_PX, _SAMPLE_PX), generator), together=True)

    def draw(shape: tuple[int, int], own: torch.Generator) -> Tensor:
        white = spectrum.whiten(sample((1, *shape), own))[0]
        return white / white.std()

    return draw


def decoys(
    noise: NoiseSpectrum,
    shape: tuple[int, int],
    count: int,
    generator: torch.Generator,
    draw: WhiteDraw = gaussian_white,
) -> Iterator[Float[Tensor, "y x"]]:
    """Draw noise fields in the units of a micrograph, one after another.

    Parameters
    ----------
    noise : NoiseSpectrum
        Of one scaled micrograph.
    shape : tuple of int
        Of the fields (y, x).
    count : int
        Number of fields.
    generator : torch.Generator
        On the device of `noise`.
    draw : callable
        Where the fields come from before they get the spectrum.
    """
    for _ in range(count):
        yield noise.colour(draw(shape, generator)[None])[0]
