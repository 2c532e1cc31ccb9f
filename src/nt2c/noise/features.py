"""What is measured in each window of noise: spectrum, autocorrelation, values, local variance.

Every function takes windows (n, y, x) and gives features (n, f) whose means over windows describe
the noise; what compares two sets is a function of such means.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import Rings, frequency_grid, gaussian_lowpass
from nt2c.noise.spectra import power_spectra

LOCAL_BLOCK_A = 32.0
_PROJECTIONS = 12  # of each patch size
_PATCHES_PX = (3, 5, 9)
_LEVELS = 512
_WINDOWS_AT_ONCE = 256
_LEAST_POWER = 1e-12  # keeps logarithms finite


def ring_edges(side: int) -> list[int]:
    """Edges of rings in steps of 1 / side; the innermost is two steps wide, it holds so little."""
    return [0, *range(2, side // 2 + 1)]


def ring_frequencies(side: int, pixel_size_a: float) -> list[float]:
    """Centres of the rings in 1/angstrom."""
    edges = ring_edges(side)
    return [0.5 * (a + b) / (side * pixel_size_a) for a, b in pairwise(edges)]


def radial_spectra(windows: Float[Tensor, "n s s"]) -> Float[Tensor, "n rings"]:
    """Mean power in each ring; white noise of variance v has v."""
    side = windows.shape[-1]
    rings = Rings.between(side, ring_edges(side), windows.device)
    inside = rings.index.flatten() < rings.count
    matrix = rings.matrix[inside]
    return power_spectra(windows).flatten(1)[:, inside] @ (matrix / matrix.sum(0))


def autocovariances(windows: Float[Tensor, "n s s"]) -> Float[Tensor, "n lags"]:
    """Mean products of pixels at each lag (dy, dx) up to a quarter of the side, dx >= 0; dy = dx =
    0 comes first.
    """
    side = windows.shape[-1]
    reach = max(1, side // 4)
    lag_y = torch.cat([torch.arange(reach + 1), torch.arange(-reach, 0)]).to(windows.device)
    lag_x = torch.arange(reach + 1, device=windows.device)
    pairs = (side - lag_y.abs())[:, None] * (side - lag_x)
    found = []
    for part in windows.split(_WINDOWS_AT_ONCE):
        power = torch.fft.rfft2(part, s=(2 * side, 2 * side)).abs().square()
        found.append((torch.fft.irfft2(power)[:, lag_y][:, :, lag_x] / pairs).flatten(1))
    return torch.cat(found)


def moments(windows: Float[Tensor, "n y x"]) -> Float[Tensor, "n 4"]:
    """Means of x, x^2, x^3 and x^4."""
    return torch.stack([(windows**power).mean((1, 2)) for power in (1, 2, 3, 4)], 1)


def skewness_and_kurtosis(means: Float[Tensor, "... 4"]) -> Float[Tensor, "... 2"]:
    """Skewness and excess kurtosis from mean `moments`."""
    m1, m2, m3, m4 = means.unbind(-1)
    variance = m2 - m1**2
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return torch.stack([third / variance**1.5, fourth / variance**2 - 3], -1)


def quantile_levels(values: Float[Tensor, "..."]) -> Float[Tensor, " levels"]:
    """Values at which distributions are compared: evenly spaced in rank, ends included."""
    ordered = values.flatten().sort().values
    index = torch.linspace(0, len(ordered) - 1, _LEVELS, dtype=torch.float64).long()
    return ordered[index.to(values.device)].unique()


def cumulative(
    values: Float[Tensor, "n k"], levels: Float[Tensor, " levels"]
) -> Float[Tensor, "n levels"]:
    """Share of the values of each window at or below each level."""
    count = len(levels) + 1
    place = torch.bucketize(values, levels)  # the first level >= value
    row = torch.arange(len(values), device=values.device)[:, None] * count
    hits = torch.bincount((row + place).flatten(), minlength=len(values) * count)
    shares = hits.reshape(len(values), count).float() / values.shape[1]
    return shares.cumsum(1)[:, :-1]


def local_log_variance(
    windows: Float[Tensor, "n s s"], pixel_size_a: float
) -> Float[Tensor, "n blocks"]:
    """Logarithm of the variance in blocks of 32 A (at least 4 px).

    Waves slower than the blocks are removed before (Gaussian of a quarter of a block), so that they
    do not pass for variance. The sum over a block is a random number itself: 64 independent pixels
    spread by 0.18 even if all is uniform; compare with noise of the same spectrum.
    """
    side = windows.shape[-1]
    block = min(side, max(4, round(LOCAL_BLOCK_A / pixel_size_a)))
    fine = windows - gaussian_lowpass(windows, block / 4)
    energy = F.avg_pool2d(fine.square()[:, None], block).flatten(1)
    return torch.log(energy.clamp(min=_LEAST_POWER))


def random_filters(generator: torch.Generator) -> list[Float[Tensor, "k 1 p p"]]:
    """Directions drawn evenly from the unit sphere in the spaces of patches of 3, 5 and 9 px."""
    filters = []
    for side in _PATCHES_PX:
        drawn = torch.randn(
            _PROJECTIONS, 1, side, side, generator=generator, device=generator.device
        )
        filters.append(drawn / drawn.square().sum((1, 2, 3), keepdim=True).sqrt())
    return filters


def projections(
    windows: Float[Tensor, "n s s"], directions: Float[Tensor, "k 1 p p"]
) -> Float[Tensor, "k n positions"]:
    """Projections of the patches at every second place on each direction."""
    return F.conv2d(windows[:, None], directions, stride=2).flatten(2).transpose(0, 1)


def band_levels(windows: Float[Tensor, "n s s"]) -> Float[Tensor, "n 16"]:
    """Logarithm of the power in four bands of equal width in each quadrant of a window."""
    half = windows.shape[-1] // 2
    quadrants = windows[:, : 2 * half, : 2 * half].reshape(-1, 2, half, 2, half)
    quadrants = quadrants.transpose(2, 3).reshape(-1, half, half)
    power = power_spectra(quadrants).flatten(1)
    band = (frequency_grid((half, half), 1.0, windows.device).flatten() * 8).long()
    means = [power[:, band == index].mean(1) for index in range(4)]
    return torch.log(torch.stack(means, 1).clamp(min=_LEAST_POWER)).reshape(len(windows), 16)


def worst(difference: Float[Tensor, "... k"]) -> Float[Tensor, "... 1"]:
    """Largest absolute value."""
    return difference.abs().amax(-1, keepdim=True)


def log_ratio(one: Tensor, two: Tensor) -> Tensor:
    """Logarithm of a ratio of powers."""
    return torch.log(one.clamp(min=_LEAST_POWER)) - torch.log(two.clamp(min=_LEAST_POWER))
