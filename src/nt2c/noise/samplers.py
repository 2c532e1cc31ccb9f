"""Samplers of noise: one protocol, from white Gaussian noise to pieces of the real one."""

from typing import Any, ClassVar, Protocol, Self

import torch
from jaxtyping import Float, Float16, Shaped
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.imaging.fourier import apply_filter
from nt2c.noise.quilt import blend_overlap, quilt
from nt2c.noise.spectra import enlarged, fit_covariance, gaussian_field, power_on_grid

LEAST_SIDE_PX = 8
_GREATEST_GAIN = 2.0


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

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and metadata (with "kind") from which `from_tensors` builds the sampler."""
        ...


def standardised(windows: Float[Tensor, "n y x"]) -> Float[Tensor, "n y x"]:
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


class FittedNoise(NoiseSampler, Protocol):
    """A sampler that is fitted to windows at once, without a training."""

    @classmethod
    def fit(cls, windows: Float[Tensor, "n y x"], groups: Shaped[Tensor, " n"]) -> Self:
        """Fit to windows (n, y, x), squares; `groups` number their micrographs."""
        ...

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        ...


class WhiteNoise:
    """Independent Gaussian pixels."""

    kind: ClassVar[str] = "white"

    @classmethod
    def fit(cls, windows: Float[Tensor, "n y x"], groups: Shaped[Tensor, " n"]) -> Self:
        """Nothing is measured."""
        return cls()

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        return torch.randn(shape, generator=generator, device=generator.device)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
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
    def fit(cls, windows: Float[Tensor, "n y x"], groups: Shaped[Tensor, " n"]) -> Self:
        """Measure the spectrum of the windows (n, y, x), squares; `groups` number the micrographs.

        Raises
        ------
        InputError
            As `standardised` does.
        """
        return cls(fit_covariance(standardised(windows), groups))

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        return gaussian_field(self.covariance, shape, generator)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Autocovariance and kind."""
        return {"covariance": self.covariance}, {"kind": self.kind}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        return cls(tensors["covariance"])


class BootstrapNoise:
    """Real windows laid over the field at random, their borders blended in quadrature.

    Keeps all that a window holds: tails, local variance, phases. Only what was seen can be drawn. A
    filter near 1 puts back the correlations that the borders cut, so that the spectrum is that of
    `ColouredNoise`. Each window is turned by 180 degrees with probability 1/2, which leaves every
    spectrum, also an anisotropic one, as it is.
    """

    kind: ClassVar[str] = "bootstrap"

    def __init__(self, windows: Float16[Tensor, "n s s"], covariance: Float[Tensor, "m m"]) -> None:
        """Keep standardised windows (n, y, x) in half precision, and their `fit_covariance`."""
        self.windows = windows
        self.covariance = covariance

    @classmethod
    def fit(cls, windows: Float[Tensor, "n y x"], groups: Shaped[Tensor, " n"]) -> Self:
        """Keep the windows (n, y, x), squares; `groups` number their micrographs.

        Raises
        ------
        InputError
            As `standardised` does.
        """
        scaled = standardised(windows)
        return cls(scaled.half(), fit_covariance(scaled, groups))

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (n, y, x)."""
        windows = self.windows.to(generator.device)
        covariance = self.covariance.to(generator.device)
        large = enlarged(covariance, (shape[1], shape[2]))
        patchwork = quilt(windows, (shape[0], *large), generator)
        cut = blend_overlap(windows.shape[-1], covariance.shape[-1], covariance.device)
        gain = (power_on_grid(covariance, large) / power_on_grid(covariance * cut, large)).sqrt()
        fields = apply_filter(patchwork, gain.clamp(1 / _GREATEST_GAIN, _GREATEST_GAIN))
        return fields[:, : shape[1], : shape[2]].contiguous()

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Windows, autocovariance and kind."""
        tensors = {"windows": self.windows, "covariance": self.covariance}
        return tensors, {"kind": self.kind}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Build the sampler that `to_tensors` described."""
        return cls(tensors["windows"], tensors["covariance"])


FITTED: dict[str, type[FittedNoise]] = {
    "white": WhiteNoise,
    "coloured": ColouredNoise,
    "bootstrap": BootstrapNoise,
}
"""The samplers that are fitted, by their kind."""
