"""Windows of a micrograph that hold noise and nothing else, found with a denoised estimate.

Evidence of signal is the local energy of the dark parts (protein) of the band-passed estimate in
units of the noise variance: what the denoiser believes to see there. A window carries the greatest
value that lies in it or in a margin around it, so that one particle that touches a corner counts as
much as one in the middle.
All windows under a limit are equally good: choosing the quietest would choose those whose noise
happens to be weak, and their spectrum would be too low.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor
from torch.nn.functional import avg_pool2d

from nt2c.core.settings import Settings
from nt2c.imaging.fourier import Rings, gaussian_lowpass
from nt2c.imaging.quantiles import quantiles

BAND_A = (20.0, 200.0)
"""Period in angstrom below and above which the estimate's energy does not count."""

_ENERGY_SIGMA_A = 6.0
_DRIFT_SIGMA_A = 100.0  # period of about 600 A: blobs, edges and gradients, but no particles
_GRAIN_SIGMA_A = 8.0  # what remains after a blur by this is left out of the local variance
_CONTRAST_QUANTILE = 0.98
_EULER = 0.5772156649


Level = tuple[PositiveFloat, NonNegativeFloat]
"""Limit on the evidence in noise variances, and margin around a window in angstrom."""


class ExtractionSettings(Settings):
    """Which windows of which micrographs are taken as noise; all lengths in angstrom.

    Attributes
    ----------
    windows_a : tuple of float
        Sides of the windows, tried from large to small until there are `least` of them.
    levels : tuple of (float, float)
        Limit on the evidence of signal in noise variances, and width in angstrom of the margin
        around a window in which signal counts too; the next, more lenient one is tried when no
        size of window gives enough. Only the first one is for micrographs with room to choose.
    least : int
        Fewer windows than this over all micrographs are refused.
    count : int
        At most so many windows over all micrographs.
    per_micrograph : int
        At most so many windows of one micrograph, so that none dominates.
    micrographs : int
        At most so many micrographs are used, evenly spaced over the inputs.
    overlap : float
        Greatest share of a window that another one covers.
    border_a : float
        Distance kept from the borders of the micrograph.
    drift : float
        Greatest slow deviation (blur by 100 A) from the median, in noise standard deviations:
        dark contamination, edges of carbon, gradients.
    variance : float
        Greatest ratio, either way, of the fine noise's variance to its median in the micrograph.
    spot : float
        Greatest power of a Fourier coefficient of a window, as multiple of that of its ring:
        crystals.
    faint : tuple of float
        A micrograph whose contrast (see `contrast`) lies between these limits shows neither clear
        particles nor none; it is used only when the others give too few windows.
    """

    windows_a: tuple[PositiveFloat, ...] = Field((256.0, 192.0, 128.0, 96.0), min_length=1)
    levels: tuple[Level, ...] = Field(((0.008, 24.0), (0.03, 12.0), (0.1, 12.0)), min_length=1)
    least: int = Field(48, ge=1)
    count: int = Field(2000, ge=1)
    per_micrograph: int = Field(100, ge=1)
    micrographs: int = Field(50, ge=1)
    overlap: float = Field(0.0, ge=0, lt=1)
    border_a: float = Field(40.0, ge=0)
    drift: float = Field(0.5, gt=0)
    variance: float = Field(1.6, gt=1)
    spot: float = Field(25.0, gt=1)
    faint: tuple[float, float] = (0.1, 1.25)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if list(self.windows_a) != sorted(self.windows_a, reverse=True):
            raise ValueError("windows_a goes from large to small")
        if list(self.levels) != sorted(self.levels):
            raise ValueError("levels go from strict (low) to lenient (high)")
        if self.faint[0] > self.faint[1]:
            raise ValueError("faint: the lower limit comes first")
        if self.least > self.count:
            raise ValueError(f"least {self.least} is more than count {self.count}")
        return self


@dataclass(frozen=True)
class Windows:
    """Square windows of one micrograph, in the order in which they were drawn.

    Attributes
    ----------
    y_px, x_px : int array, shape (n,)
        Top left corner at the working pixel size.
    size_px : int
        Side.
    evidence : float array, shape (n,)
        Greatest local energy of the estimate in the window and its margin, noise variances.
    """

    y_px: NDArray[np.int64]
    x_px: NDArray[np.int64]
    size_px: int
    evidence: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.y_px)


