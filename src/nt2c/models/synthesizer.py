"""Noise synthesizer: a generator driven by noise maps.

The generator starts as what can be measured: white noise coloured to the power spectrum of the
windows. A network turns further noise maps (heavy-tailed grains, white, slow, constant over a row,
a column or the whole draw) into gains for the frequency bands of that field and into something
added to it, so that it has to learn only what a stationary Gaussian field cannot be: a level that
varies, heavy tails, patterns. Everything is a convolution with nothing padded: any size can be
drawn, and no pixel is special. No transposed convolution, no bounded output.
"""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nt2c.core.errors import InputError
from nt2c.core.settings import Settings
from nt2c.imaging.convolution import convolve, transfer_kernel
from nt2c.imaging.fourier import frequency_axes, frequency_grid

FORMAT = 1
_LARGEST_LOG_GAIN = 2.5
_WINDOWS_PER_SIDE = 2
_LEAK = 0.2
_GRAIN_SPREAD = 0.7  # standard deviation of the logarithm of a grain's size: kurtosis 21
_Positive = Annotated[float, Field(gt=0)]


class GeneratorSettings(Settings):
    """Noise maps and size of the network."""

    width: int = Field(16, ge=1, le=8192, description="channels")
    borders: tuple[_Positive, ...] = Field(
        (0.04, 0.16),
        min_length=1,
        max_length=64,
        description="of the frequency bands with a gain each, 1/px",
    )
    white: int = Field(1, ge=0, le=64, description="maps of white noise beside the coloured one")
    slow_px: tuple[_Positive, ...] = Field(
        (1.0, 3.0, 8.0, 20.0, 50.0),
        max_length=64,
        description="correlation lengths (sigma) of slow maps",
    )
    whole: int = Field(2, ge=0, le=64, description="values that are constant over a draw")
    lines: int = Field(1, ge=0, le=64, description="maps constant along x, and as many along y")


