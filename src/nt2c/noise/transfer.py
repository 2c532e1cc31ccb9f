"""Contrast-guided transfer: how strong the signal of real micrographs is, and pairs as strong.

A transferred pair is y = k1 c + g n with a clean field c, noise n of unit variance, and the target
k1 c. The published regression takes k1 from simulated pairs; the spectral estimate takes it from
the real micrographs.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.core.robust import inliers
from nt2c.core.settings import Settings
from nt2c.imaging.fourier import apply_filter, frequency_grid, radial_power
from nt2c.imaging.scale import NOISE_BAND
from nt2c.noise.spectra import sine_taper
from nt2c.simulation.settings import AboveZero, Limits, Share

Estimator = Literal["spectral", "least_squares"]
_REGRESSED_FIELDS = 16
_KNOTS = 8


class TransferSettings(Settings):
    """How clean fields and noise are weighted against each other."""

    estimator: Estimator = Field(
        "spectral", description="contrast of the real micrographs, or that of the simulator"
    )
    band_a: AboveZero = Field(
        (8.0, 100.0), description="resolution at which power is compared; the finest is noise"
    )
    clean_fields: int = Field(48, ge=2, description="simulated fields that give the clean power")
    contrast_spread: float = Field(
        0.2, ge=0, description="augmentation: standard deviation of the logarithm of k1"
    )
    gain_spread: float = Field(
        0.05,
        ge=0,
        description="augmentation: standard deviation of the logarithm of the noise gain",
    )
    spectrum_spread: float = Field(
        0.2,
        ge=0,
        description="augmentation: standard deviation of the logarithm of the noise amplitude at "
        "each resolution; micrographs of other ice and defocus than the windows have other noise",
    )
    defocus_um: Limits | None = Field(
        None, description="of the data set; None for that of the simulation"
    )
    structure_share: Share = Field(0.5, description="fields of the given structures, if any")
    simulated_share: Share = Field(0.2, description="fields with the simulator's own noise")


@dataclass(frozen=True)
class Contrast:
    """Weights of the clean field and of the noise, in units of the noise, and how they were found.

    `k1` and `gain` are those of the chosen `estimator`. k1 belongs to whole fields: power knows
    only the product of contrast squared and coverage, so that k1 holds for clean fields with the
    coverage, particles and defocus of those it was measured with. `spread` is the standard
    deviation of log k1 between micrographs, without what statistics and the variety of simulated
    fields explain; `error` the relative standard error of `spectral`; `per_micrograph` its value
    for each micrograph that is as large as a window, 0 where nothing exceeds the noise, of which
    `left_out` are far from the others and do not count.
    `least_squares` is (k1, g, b).
    """

    k1: float
    gain: float
    spread: float
    estimator: Estimator
    band_a: tuple[float, float]
    window_px: int
    spectral: float
    error: float
    per_micrograph: tuple[float, ...]
    least_squares: tuple[float, float, float]
    left_out: int = 0

    def to_record(self) -> dict[str, object]:
        """Return what JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def transfer(
    clean: Float[Tensor, "n y x"],
    noise: Float[Tensor, "n y x"],
    k1: float | Float[Tensor, " n"],
    gain: float | Float[Tensor, " n"],
) -> Float[Tensor, "n y x"]:
    """Weighted sum k1 clean + gain noise, each weight one number or one per image."""

    def weight(value: float | Tensor) -> Tensor:
        return torch.as_tensor(value, dtype=clean.dtype, device=clean.device).reshape(-1, 1, 1)

    return weight(k1) * clean + weight(gain) * noise


def vary_spectrum(
    noise: Float[Tensor, "n y x"], spread: float, generator: torch.Generator
) -> Float[Tensor, "n y x"]:
    """Filter each field by a random, smooth function of the spatial frequency.

    The logarithm of the amplitude is normal with standard deviation `spread` at knots an eighth of
    Nyquist apart, with cosines between them. It is 0 in the band where the unit of the noise is
    measured, since every micrograph has unit noise there.
    """
    count, height, width = noise.shape
    knots = spread * torch.randn(count, _KNOTS + 1, generator=generator, device=noise.device)
    knots[:, math.ceil(NOISE_BAND[0] * _KNOTS) :] = 0
    place = frequency_grid((height, width), 0.5 / _KNOTS, noise.device).clamp(max=_KNOTS - 1e-4)
    left = place.long()
    share = (1 - torch.cos(torch.pi * (place - left))) / 2
    logarithm = knots[:, left] * (1 - share) + knots[:, left + 1] * share
    return apply_filter(noise, logarithm.exp())


