"""Offsets of whole rows, columns, or blocks of them, which a detector adds: found and taken off.

They are the same all along a line; nothing else is. So a micrograph is cut across its lines into
strips, and what the profiles of all strips share is the detector's: of particles, film or an edge
each strip shows another part. Lines of a sensor whose halves are read by amplifiers of their own
have offsets of their own in each half.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_STRIPS = 4
_SLOW_A = 1000.0  # beyond it is background, which strips share too
_FINE_A = 40.0  # particles, film and edges hold little at finer periods
_FOUND = 0.3  # coherence of the strips in all of the finer or of the slower periods
_CHANCE = 1.8  # over the root of the frequencies: five standard deviations of what chance gives
_EVEN = 0.5  # of it each strip has to have: an outline may lie in some
_REMOVED = 0.2  # coherence in a band of frequencies
_BAND = 12  # frequencies that are judged together, at least
_LEAST = 18  # of them in a range of periods, to find anything there
_LEAST_PX = 8  # along the lines, in a strip


def without_lines(
    image: Float[Tensor, "batch y x"], pixel_size_a: float
) -> Float[Tensor, "batch y x"]:
    """Take off the offsets of rows and columns where there are any, of the whole or of halves.

    Parameters
    ----------
    image : Tensor
        Micrographs without outliers (batch, y, x).
    pixel_size_a : float
        Their pixel size in angstrom.
    """
    for along in (-1, -2):  # offsets of rows are constant along x
        for parts in (1, 2):
            pieces = image.tensor_split(parts, along)
            if _is_small(pieces[-1], along):
                continue
            found, offsets = zip(*(_offsets(p, along, pixel_size_a) for p in pieces), strict=True)
            # An outline may lie in one half; amplifiers read both.
            counts = torch.stack(found).all(0)[:, None, None]
            if bool(counts.any()):
                taken = [p - o * counts for p, o in zip(pieces, offsets, strict=True)]
                image = torch.cat(taken, along)
    return image


def _is_small(image: Tensor, along: int) -> bool:
    across = -3 - along
    return image.shape[along] < _LEAST_PX * _STRIPS or image.shape[across] < 2 * _BAND


def _offsets(image: Tensor, along: int, pixel_size_a: float) -> tuple[Tensor, Tensor]:
    """Whether there are offsets of lines `along` a dimension (batch), and these, kept there."""
    size = image.shape[-3 - along]
    middle = image.mean((-2, -1), keepdim=True)
    reach = 2.5 * image.std((-2, -1), keepdim=True)
    even = torch.clamp(image - middle, -reach, reach)
    profiles = torch.stack([strip.mean(along) for strip in even.tensor_split(_STRIPS, along)])
    profiles = profiles - profiles.mean(-1, keepdim=True)
    spectra = torch.fft.rfft(profiles * torch.hann_window(size, device=image.device))
    power = _in_bands(spectra.abs().square().mean(0))
    others = spectra.sum(0) - spectra
    shared = _in_bands((spectra * others.conj()).real / (_STRIPS - 1))  # (strips, batch, k)
    k = torch.arange(power.shape[-1], device=image.device) / (size * pixel_size_a)

    coherence = shared / power.clamp(min=1e-30)
    found = torch.zeros(len(image), dtype=torch.bool, device=image.device)
    for inside in ((k > 1 / _SLOW_A) & (k <= 1 / _FINE_A), k > 1 / _FINE_A):
        frequencies = int(inside.sum())
        if frequencies >= _LEAST:
            least = max(_FOUND, _CHANCE / frequencies**0.5)
            strips = coherence[..., inside].mean(-1)
            whole = strips.mean(0)
            found |= (whole > least) & (strips.amin(0) > _EVEN * whole)
    # All goes that lies there: of the noise, which is most of the rest, and of the particles it is
    # one line of the Fourier transform.
    removed = (coherence.mean(0) > _REMOVED) & found[:, None]
    return found, _filtered(even.mean(along), removed.to(image.dtype)).unsqueeze(along)


def _in_bands(values: Tensor) -> Tensor:
    """Means of (..., frequencies) over bands of a tenth of their frequency, or of `_BAND`."""
    last = values.shape[-1] - 1
    index = torch.arange(last + 1, device=values.device)
    reach = torch.clamp((index * 0.05).long(), min=_BAND // 2)
    low, high = (index - reach).clamp(min=1), (index + reach).clamp(max=last)
    sums = torch.cumsum(values.double(), -1)
    return ((sums[..., high] - sums[..., low - 1]) / (high - low + 1)).to(values.dtype)


def _filtered(profile: Tensor, gain: Tensor) -> Tensor:
    """Profiles (batch, lines) less their mean, times a gain of each frequency (batch, k)."""
    size = profile.shape[-1]
    profile = profile - profile.mean(-1, keepdim=True)
    mirrored = torch.cat([profile, profile.flip(-1)], -1)  # its frequencies are twice as dense
    spectrum = torch.fft.rfft(mirrored)
    index = torch.arange(1, spectrum.shape[-1] + 1, device=profile.device) // 2
    gain = gain[:, index.clamp(max=gain.shape[-1] - 1)]
    return torch.fft.irfft(spectrum * gain, n=2 * size)[..., :size]
