"""Samplers of noise: one protocol, from white Gaussian noise to pieces of the real one."""

import math
from typing import Any, ClassVar, Protocol, Self

import torch
from jaxtyping import Float, Float16
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.noise.spectra import fit_covariance, gaussian_field

LEAST_SIDE_PX = 8
_OVERLAP = 0.25  # of the side of a window


class NoiseSampler(Protocol):
    """Draws noise of mean 0 and variance 1 (over many draws), of any size, on any device."""

    @property
    def kind(self) -> str:
        """Name of the implementation, by which a sampler file is read back."""
        ...

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x) on the device of the generator, float32."""
        ...

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and metadata (with "kind") from which `from_tensors` builds the sampler."""
        ...


def standardised(windows: Float[Tensor, "n s s"]) -> Float[Tensor, "n s s"]:
    """Bring a set of windows to mean 0 and variance 1, with one offset and gain for all.

    Raises
    ------
    InputError
        The windows hold NaN or infinity, no variance, or are too few or too small.
    """
    count, height, width = windows.shape
    if count < 2 or height != width or height < LEAST_SIDE_PX:
        raise InputError(
            f"noise windows: {count} of {height} x {width} px cannot be used; extract at least 2 "
            f"squares of {LEAST_SIDE_PX} px or more"
        )
    if not bool(torch.isfinite(windows).all()):
        raise InputError("noise windows: hold NaN or infinity; extract them again")
    centred = windows.float() - windows.float().mean()
    sd = centred.square().mean().sqrt()
    if float(sd) == 0:
        raise InputError("noise windows: all pixels are equal; these are not windows of noise")
    return centred / sd


class WhiteNoise:
    """Independent Gaussian pixels."""

    kind: ClassVar[str] = "white"

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        return torch.randn(shape, generator=generator, device=generator.device)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing to keep but the kind."""
        return {}, {"kind": self.kind}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        return cls()


class ColouredNoise:
    """Gaussian field with the two-dimensional spectrum of the windows.

    Keeps anisotropy and lines (a fixed pattern), but is stationary and Gaussian: local variance
    that varies and heavy tails are lost.
    """

    kind: ClassVar[str] = "coloured"

    def __init__(self, covariance: Float[Tensor, "m m"]) -> None:
        """Keep an autocovariance as `spectra.fit_covariance` gives it."""
        self.covariance = covariance

    @classmethod
    def fit(cls, windows: Float[Tensor, "n s s"]) -> Self:
        """Measure the spectrum of the windows (n, y, x), squares.

        Raises
        ------
        InputError
            As `standardised` does.
        """
        return cls(fit_covariance(standardised(windows)))

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        return gaussian_field(self.covariance, shape, generator)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Autocovariance and kind."""
        return {"covariance": self.covariance}, {"kind": self.kind}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        return cls(tensors["covariance"])


class BootstrapNoise:
    """Real windows laid over the field at random, their borders blended in quadrature.

    Keeps all that a window holds: tails, local variance, phases. Correlations longer than a window
    are lost, and only what was seen can be drawn. Each window is turned by 180 degrees with
    probability 1/2, which leaves every spectrum, also an anisotropic one, as it is.
    """

    kind: ClassVar[str] = "bootstrap"

    def __init__(self, windows: Float16[Tensor, "n s s"]) -> None:
        """Keep standardised windows (n, y, x) in half precision."""
        self.windows = windows

    @classmethod
    def fit(cls, windows: Float[Tensor, "n s s"]) -> Self:
        """Keep the windows (n, y, x), squares.

        Raises
        ------
        InputError
            As `standardised` does.
        """
        return cls(standardised(windows).half())

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        count, height, width = shape
        device = generator.device
        windows = self.windows.to(device)
        side = windows.shape[-1]
        step = side - int(_OVERLAP * side)
        rows, columns = (math.ceil((size + side) / step) for size in (height, width))
        ramp = side - step
        weight = _quadrature_weight(side, ramp, device)
        canvas = torch.zeros(count, rows * step + ramp, columns * step + ramp, device=device)
        for row in range(rows):
            for column in range(columns):
                index = torch.randint(
                    2 * len(windows), (count,), generator=generator, device=device
                )
                tile = windows[index // 2].float()
                turned = (index % 2).bool()[:, None, None]
                tile = torch.where(turned, tile.flip(1, 2), tile) * weight
                y, x = row * step, column * step
                canvas[:, y : y + side, x : x + side] += tile
        return _cut_at_random(canvas, ramp, step, (height, width), generator)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Windows and kind."""
        return {"windows": self.windows}, {"kind": self.kind}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        return cls(tensors["windows"])


def _quadrature_weight(side: int, ramp: int, device: torch.device) -> Tensor:
    """Weight (side, side) that rises as a sine over `ramp`: squares of neighbours add up to 1."""
    rise = torch.sin(0.5 * math.pi * (torch.arange(ramp, device=device) + 0.5) / ramp)
    line = torch.cat([rise, torch.ones(side - 2 * ramp, device=device), rise.flip(0)])
    return line[:, None] * line


def _cut_at_random(
    canvas: Tensor, margin: int, step: int, shape: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Cut each field from its canvas with an origin of its own: no place is always a border."""
    origins = torch.randint(step, (len(canvas), 2), generator=generator, device=canvas.device)
    lines = [
        margin + origins[:, dim, None] + torch.arange(size, device=canvas.device)
        for dim, size in enumerate(shape)
    ]
    item = torch.arange(len(canvas), device=canvas.device)[:, None, None]
    return canvas[item, lines[0][:, :, None], lines[1][:, None, :]]
