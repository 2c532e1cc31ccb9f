"""Noise as a micrograph has it, for a denoiser to be shown in the micrograph's place.

The noise has the spectrum that is measured in the micrograph, in its units, and the denoiser is
told of it what it is told of the micrograph. So picks on what the denoiser makes of it are those
that noise alone gives, with that denoiser, in that micrograph. No window has to be free of
particles, and none is chosen because it is quiet.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nt2c.imaging.noise_spectrum import NoiseSpectrum, measure_noise, ring_covariance
from nt2c.imaging.scale import slow_background
from nt2c.picking.places import fine_variance

Draw = Callable[[tuple[int, int], torch.Generator], Float[Tensor, "y x"]]
"""Draws noise of a size (y, x) in the units of a micrograph."""

_SAMPLES, _SAMPLE_PX = 8, 256  # from which the strength of a sampler is measured
_LEAST_GAIN = 0.05


def gaussian_noise(noise: NoiseSpectrum) -> Draw:
    """Return what draws Gaussian noise with a spectrum."""
    return lambda shape, generator: noise.draw(shape, generator)[0]


def sampled_noise(
    sample: Callable[[tuple[int, int, int], torch.Generator], Float[Tensor, "n y x"]],
    noise: NoiseSpectrum,
    generator: torch.Generator,
) -> Draw:
    """Return what draws from a sampler, at fine periods as strong as the noise of a micrograph.

    There hardly any signal is, and windows are not chosen by it: so noise that was learned in quiet
    windows is not too weak.

    Parameters
    ----------
    sample : callable
        Draws noise of shape (n, y, x), as `noise.samplers.NoiseSampler.sample` does.
    noise : NoiseSpectrum
        Of the micrograph.
    generator : torch.Generator
        For draws on which the strength of the sampler is measured.
    """
    drawn = sample((_SAMPLES, _SAMPLE_PX, _SAMPLE_PX), generator)
    gain = float((noise.variance / measure_noise(drawn, together=True).variance).sqrt())
    return lambda shape, own: gain * sample((1, *shape), own)[0]


def decoys(
    draw: Draw,
    strength: Float[Tensor, "y x"],
    pixel_size_a: float,
    count: int,
    generator: torch.Generator,
) -> Iterator[Float[Tensor, "y x"]]:
    """Draw noise fields as a scaled micrograph has them, one after another.

    Parameters
    ----------
    draw : callable
        From `gaussian_noise` or `sampled_noise`.
    strength : Tensor, shape (y, x)
        Of the noise from place to place, from `local_strength`.
    pixel_size_a : float
        Angstrom: the slow background is taken off, as that of a micrograph is.
    count : int
        Number of fields.
    generator : torch.Generator
        On the device of the micrograph.
    """
    shape = (strength.shape[0], strength.shape[1])
    for _ in range(count):
        field = draw(shape, generator) * strength
        yield field - slow_background(field, pixel_size_a)


def local_strength(scaled: Float[Tensor, "y x"], pixel_size_a: float) -> Float[Tensor, "y x"]:
    """Measure how strong the fine noise is from place to place (over 50 A), of mean square 1.

    The scaling of a micrograph evens most of it out; denoisers answer steeply to the rest.
    """
    variance = fine_variance(scaled, pixel_size_a)
    return (variance / variance.mean()).sqrt()


def noise_beside_signal(
    noise: NoiseSpectrum,
    scaled: Float[Tensor, "y x"],
    estimate: Float[Tensor, "y x"],
    fields: Sequence[tuple[Float[Tensor, "y x"], Float[Tensor, "y x"]]],
) -> NoiseSpectrum:
    """Measure the noise again, now that an estimate of the signal is there.

    What a network is told of the noise holds a part of the signal, at low frequency most, where no
    place is free of particles. The residual of the best estimate (least squares) is not related to
    the estimate, so that its cross power with the micrograph is the power of the noise. What a
    network takes of noise for signal is missing there; the same is missing from noise fields that
    it is shown, whose power is known. The ratio of the two cross powers so gives the noise, too.
    Where an estimate overshoots it gives too little, as the first measure gives too much: the
    geometric mean of the two is taken.

    Parameters
    ----------
    noise : NoiseSpectrum
        What the network was told.
    scaled, estimate : Tensor, shape (y, x)
        Micrograph in units of its noise, and what the network made of it.
    fields : sequence of (Tensor, Tensor)
        Fields from `decoys` with `noise`, at least one, and what the network made of them.
    """
    left = ring_covariance((scaled - estimate)[None], scaled[None])
    passed = torch.stack([ring_covariance((x - out)[None], x[None]) for x, out in fields]).mean(0)
    gain = (left / passed.clamp(min=1e-6)).clamp(min=_LEAST_GAIN).log() / 2
    smooth = functional.avg_pool1d(functional.pad(gain[None], (1, 1), mode="replicate"), 3, 1)[0]
    return noise.times(smooth.exp())
