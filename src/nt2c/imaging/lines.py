"""Offsets of whole rows and columns, which a detector adds: found and taken off.

In the Fourier transform they are all on one line through the origin, where of anything else hardly
a part lies: taking them off costs next to nothing.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_FINE_A = 40.0  # particles, film and edges hold little there; offsets of lines hold all frequencies
_SLOW_A = 1000.0  # beyond it is background
_FOUND = 1.5  # excess at fine periods, where chance gives up to 1.3
_REMOVED = 3.0  # excess in a band of frequencies
_TOLERANCE = 0.25  # of the coherence of the two halves of the lines
_NEIGHBOURS = slice(3, 9)  # lines beside that of the offsets; a Hann window spreads it over three
_BAND = 12  # frequencies that are judged together, at least


def without_lines(
    image: Float[Tensor, "batch y x"], pixel_size_a: float
) -> Float[Tensor, "batch y x"]:
    """Take off the offsets of rows and columns where there are any.

    Parameters
    ----------
    image : Tensor
        Micrographs without outliers (batch, y, x).
    pixel_size_a : float
        Their pixel size in angstrom.
    """
    spread = image.std((-2, -1), keepdim=True)
    middle = image.mean((-2, -1), keepdim=True)
    even = torch.clamp(image, middle - 2.5 * spread, middle + 2.5 * spread)
    tapered = (even - middle) * _hann(image.shape[-2], image.device)[:, None]
    tapered = tapered * _hann(image.shape[-1], image.device)
    power = torch.fft.fft2(tapered).abs().square()
    for dim in (-1, -2):  # offsets of rows are constant along x, and the other way round
        along = power if dim == -1 else power.transpose(-1, -2)
        excess = _excess(along, pixel_size_a)
        if excess is not None:
            excess = torch.where(_agrees(tapered, dim, excess), excess, 1.0)
            image = image - _offsets(even.mean(dim), excess).unsqueeze(dim)
    return image


def _agrees(tapered: Tensor, dim: int, excess: Tensor) -> Tensor:
    """Whether both halves of the lines show the same offsets (batch, 1), as their excess says.

    Those of a detector do; the outline of a grid bar or of a large particle has power on the line
    too, but another one in each half. With an excess e of the whole the halves' coherence is
    (e - 1) / (e + 1).
    """
    halves = [torch.fft.rfft(half.mean(dim)) for half in tapered.tensor_split(2, dim)]
    counts = excess[:, : halves[0].shape[-1]] > 1
    power = [(half.abs().square() * counts).sum(-1, keepdim=True) for half in halves]
    both = ((halves[0] * halves[1].conj()).real * counts).sum(-1, keepdim=True)
    share = ((excess - 1) / (excess + 1)).sum(-1, keepdim=True)
    expected = share / counts.sum(-1, keepdim=True).clamp(min=1)
    return both > (expected - _TOLERANCE) * (power[0] * power[1]).sqrt()


def _hann(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


def _excess(power: Tensor, pixel_size_a: float) -> Tensor | None:
    """Power on the line over that beside it, (batch, frequencies); None where there are no lines.

    1 where it is not clearly more.
    """
    size = power.shape[-2]
    half = size // 2 + 1
    if min(half, power.shape[-1] // 2) < _NEIGHBOURS.stop + _BAND:
        return None
    line = power[:, :half, :2].mean(-1)
    beside = power[:, :half, _NEIGHBOURS].mean(-1)
    k = torch.arange(half, device=power.device) / (size * pixel_size_a)
    fine = k > 1 / _FINE_A
    if not bool(fine.any()):
        return None
    # Medians: a lattice of particles has power on the line too, but at few frequencies.
    found = line[:, fine].median(-1).values > _FOUND * beside[:, fine].median(-1).values
    if not bool(found.any()):
        return None
    # Bands of a tenth of their frequency, or of so many frequencies.
    index = torch.arange(half, device=power.device)
    reach = torch.clamp((index * 0.05).long(), min=_BAND // 2)
    low, high = (index - reach).clamp(min=1), (index + reach).clamp(max=half - 1)
    sums = [torch.cumsum(v.double(), -1) for v in (line, beside)]
    mean = [s[:, high] - s[:, low - 1] for s in sums]
    excess = (mean[0] / mean[1].clamp(min=1e-30)).to(power.dtype)
    counts = (excess > _REMOVED) & (k > 1 / _SLOW_A) & found[:, None]
    return torch.where(counts, excess, torch.ones_like(excess))


def _offsets(profile: Tensor, excess: Tensor) -> Tensor:
    """Part of the means of lines (batch, lines) that exceeds what lies beside it."""
    size = profile.shape[-1]
    mirrored = torch.cat([profile, profile.flip(-1)], -1)
    spectrum = torch.fft.rfft(mirrored)
    index = torch.arange(spectrum.shape[-1], device=profile.device).div(2, rounding_mode="floor")
    removed = 1 - 1 / excess[:, index.clamp(max=excess.shape[-1] - 1)]
    return torch.fft.irfft(spectrum * removed, n=2 * size)[..., :size]
