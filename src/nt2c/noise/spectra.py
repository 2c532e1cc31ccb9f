"""Spectrum and autocovariance of noise seen through small windows, and fields drawn from them."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nt2c.imaging.fourier import filtered_noise

_WINDOWS_AT_ONCE = 256
_ITERATIONS = 100
_REACH = 4  # longest lag kept, in sides of a window
_LEAST_SHARE = 4  # halves hold at least one in so many windows
_CLIPPINGS = 4
_LARGEST_CHANCE = 4.5  # standard errors, among some thousand frequencies
_LEAST_POWER = 1e-6  # of the mean: keeps divisions finite


def sine_taper(size: int, device: torch.device | str = "cpu") -> Float[Tensor, " size"]:
    """Half a period of a sine, mean square 1: little leakage at little loss of resolution."""
    index = torch.arange(size, device=device)
    return math.sqrt(2) * torch.sin(math.pi * (index + 0.5) / size)


def power_spectra(windows: Float[Tensor, "n y x"]) -> Float[Tensor, "n y h"]:
    """Periodogram of each window after a sine taper.

    Parameters
    ----------
    windows : Tensor
        Noise, axes (n, y, x); its mean counts as power at zero frequency.

    Returns
    -------
    Tensor
        Power on the half plane of `torch.fft.rfft2`; white noise of variance v has v everywhere.
    """
    height, width = windows.shape[-2:]
    taper_y, taper_x = (sine_taper(size, windows.device) for size in (height, width))
    spectra = torch.fft.rfft2(windows * taper_y[:, None] * taper_x)
    return spectra.abs().square() / (height * width)


def _embed(lags: Tensor, shape: tuple[int, int]) -> Tensor:
    """Put lags in the order of the FFT on another grid; what lies beyond it is folded back."""
    for dim, size in ((-2, shape[0]), (-1, shape[1])):
        old = lags.shape[dim]
        lag = torch.arange(old, device=lags.device)
        lag = torch.where(lag < (old + 1) // 2, lag, lag - old)
        grid = list(lags.shape)
        grid[dim] = size
        lags = lags.new_zeros(grid).index_add_(dim, lag.remainder(size), lags)
    return lags


def _bohman(reach: int, grid: int, device: torch.device) -> Float[Tensor, " grid"]:
    """Lag window that falls from 1 to 0 at `reach` and keeps a covariance positive definite.

    It is the autocorrelation of a sine taper of length `reach` (Bohman 1961), at the lags of an
    FFT of `grid` points.
    """
    lag = torch.fft.fftfreq(grid, 1 / grid, device=device).abs() / reach
    lag = lag.clamp(max=1)
    return (1 - lag) * torch.cos(math.pi * lag) + torch.sin(math.pi * lag) / math.pi


def _lag_window(reach: int, grid: int, device: torch.device) -> Float[Tensor, "grid grid"]:
    line = _bohman(reach, grid, device)
    return line[:, None] * line


def _seen_power(windows: Tensor) -> Float[Tensor, "m h"]:
    """Mean periodogram of the tapered windows, interpolated to m = 8 s, scaled to variance 1."""
    size = windows.shape[-1]
    taper = sine_taper(size, windows.device)
    total = torch.zeros(2 * size, size + 1, device=windows.device)
    for part in windows.split(_WINDOWS_AT_ONCE):
        padded = torch.fft.rfft2(part * taper[:, None] * taper, s=(2 * size, 2 * size))
        total += padded.abs().square().sum(0)
    lags = torch.fft.irfft2(total)
    grid = 2 * _REACH * size
    return power_on_grid(lags / lags[0, 0], (grid, grid)).clamp(min=_LEAST_POWER)


def _through_taper(covariance: Tensor, size: int) -> Float[Tensor, "m h"]:
    """Mean periodogram to expect of tapered windows of side `size`."""
    tapered = covariance * _lag_window(size, covariance.shape[-1], covariance.device)
    return power_on_grid(tapered, (len(tapered), len(tapered))).clamp(min=_LEAST_POWER)


def _likeliest(seen: Float[Tensor, "m h"], size: int) -> Float[Tensor, "m m"]:
    """Autocovariance of greatest likelihood, as `fit_covariance` says."""
    grid = len(seen)
    kept = _lag_window(_REACH * size, grid, seen.device)
    seen_lags = kept * _lag_window(size, grid, seen.device)

    def smear(power: Tensor) -> Tensor:
        return torch.fft.rfft2(torch.fft.irfft2(power) * seen_lags).real

    power = seen
    for _ in range(_ITERATIONS):
        expected = smear(power)
        power = power * torch.sqrt(smear(seen / expected.square()) / smear(1 / expected))
    covariance = torch.fft.irfft2(power) * kept
    return covariance / covariance[0, 0]


def _in_order(windows: Tensor, groups: Tensor) -> Tensor:
    """Indices that put windows in an order of their own: by micrograph, then by their power."""
    order = windows.double().square().sum((1, 2)).argsort()
    return order[groups.to(order.device)[order].argsort(stable=True)]


def _halves(groups: Tensor) -> Tensor:
    """Mask (n,) of one half of the windows, such that no micrograph is in both halves.

    Where that cannot be done with a quarter of the windows on either side, micrographs are halved.
    """
    numbers, counts = groups.unique(return_counts=True)
    sizes, chosen = [0, 0], []
    for index in counts.argsort(descending=True, stable=True).tolist():
        side = int(sizes[1] < sizes[0])
        sizes[side] += int(counts[index])
        if side:
            chosen.append(numbers[index])
    if min(sizes) < len(groups) / _LEAST_SHARE:
        return torch.arange(len(groups), device=groups.device) < len(groups) // 2
    return torch.isin(groups, torch.stack(chosen))


def _best_reach(windows: Tensor, groups: Tensor) -> int:
    """Longest lag to keep such that the fit to one half of the micrographs is likeliest in the
    other.
    """
    size = windows.shape[-1]
    half = _halves(groups).to(windows.device)
    halves = [_seen_power(windows[half]), _seen_power(windows[~half])]
    reaches = [size // 4, size // 2, size, 2 * size, _REACH * size]
    misfit = dict.fromkeys(reaches, 0.0)
    for own, other in (halves, halves[::-1]):
        covariance = _likeliest(own, size)
        for reach in reaches:
            short = covariance * _lag_window(reach, len(own), own.device)
            expected = _through_taper(short, size)
            misfit[reach] += float((expected.log() + other / expected).mean())
    return min(misfit, key=lambda reach: misfit[reach])


def fit_covariance(
    windows: Float[Tensor, "n s s"], groups: Shaped[Tensor, " n"]
) -> Float[Tensor, "m m"]:
    """Autocovariance of the stationary field that the windows are most likely cut from.

    The spectrum S of the field is seen through the taper as K S, with K the convolution with the
    taper's spectral window. S >= 0 is found from the mean periodogram P by maximising the
    likelihood of Whittle (1953), sum of -log(K S) - P / (K S), with the multiplicative steps of
    Fevotte, Bertin & Durrieu (2009, eq. 2.17, exponent 1/2), starting at P. What the taper smears
    is thus put back where it was: steep ends and lines stay narrow.

    From few windows that is full of speckle. So it is smoothed, by leaving out lags beyond the one
    that cross-validation between micrographs finds best, except where P exceeds the smooth spectrum
    by more than chance: there lines and steep ends stay.

    Parameters
    ----------
    windows : Tensor
        Noise of mean 0, axes (n, y, x), squares of side s, at least 2, in any order.
    groups : Tensor
        Number of each window's micrograph (n,): noise of one micrograph is alike by more than what
        all have in common.

    Returns
    -------
    Tensor
        Autocovariance in the order of the FFT, m = 8 s, at lags from -4 s to 4 s - 1; zero at 4 s,
        1 at lag 0, and positive definite on any larger grid.
    """
    size = windows.shape[-1]
    order = _in_order(windows, groups)
    windows, groups = windows[order], groups[order.to(groups.device)]
    seen = _seen_power(windows)
    grid, device = len(seen), windows.device
    full = power_on_grid(_likeliest(seen, size), (grid, grid))
    short = _lag_window(_best_reach(windows, groups), grid, device)
    limit = 1 + _LARGEST_CHANCE / math.sqrt(len(windows))
    rest = full
    for _ in range(_CLIPPINGS):
        lags = torch.fft.irfft2(rest) * short
        smooth = power_on_grid(lags, (grid, grid))
        sharp = seen > limit * _through_taper(lags, size)
        rest = torch.where(sharp, smooth, full)  # lines must not widen the smooth part
    power = torch.where(sharp, full, smooth)
    covariance = torch.fft.irfft2(power) * _lag_window(_REACH * size, grid, device)
    return covariance / covariance[0, 0]


def enlarged(covariance: Float[Tensor, "m m"], shape: tuple[int, int]) -> tuple[int, int]:
    """Size (y, x) of a periodic field of which `shape` pixels are free of the wrap-around."""
    reach = covariance.shape[-1] // 2
    # A multiple of 32 keeps the transforms fast.
    return 32 * math.ceil((shape[0] + reach) / 32), 32 * math.ceil((shape[1] + reach) / 32)


def power_on_grid(covariance: Float[Tensor, "m m"], shape: tuple[int, int]) -> Float[Tensor, "y h"]:
    """Spectrum of an autocovariance on the half plane of the FFT of an image of `shape`.

    Not negative; noise of variance v has mean v over the full plane.
    """
    return torch.fft.rfft2(_embed(covariance, shape)).real.clamp(min=0)


def gaussian_field(
    covariance: Float[Tensor, "m m"], shape: tuple[int, int, int], generator: torch.Generator
) -> Float[Tensor, "n y x"]:
    """Draw Gaussian fields (n, y, x) of mean 0 with a given autocovariance.

    The fields are cut from larger ones, periodic on their own grid, such that no two pixels kept
    are related around the edge: neither period nor seam, whatever the shape.

    Parameters
    ----------
    covariance : Tensor
        As `fit_covariance` gives it.
    shape : tuple of int
        Number and size (n, y, x).
    generator : torch.Generator
        Its device is where the fields live.
    """
    large = enlarged(covariance, (shape[1], shape[2]))
    gain = power_on_grid(covariance.to(generator.device), large).sqrt()
    fields = filtered_noise(gain, (shape[0], *large), generator)
    return fields[:, : shape[1], : shape[2]].contiguous()