def segments(
    image: Float[Tensor, "y x"], size_px: int, step_px: int | None = None
) -> Float[Tensor, "n s s"]:
    """Squares of an image, by default such that they overlap by half (Welch 1967)."""
    step = step_px or size_px // 2
    return image.unfold(0, size_px, step).unfold(1, size_px, step).reshape(-1, size_px, size_px)


def tapered_power(
    squares: Float[Tensor, "n s s"], pixel_size_a: float
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " bins"]]:
    """Mean radial power of squares under a sine taper: frequency in 1/angstrom, and density.

    Its expectation is linear in the spectrum of the field that the squares are cut from: what leaks
    between rings does so in proportion. Power of squares of one size may thus be subtracted and
    divided, however small they are.
    """
    taper = sine_taper(squares.shape[-1], squares.device)
    centred = squares - squares.mean((-2, -1), keepdim=True)
    frequency, power = radial_power(centred * taper[:, None] * taper, pixel_size_a)
    return frequency, power.mean(0)


def _in_band(frequency: Tensor, band_a: tuple[float, float]) -> Tensor:
    band = (frequency >= 1 / band_a[1]) & (frequency <= 1 / band_a[0])
    if int(band.sum()) < 3:
        raise InputError(
            f"noise windows resolve {int(band.sum())} frequencies between {band_a[1]:g} and "
            f"{band_a[0]:g} A, and 3 are needed: widen the band or extract larger windows"
        )
    return band


def ring_estimator(
    real: Tensor, noise: Tensor, clean: Tensor, frequency: Tensor
) -> Float[Tensor, "2 bins"]:
    """Linear functionals of a power spectrum that give k1 squared and the squared level of noise.

    Weighted least squares of R_r = k1^2 C_r + m N_r over the rings r with weights
    k_r / (k1^2 C_r + m N_r)^2: modes in a ring over the variance of a periodogram. They follow from
    the model fitted, not from the power measured: rings that are high by chance must not lose
    weight. The noise level m comes from the rings where there is hardly any signal; with m = 1 a
    difference of 1 % in level would outweigh the signal at an SNR of 0.01.

    Parameters
    ----------
    real, noise, clean : Tensor, shape (bins,)
        Mean radial power of micrographs, of their noise windows and of clean fields, all from
        `tapered_power` with squares of one size.
    frequency : Tensor
        Centres of the rings in 1/angstrom.
    """
    design = torch.stack([clean, noise], 1)
    model = noise
    for _ in range(5):
        weighted = design.T * (frequency / model.square())
        functionals: Tensor = torch.linalg.solve(weighted @ design, weighted)
        squared, level = functionals @ real
        model = squared.clamp(min=0) * clean + level.clamp(min=0.1) * noise
    return functionals


def least_squares_contrast(
    noisy: Float[Tensor, "n y x"], clean: Float[Tensor, "n y x"], noise: Float[Tensor, "n y x"]
) -> tuple[float, float, float]:
    """Regression noisy ~ k1 clean + k2 (noise - mean) + b: k1, noise gain g, b.

    Source: Li et al. 2022, doi 10.1093/bioinformatics/btac052. `noise` is drawn independently of
    `noisy`, so that k2 is 0 but for chance and says nothing of the noise level; g is the standard
    deviation of what k1 clean + b leaves.
    """
    target = noisy.flatten().double()
    columns = torch.stack(
        [clean.flatten(), noise.flatten() - noise.mean(), torch.ones_like(noise.flatten())]
    ).double()
    moments = columns @ columns.T
    k1, _, b = torch.linalg.lstsq(moments, columns @ target).solution.tolist()
    left = target - k1 * columns[0] - b
    return k1, float(left.std()), b