@dataclass(frozen=True)
class Survey:
    """What is known of each pixel of a micrograph before windows are drawn, each (y, x).

    `scaled` is the micrograph in units of the noise, `energy` the local energy of the estimate,
    `allowed` where windows may lie, `grain` the square of the fine noise. Above the frequency
    `limit` (in cycles per pixel) an enlarged micrograph holds nothing.
    """

    scaled: Tensor
    energy: Tensor
    allowed: Tensor
    grain: Tensor
    limit: float
    pixel_size_a: float


def window_px(size_a: float, pixel_size_a: float) -> int:
    """Side of a window in pixels: the nearest multiple of 8, at least 8."""
    return max(8, 8 * round(size_a / pixel_size_a / 8))


def signal_energy(estimate: Float[Tensor, "y x"], pixel_size_a: float) -> Float[Tensor, "y x"]:
    """Local energy of the dark parts of the estimate between periods of 20 and 200 A.

    Bright parts do not count: they are fringes around the particles of a defocused image, which
    reach far. The band is a difference of Gaussians and the neighbourhood a Gaussian of 6 A, both
    mirrored at the borders. The unit is that of the estimate squared: the variance of the noise.
    """
    # A Gaussian of sigma halves the power at a period of 2 pi sigma / sqrt(ln 2) = 7.5 sigma.
    fine, coarse = (period / 7.5 / pixel_size_a for period in BAND_A)
    band = gaussian_lowpass(estimate, fine) - gaussian_lowpass(estimate, coarse)
    return gaussian_lowpass(band.clamp(max=0).square(), _ENERGY_SIGMA_A / pixel_size_a).clamp(min=0)


def survey(
    scaled: Float[Tensor, "y x"],
    estimate: Float[Tensor, "y x"],
    pixel_size_a: float,
    settings: ExtractionSettings,
    allowed: Bool[Tensor, "y x"] | None = None,
) -> Survey:
    """Look over a micrograph once, for windows of any size and any limit.

    Parameters
    ----------
    scaled, estimate : Tensor, shape (y, x)
        Micrograph in units of the noise, and the denoiser's estimate of the signal in it.
    pixel_size_a : float
        Their pixel size in angstrom.
    settings : ExtractionSettings
        What is excluded.
    allowed : Tensor, optional
        True where windows may lie.
    """
    border = math.ceil(settings.border_a / pixel_size_a)
    inside = torch.zeros_like(scaled, dtype=torch.bool)
    inside[border : scaled.shape[0] - border, border : scaled.shape[1] - border] = True
    slow = gaussian_lowpass(scaled, _DRIFT_SIGMA_A / pixel_size_a)
    inside &= (slow - slow.median()).abs() < settings.drift
    if allowed is not None:
        inside &= allowed
    fine = scaled - gaussian_lowpass(scaled, _GRAIN_SIGMA_A / pixel_size_a)
    energy = signal_energy(estimate, pixel_size_a)
    return Survey(scaled, energy, inside, fine.square(), _limit(scaled), pixel_size_a)


