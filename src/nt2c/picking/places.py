"""Where in a micrograph particles can be picked: not on dirt, film edges, crystals, empty parts."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.imaging.scale import Scaling

_SLOW_SIGMA_A = 40.0
_OFF_LEVEL = 1.0
_OFF_SPREADS = 4.0  # of the level in the micrograph: many particles darken their surroundings
_GRAIN_SIGMA_A = 8.0  # what remains after a blur by this holds hardly any signal
_LOCAL_SIGMA_A = 50.0
_UNEVEN = 1.6  # as ratio to the median, either way


@dataclass(frozen=True)
class Places:
    """Where picks may lie, and which share of the micrograph is left out for which reason.

    Attributes
    ----------
    allowed : Tensor of bool, shape (y, x)
        At the working pixel size.
    left_out : dict of str to float
        Share of the area by reason; reasons may overlap.
    """

    allowed: Tensor
    left_out: dict[str, float]


def off_level(
    scaled: Float[Tensor, "y x"], scaling: Scaling, pixel_size_a: float
) -> Float[Tensor, "y x"]:
    """Return how far a micrograph is off its median, in noise standard deviations.

    Fine detail is blurred by 40 A and a parabola is taken off: illumination is seldom even.
    """
    level = (scaled * scaling.unit + scaling.background) / scaling.sigma
    slow = _without_slope(gaussian_lowpass(level, _SLOW_SIGMA_A / pixel_size_a))
    return slow - slow.median()


def fine_variance(scaled: Float[Tensor, "y x"], pixel_size_a: float) -> Float[Tensor, "y x"]:
    """Variance of the fine noise from place to place, over 50 A."""
    fine = scaled - gaussian_lowpass(scaled, _GRAIN_SIGMA_A / pixel_size_a)
    return gaussian_lowpass(fine.square(), _LOCAL_SIGMA_A / pixel_size_a).clamp(min=0)


def pick_places(
    scaled: Float[Tensor, "y x"],
    scaling: Scaling,
    valid: Bool[Tensor, "y x"] | None,
    pixel_size_a: float,
    diameter_a: float,
) -> Places:
    """Find where particles may be picked in a micrograph.

    Left out are areas without image; those that are off the level of the rest by more than a noise
    standard deviation and four times what is usual in the micrograph (contamination, ice, bars,
    film); and those whose fine noise has another variance (crystals, film), each with half a
    diameter around.

    Parameters
    ----------
    scaled : Tensor, shape (y, x)
        Micrograph in units of its noise.
    scaling : Scaling
        Leads back to grey values.
    valid : Tensor of bool, optional
        Pixels that hold an image; all by default.
    pixel_size_a, diameter_a : float
        Of `scaled`, and of the particle (the greatest one), in angstrom.
    """
    off = off_level(scaled, scaling, pixel_size_a)
    # 1.4826 times the median absolute deviation is the standard deviation of a normal distribution.
    limit = max(_OFF_LEVEL, _OFF_SPREADS * 1.4826 * float(off.abs().median()))
    variance = fine_variance(scaled, pixel_size_a)
    ratio = (variance / variance.median()).clamp(min=1e-6).log().abs()
    marks = {
        "contamination or film": off.abs() > limit,
        "another kind of noise": ratio > math.log(_UNEVEN),
    }
    if valid is not None:
        marks["no image"] = ~valid
    reach = round(diameter_a / 2 / pixel_size_a)
    marks = {reason: _grown(mark, reach) for reason, mark in marks.items()}
    left_out = torch.stack(list(marks.values())).any(0)
    shares = {reason: float(mark.float().mean()) for reason, mark in marks.items()}
    return Places(~left_out, shares)


def _grown(mark: Tensor, reach: int) -> Tensor:
    """Mark what is at most `reach` pixels away along both axes."""
    if not bool(mark.any()):
        return mark
    width = 2 * reach + 1
    rows = functional.max_pool2d(mark[None].float(), (width, 1), 1, (reach, 0))
    return functional.max_pool2d(rows, (1, width), 1, (0, reach))[0] > 0


def _without_slope(image: Float[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """Take off the parabola of least squares."""
    y, x = (torch.linspace(-1, 1, size, device=image.device) for size in image.shape)
    y, x = torch.meshgrid(y, x, indexing="ij")
    terms = torch.stack([torch.ones_like(x), y, x, y * y, x * x, x * y], -1)
    step = max(1, min(image.shape) // 64)
    sparse = terms[::step, ::step].reshape(-1, 6).double()
    values = image[::step, ::step].reshape(-1, 1).double()
    weights = torch.linalg.lstsq(sparse, values).solution[:, 0].to(image.dtype)
    return image - terms @ weights