def _regress_simulated(
    simulated: Tensor, clean: Tensor, windows: Tensor
) -> tuple[float, float, float]:
    """The published regression on squares of simulated fields, with windows in turn as noise."""
    size = windows.shape[-1]

    def squares(fields: Tensor) -> Tensor:
        return torch.cat([segments(field, size, size) for field in fields[:_REGRESSED_FIELDS]])

    noisy = squares(simulated)
    beside = windows[torch.arange(len(noisy), device=windows.device) % len(windows)]
    return least_squares_contrast(noisy, squares(clean), beside)


def _relative_spread(squared: Tensor) -> float:
    """Standard deviation of k1 in k1, from k1 squared of several fields."""
    return float(squared.std() / squared.mean() / 2) if len(squared) > 1 else 0.0


def estimate_contrast(
    real: Sequence[Float[Tensor, "_ _"]],
    windows: Float[Tensor, "n s s"],
    clean: Float[Tensor, "m y x"],
    simulated: Float[Tensor, "m y x"],
    pixel_size_a: float,
    settings: TransferSettings,
) -> Contrast:
    """Measure the contrast of real micrographs by both estimators.

    Parameters
    ----------
    real : sequence of Tensor
        Micrographs (y, x) in units of the noise; those smaller than a window are left out.
    windows : Tensor
        Particle-free squares of them.
    clean : Tensor
        Simulated clean fields in units of the simulator's noise, drawn as those that are to be
        weighted.
    simulated : Tensor
        The same fields with the simulator's noise.
    pixel_size_a : float
        Pixel size of all of them in angstrom.
    settings : TransferSettings
        Band and choice of the estimator.

    Raises
    ------
    InputError
        The micrographs hold no more power than their noise windows, or all are smaller.
    """
    size = windows.shape[-1]
    real = [image for image in real if min(image.shape) >= size]
    if not real:
        raise InputError(
            f"every micrograph is smaller than the noise windows of {size} pixels: extract smaller "
            "windows"
        )
    frequency, noise = tapered_power(windows, pixel_size_a)
    band = _in_band(frequency, settings.band_a)

    def power_of(fields: Sequence[Tensor] | Tensor) -> Tensor:
        rows = [tapered_power(segments(field, size), pixel_size_a)[1] for field in fields]
        return torch.stack(rows)[:, band].double()

    power, each_clean, k = power_of(real), power_of(clean), frequency[band].double()

    def estimator_of(power: Tensor) -> Tensor:
        return ring_estimator(power.mean(0), noise[band].double(), each_clean.mean(0), k)

    # Carbon, a crack or a wrong dose makes a few stand far out, which would set all.
    usual = torch.from_numpy(inliers((estimator_of(power)[0] @ power.T).cpu().numpy()))
    estimator = estimator_of(power[usual])
    each, power = estimator[0] @ power.T, power[usual]
    squared, levels = estimator @ power.T
    mean = float(squared.mean())
    if settings.estimator == "spectral" and not mean > 0:
        raise InputError(
            f"between {settings.band_a[1]:g} and {settings.band_a[0]:g} A the micrographs hold no "
            "more power than their noise windows: either they show no particles, or the windows "
            "do; look at the overlays of the extraction"
        )
    spectral = math.sqrt(max(0.0, mean)), float(windows.std() * levels.mean().sqrt())
    regression = _regress_simulated(simulated, clean, windows)
    k1, gain = spectral if settings.estimator == "spectral" else regression[:2]
    # A periodogram deviates by its own value in every mode: pi k dk area modes in a half ring.
    area = sum(image.numel() for image in real) / len(real) * pixel_size_a**2
    modes = math.pi * k * (frequency[1] - frequency[0]) * area
    chance = (estimator[0] * power.mean(0) / modes.sqrt()).norm() / squared.mean() / 2
    scatter = _relative_spread(squared)
    own = _relative_spread(estimator[0] @ each_clean.T)
    return Contrast(
        k1=k1,
        gain=gain,
        spread=math.sqrt(max(0.0, scatter**2 - own**2 - float(chance) ** 2)),
        estimator=settings.estimator,
        band_a=settings.band_a,
        window_px=size,
        spectral=spectral[0],
        error=scatter / math.sqrt(len(squared)),
        per_micrograph=tuple(each.clamp(min=0).sqrt().tolist()),
        left_out=len(each) - len(squared),
        least_squares=regression,
    )