class Generator(nn.Module):
    """Turns noise maps into noise, at first a Gaussian field with the covariance of the windows.

    Parameters
    ----------
    settings : GeneratorSettings
        Its size.
    covariance : Tensor
        Autocovariance (m, m) in the order of the FFT, as `noise.spectra.fit_covariance` gives it.
    window_px : int
        Side of the windows that it was measured in: correlations reach over less than twice that.

    Attributes
    ----------
    reach_px : int
        Pixels on each side that the network looks at: maps are that much larger than its output.
    """

    kernels: Tensor

    def __init__(
        self, settings: GeneratorSettings, covariance: Float[Tensor, "m m"], window_px: int
    ) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("kernels", _band_kernels(covariance, settings.borders, window_px))
        bands, width = self.kernels.shape[0], settings.width
        others = settings.white + len(settings.slow_px) + 2 * settings.lines + settings.whole
        inputs = bands + 1 + others
        self.stem = nn.Conv2d(inputs, width, 1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(2))
        self.head = nn.Conv2d(width + inputs - bands, bands + 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.bands, self.inputs, self.reach_px = bands, inputs, len(self.body)

    def stir(self, amount: float) -> None:
        """Add a little of the grains, and let every other map move the gain of every band a little.

        `amount` is the standard deviation of either. The Gaussian field is a saddle point: more of
        a map or less of it are equally likely, so that at nothing of it no gradient says that some
        would be better.
        """
        grains, others = self.settings.width, self.settings.width + 1
        with torch.no_grad():
            self.head.weight[-1, grains] = amount
            self.head.weight[:-1, others:] = amount

    def draw(
        self, count: int, shape: tuple[int, int], generator: torch.Generator
    ) -> Float[Tensor, "n c v u"]:
        """Draw the noise maps of `count` fields whose output has `shape`.

        Axes (n, channel, y + 2 reach, x + 2 reach). First come the bands of the coloured field and
        the grains: a field of the same spectrum made of white noise with heavy tails. Values of the
        whole draw come last.
        """
        height, width = (side + 2 * self.reach_px for side in shape)
        settings, device = self.settings, generator.device

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, device=device)

        margin = self.kernels.shape[-1] - 1
        field = normal(count, height + margin, width + margin)
        grains = normal(*field.shape) * torch.exp(
            _GRAIN_SPREAD * normal(*field.shape) - _GRAIN_SPREAD**2
        )
        maps = [convolve(field, self.kernels), convolve(grains, self.kernels.sum(0, keepdim=True))]
        maps.append(normal(count, settings.white, height, width))
        for sigma in settings.slow_px:
            rows, columns = _smooth(height, sigma, device), _smooth(width, sigma, device)
            coarse = normal(count, 1, rows.shape[1], columns.shape[1])
            maps.append(rows @ coarse @ columns.mT)
        full = (count, -1, height, width)
        maps.append(normal(count, settings.lines, height, 1).expand(full))
        maps.append(normal(count, settings.lines, 1, width).expand(full))
        maps.append(normal(count, settings.whole, 1, 1).expand(full))
        return torch.cat(maps, 1)

    def draw_windows(
        self, count: int, size: int, generator: torch.Generator
    ) -> Float[Tensor, "n c v v"]:
        """Draw maps of `count` windows of `size` pixels, cut from as few fields as that takes.

        Margins are drawn once per field. Values of the whole draw differ between the windows.
        """
        side, step = _WINDOWS_PER_SIDE, size + 2 * self.reach_px
        fields = -(-count // side**2)
        whole = side * step - 2 * self.reach_px
        maps = self.draw(fields, (whole, whole), generator)
        windows = maps.unfold(2, step, step).unfold(3, step, step).movedim(1, 3)
        windows = windows.reshape(-1, *windows.shape[3:])[:count]
        values = (count, self.settings.whole, 1, 1)
        windows[:, self.inputs - self.settings.whole :] = torch.randn(
            values, generator=generator, device=generator.device
        )
        return windows

    def forward(self, maps: Float[Tensor, "n c v u"]) -> Float[Tensor, "n 1 y x"]:
        """Make noise of maps from `draw`."""
        x = functional.leaky_relu(self.stem(maps), _LEAK)
        for layer in self.body:
            x = functional.leaky_relu(layer(x), _LEAK)
        r = self.reach_px
        inner = maps[:, :, r : maps.shape[2] - r, r : maps.shape[3] - r]
        field, other = inner.tensor_split([self.bands], 1)
        change = self.head(torch.cat([x, other], 1))
        limit = _LARGEST_LOG_GAIN
        gain = torch.exp(limit * torch.tanh(change[:, :-1] / limit))
        result: Tensor = (field * gain).sum(1, keepdim=True) + change[:, -1:]
        return result


def _band_kernels(covariance: Tensor, borders: tuple[float, ...], window_px: int) -> Tensor:
    """Kernels that give white noise the covariance, split into bands that add up to it.

    First the rings between the borders, then what runs along rows and what runs along columns (as
    an offset of each does), beyond the first border.
    """
    grid = covariance.shape[-1]
    shape, device = (grid, grid), covariance.device
    power = torch.fft.rfft2(covariance).real.clamp(min=0)
    octave = torch.log2(frequency_grid(shape, 1.0, device).clamp(min=1 / grid**2))
    above = [torch.sigmoid((octave - math.log2(border)) / 0.25) for border in borders]
    steps = [torch.ones_like(octave), *above, torch.zeros_like(octave)]
    rings = torch.stack([low - high for low, high in pairwise(steps)])
    ky, kx = frequency_axes(shape, 1.0, device)
    along = [torch.exp(-0.5 * (2 * window_px * k) ** 2) * above[0] for k in (kx, ky)]
    bands = torch.cat([rings * (1 - sum(along)), torch.stack(along)])
    return transfer_kernel(power.sqrt() * bands, 2 * window_px - 1)


def _smooth(size: int, sigma: float, device: torch.device) -> Float[Tensor, "size coarse"]:
    """Matrix that turns coarse white noise, a value every `sigma` px, into a smooth line.

    Gaussian weights, brought to variance 1 everywhere. With this spacing the correlations do not
    show the grid either: they ripple by 1e-4.
    """
    centres = torch.arange(-4, math.ceil(size / sigma) + 5, device=device) * sigma
    position = torch.arange(size, device=device)[:, None]
    weight = torch.exp(-0.5 * ((position - centres) / sigma) ** 2)
    return weight / weight.square().sum(1, keepdim=True).sqrt()


class NoiseSynthesizer:
    """Noise sampler learnt by a WGAN-GP: unit variance over many draws, any size.

    Parameters
    ----------
    generator : Generator
        Trained network.
    mean : Tensor
        Mean of what the network makes, a single value, which is taken off.
    correction : Tensor
        Last linear filter, a kernel (k, k): brings the power spectrum of what the network makes to
        that of the windows, and the variance to 1.
    metadata : dict
        Record of how it was made.
    """

    kind: Literal["wgan"] = "wgan"

    def __init__(
        self,
        generator: Generator,
        mean: Float[Tensor, ""],
        correction: Float[Tensor, "k k"],
        metadata: dict[str, Any],
    ) -> None:
        self.generator = generator
        self.mean = mean
        self.correction = correction
        self.metadata = metadata

    def sample(
        self, shape: tuple[int, int, int], generator: torch.Generator
    ) -> Float[Tensor, "n y x"]:
        """Draw noise of shape (count, y, x) on the device of `generator`.

        Draws of another shape are other draws, also from the same seed.
        """
        count, height, width = shape
        self.to(generator.device)
        margin = self.correction.shape[-1] - 1
        images = []
        for _ in range(count):
            maps = self.generator.draw(1, (height + margin, width + margin), generator)
            with torch.no_grad():
                field = self.generator(maps)[:, 0]
            images.append(convolve(field - self.mean, self.correction[None])[:, 0])
        return torch.cat(images)

    def to(self, device: torch.device) -> "NoiseSynthesizer":
        """Move to a device and return itself."""
        self.generator.to(device)
        self.mean, self.correction = self.mean.to(device), self.correction.to(device)
        return self

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors and metadata for a sampler file."""
        tensors = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        own = {
            "format": FORMAT,
            "kind": self.kind,
            "generator": self.generator.settings.model_dump(mode="json"),
        }
        tensors |= {"mean": self.mean, "correction": self.correction}
        return tensors, {**self.metadata, **own}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], metadata: dict[str, Any]
    ) -> "NoiseSynthesizer":
        """Build the sampler from what `to_tensors` gave.

        Raises
        ------
        InputError
            When the tensors are of something else, or of another format.
        """
        if metadata.get("kind") != cls.kind or metadata.get("format") != FORMAT:
            raise InputError(
                f"not a noise synthesizer of format {FORMAT} but "
                f"{metadata.get('kind')!r} of format {metadata.get('format')}; train it again"
            )
        settings = GeneratorSettings.parse(metadata["generator"], "sampler file")
        prefix = "generator."
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            side = (weights["kernels"].shape[-1] + 1) // 2
            network = Generator(settings, torch.zeros(4 * side, 4 * side), side)
            network.load_state_dict(weights)
        except (RuntimeError, KeyError, IndexError, ValueError) as error:
            raise InputError(f"weights do not fit the noise synthesizer: {error}") from None
        network.eval().requires_grad_(False)
        own = ("format", "kind", "generator")
        kept = {k: v for k, v in metadata.items() if k not in own}
        return cls(network, tensors["mean"], tensors["correction"], kept)