def _limit(image: Tensor) -> float:
    """Highest frequency along both axes with any power, cycles per pixel."""
    power = torch.fft.fft2(image).abs().square()
    limits = []
    for across, size in enumerate(reversed(image.shape)):
        line = power.mean(across)[: size // 2]
        limits.append(int((line > 1e-3 * line.median()).nonzero().max()) / size)
    return min(limits)


def contrast(found: Survey, settings: ExtractionSettings) -> float:
    """Evidence of the strongest signal: the 98 % quantile over the smallest windows.

    On simulated micrographs (90 to 250 A, signal-to-noise ratio 0.03 at 1.5 A per pixel) hardly a
    window touched a particle above 1.25, a tenth to most of them below; without particles the
    contrast was at most 0.09.
    """
    size = window_px(min(settings.windows_a), found.pixel_size_a)
    if size > min(found.scaled.shape):
        return 0.0
    margin = _margin_px(settings.levels[0], found.pixel_size_a)
    values = _pooled_max(found.energy, size, margin)
    return float(quantiles(values[::4, ::4].flatten(), _CONTRAST_QUANTILE))


def find_windows(
    found: Survey,
    settings: ExtractionSettings,
    size_px: int,
    level: Level,
    generator: torch.Generator,
) -> Windows:
    """Draw windows whose evidence is under the limit of a level, in random order.

    Parameters
    ----------
    found : Survey
        From `survey`.
    settings : ExtractionSettings
        Quota, overlap and what is excluded.
    size_px : int
        Side of the windows.
    level : (float, float)
        Limit on the evidence in noise variances, and margin in angstrom.
    generator : torch.Generator
        Stream on the CPU, for the choice between acceptable windows.
    """
    if size_px > min(found.scaled.shape):
        return _windows([], size_px, np.zeros((0, 0)))
    evidence = _pooled_max(found.energy, size_px, _margin_px(level, found.pixel_size_a))
    free = _pooled_max((~found.allowed).float(), size_px, 0) == 0
    rows = avg_pool2d(found.grain[None, None], (size_px, 1), 1)
    variance = avg_pool2d(rows, (1, size_px), 1)[0, 0]
    ratio = variance / variance.median()
    even = (ratio < settings.variance) & (ratio > 1 / settings.variance)
    good = (free & even & (evidence <= level[0])).cpu()
    step = max(1, size_px // 8)
    places = (good[::step, ::step].nonzero() * step).numpy()
    places = places[torch.randperm(len(places), generator=generator).numpy()]
    alive = np.ones(len(places), bool)

    def spotless(y: int, x: int) -> bool:
        window = found.scaled[y : y + size_px, x : x + size_px]
        return _spot(window, found.limit) <= settings.spot

    taken: list[tuple[int, int]] = []
    for index, (y, x) in enumerate(places.tolist()):
        if len(taken) == settings.per_micrograph:
            break
        if alive[index] and spotless(y, x):
            taken.append((y, x))
            alive &= _overlap(places, y, x, size_px) <= settings.overlap
    return _windows(taken, size_px, evidence.cpu().double().numpy())


def _windows(taken: list[tuple[int, int]], size_px: int, evidence: NDArray[np.float64]) -> Windows:
    corners = np.array(taken, np.int64).reshape(-1, 2)
    y, x = corners[:, 0], corners[:, 1]
    return Windows(y, x, size_px, evidence[y, x])


def _margin_px(level: Level, pixel_size_a: float) -> int:
    return round(level[1] / pixel_size_a)


def _pooled_max(image: Tensor, size: int, margin: int) -> Tensor:
    """Greatest value in each window and `margin` pixels around it; indexed by top left corner."""
    padded = torch.nn.functional.pad(image, (margin,) * 4, value=0.0)
    width = size + 2 * margin
    return _running_max(_running_max(padded, width, 0), width, 1)


def _running_max(image: Tensor, width: int, dim: int) -> Tensor:
    """Greatest of `width` neighbours along an axis; ranges double, which pooling does not do."""
    reach = 1
    while reach < width:
        step = min(reach, width - reach)
        kept = image.shape[dim] - step
        image = torch.maximum(image.narrow(dim, 0, kept), image.narrow(dim, step, kept))
        reach += step
    return image


def _overlap(places: NDArray[np.int64], y: int, x: int, size: int) -> NDArray[np.float64]:
    """Share of the window at (y, x) that each of the windows at `places` covers."""
    sides = (size - np.abs(places - (y, x))).clip(min=0)
    shares: NDArray[np.float64] = sides.prod(1) / size**2
    return shares


def _spot(window: Tensor, limit: float) -> float:
    """Greatest power of a Fourier coefficient as multiple of the power of its ring."""
    size = window.shape[-1]
    taper = torch.hann_window(size, periodic=False, device=window.device)
    power = torch.fft.rfft2((window - window.mean()) * taper[:, None] * taper).abs().square()
    rings = Rings.nearest((size, size), window.device)
    rings = replace(rings, weights=torch.ones_like(power))
    # The mean logarithm of an exponential variable: that of its mean less Euler's constant;
    # unlike the mean itself it hardly sees a single peak.
    logs = torch.log(power.clamp(min=1e-20))
    level = rings.means(logs) + _EULER
    # The innermost rings hold too few coefficients to tell a peak from their level.
    whole = (rings.index >= 4) & (rings.index <= limit * size - 2)
    excess = logs - level[rings.index.clamp(max=rings.count - 1)]
    return float(excess[whole].max().exp()) if bool(whole.any()) else 0.0
