"""Noise beyond counting statistics and thin ice, as real micrographs have it.

Each kind is one physical cause with its range. Strengths are variances, as multiples of that of the
counting noise at the simulated pixel size.

film        a support film or thick ice over the whole field, imaged through the contrast transfer
coloured    slow drifts of a detector, its read noise and what its processing leaves: power laws
            and bands that the optics never saw
lines       offsets of rows or columns of a detector, of the whole or of its halves
blocks      offsets and gains of amplifiers
modulated   noise that is stronger in some places: uneven ice, wedges, steps of a film
tails       outliers of single pixels: x-rays, charging
filtered    what a program did to the micrograph: low-pass filters, dose weights, interpolation
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from nt2c.core.random import Draw
from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.simulation import physics
from nt2c.simulation.settings import NoiseSettings


@dataclass(frozen=True)
class Film:
    """A film over the field: `variance` 1 is that of the counting noise.

    Amorphous films are white up to an envelope (`envelope_a`); rough surfaces fall as a power law
    (`length_a`, `exponent`). `uneven` is the spread of the logarithm of its strength, over
    `uneven_a`.
    """

    variance: float
    rough: bool
    envelope_a: float
    length_a: float
    exponent: float
    uneven: float
    uneven_a: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Film":
        """Draw one within the limits of the settings."""
        return cls(
            variance=draw.log_uniform(*settings.film_variance),
            rough=draw.chance(0.4),
            envelope_a=draw.uniform(2.0, 10.0),
            length_a=draw.log_uniform(10.0, 150.0),
            exponent=draw.uniform(1.0, 4.0),
            uneven=draw.uniform(0.0, 0.5) if draw.chance(0.3) else 0.0,
            uneven_a=draw.log_uniform(150.0, 800.0),
        )


@dataclass(frozen=True)
class Coloured:
    """Gaussian noise of a spectrum: a "power law", a "band" or a "low band" around a frequency."""

    variance: float
    shape: str
    exponent: float
    centre_per_a: float
    width: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Coloured":
        """Draw one within the limits of the settings."""
        return cls(
            variance=draw.log_uniform(*settings.coloured_variance),
            shape=draw.choice(("power law", "power law", "band", "low band")),
            exponent=draw.uniform(0.5, 2.5),
            centre_per_a=1 / draw.log_uniform(12.0, 150.0),
            width=draw.uniform(0.1, 0.8),
        )


@dataclass(frozen=True)
class Lines:
    """Offsets of "rows", "columns" or "both", in each of the `parts` of the detector."""

    variance: float
    direction: str
    parts: int
    correlation_px: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Lines":
        """Draw one within the limits of the settings."""
        return cls(
            variance=draw.log_uniform(*settings.lines_variance),
            direction=draw.choice(("rows", "columns", "both")),
            parts=1 if draw.chance(0.6) else int(draw.uniform(2, 5)),
            correlation_px=draw.log_uniform(0.3, 4.0),
        )


@dataclass(frozen=True)
class Blocks:
    """Offsets of amplifiers and the spread of their `gain`, in stripes or in squares ("both")."""

    variance: float
    direction: str
    size_px: float
    gain: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Blocks":
        """Draw one within the limits of the settings."""
        return cls(
            variance=draw.log_uniform(*settings.lines_variance),
            direction=draw.choice(("rows", "columns", "both")),
            size_px=draw.log_uniform(16.0, 256.0),
            gain=draw.uniform(0.0, 0.15),
        )


@dataclass(frozen=True)
class Modulated:
    """Strength of the noise that differs from place to place: "smooth", a "wedge" or a "step"."""

    shape: str
    spread: float
    length_a: float
    angle_deg: float
    edge: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Modulated":
        """Draw one within the limits of the settings."""
        return cls(
            shape=draw.choice(("smooth", "smooth", "wedge", "step")),
            spread=draw.uniform(0.1, settings.modulation),
            length_a=draw.log_uniform(100.0, 800.0),
            angle_deg=draw.uniform(0.0, 360.0),
            edge=draw.uniform(-0.3, 0.3),
        )


@dataclass(frozen=True)
class Tails:
    """Spread of the logarithm of the strength of each pixel's noise."""

    spread: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Tails":
        """Draw one within the limits of the settings."""
        return cls(spread=draw.uniform(0.1, settings.tails))


@dataclass(frozen=True)
class Filtered:
    """A filter: "gaussian", "butterworth" (`order`), "cut" at `cutoff_a`, or "dose weights"."""

    shape: str
    cutoff_a: float
    order: int
    dose_e_per_a2: float

    @classmethod
    def draw(cls, settings: NoiseSettings, draw: Draw) -> "Filtered":
        """Draw one within the limits of the settings."""
        return cls(
            shape=draw.choice(("gaussian", "butterworth", "cut", "dose weights")),
            cutoff_a=draw.log_uniform(*settings.cutoff_a),
            order=int(draw.uniform(2, 9)),
            dose_e_per_a2=draw.uniform(20.0, 80.0),
        )


@dataclass(frozen=True)
class FurtherNoise:
    """The kinds of noise of one field, None of those that it has not; `carbon` is an edge's."""

    carbon: Film | None = None
    film: Film | None = None
    coloured: Coloured | None = None
    lines: Lines | None = None
    blocks: Blocks | None = None
    modulated: Modulated | None = None
    tails: Tails | None = None
    filtered: Filtered | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of those that the field has."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) is not None)

    @property
    def added_variance(self) -> float:
        """Sum of the variances that are added to the counting noise, where particles are."""
        adding = (self.film, self.coloured, self.lines, self.blocks)
        return sum(one.variance for one in adding if one)


NO_NOISE = FurtherNoise()

_DRAWN = {
    "film": Film.draw,
    "coloured": Coloured.draw,
    "lines": Lines.draw,
    "blocks": Blocks.draw,
    "modulated": Modulated.draw,
    "tails": Tails.draw,
    "filtered": Filtered.draw,
}


def draw_noise(
    settings: NoiseSettings, generator: torch.Generator, *, carbon: bool = False
) -> FurtherNoise:
    """Draw which kinds a field has, and their parameters.

    Where there is further noise at all, the `carbon` at an edge is a film of any strength too.
    """
    draw = Draw(generator)
    edge = Film.draw(settings, draw) if carbon and settings.share else None
    if not draw.chance(settings.share):
        return FurtherNoise(carbon=edge)
    chosen: list[str] = []
    for probability in (1.0, 0.5, 0.3):
        if draw.chance(probability):
            kind = draw.choice(settings.kinds)
            chosen += [kind] if kind not in chosen else []
    drawn: Any = {kind: _DRAWN[kind](settings, draw) for kind in chosen}
    return FurtherNoise(carbon=edge, **drawn)


def film(
    drawn: Film, transfer: Tensor, k: Tensor, pixel_size_a: float, shape: tuple[int, int],
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Image (y, x) of a film through the `transfer` of the optics, of the drawn variance."""
    if drawn.rough:
        ones = torch.ones((), device=k.device)
        power = physics.texture_power(k, ones, ones * drawn.length_a, ones * drawn.exponent)
    else:
        power = torch.exp(-2 * (k * drawn.envelope_a).square())
    field = physics.gaussian_field(
        (power * transfer.square())[None], shape, pixel_size_a, generator
    )
    field = _unit(field[0])
    if drawn.uneven:
        field = field * _smooth_strength(
            shape, drawn.uneven, drawn.uneven_a / pixel_size_a, generator, k.device
        )
    return field * drawn.variance**0.5


def coloured(
    drawn: Coloured, k: Tensor, pixel_size_a: float, shape: tuple[int, int],
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Gaussian field (y, x) of the drawn spectrum and variance."""
    centre = drawn.centre_per_a
    if drawn.shape == "power law":
        power = k.clamp(min=1 / (max(shape) * pixel_size_a)) ** -drawn.exponent
    elif drawn.shape == "band":
        power = torch.exp(-0.5 * ((k / centre).clamp(min=1e-3).log() / drawn.width).square())
    else:
        power = 1 / (1 + (k / centre) ** (2 + 4 * drawn.width))
    field = physics.gaussian_field(power[None], shape, pixel_size_a, generator)[0]
    return _unit(field) * drawn.variance**0.5


def lines(
    drawn: Lines, shape: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Offsets (y, x) of rows or columns, different in each of the `parts` of the detector."""

    def rows(height: int, width: int) -> Tensor:
        offsets = torch.randn(height, drawn.parts, generator=generator, device=device)
        if drawn.correlation_px > 0.5:
            offsets = gaussian_lowpass(offsets.T[:, None, :], drawn.correlation_px)[:, 0].T
        each = -(-width // drawn.parts)
        return offsets.repeat_interleave(each, 1)[:, :width]

    return _unit(_directed(drawn.direction, rows, shape)) * drawn.variance**0.5


def blocks(
    drawn: Blocks, shape: tuple[int, int], generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Offsets (y, x) and gains around 1 of the amplifiers of a detector."""
    size = max(2, round(drawn.size_px))
    many = (-(-shape[0] // size) + 1, -(-shape[1] // size) + 1)
    if drawn.direction == "rows":
        many, repeats = (many[0], 1), (size, shape[1])
    elif drawn.direction == "columns":
        many, repeats = (1, many[1]), (shape[0], size)
    else:
        repeats = (size, size)
    start = torch.randint(size, (2,), generator=generator, device=device).tolist()

    def spread(values: Tensor) -> Tensor:
        whole = values.repeat_interleave(repeats[0], 0).repeat_interleave(repeats[1], 1)
        top, left = (min(s, n - m) for s, n, m in zip(start, whole.shape, shape, strict=True))
        return whole[top : top + shape[0], left : left + shape[1]]

    offsets = spread(torch.randn(many, generator=generator, device=device))
    gains = spread(torch.randn(many, generator=generator, device=device))
    spread_now = offsets.std().clamp(min=0.3)
    offset = (offsets - offsets.mean()) / spread_now * drawn.variance**0.5
    return offset, (1 + drawn.gain * gains).clamp(0.5, 1.5)


def modulation(
    drawn: Modulated, pixel_size_a: float, shape: tuple[int, int],
    generator: torch.Generator, device: torch.device,
) -> Tensor:  # fmt: skip
    """Local strength (y, x) of the noise, of unit mean square."""
    length = drawn.length_a / pixel_size_a
    if drawn.shape == "smooth":
        return _smooth_strength(shape, drawn.spread, length, generator, device)
    y, x = (torch.linspace(-1, 1, n, device=device) for n in shape)
    angle = math.radians(drawn.angle_deg)
    distance = math.sin(angle) * y[:, None] + math.cos(angle) * x - drawn.edge
    if drawn.shape == "step":
        distance = torch.tanh(distance * max(shape) / (0.1 * length))
    return _unit_square(torch.exp(drawn.spread * 1.5 * distance))


def tails(
    drawn: Tails, shape: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Strength (y, x) of each pixel's noise, log-normal, of unit mean square."""
    spread = torch.randn(shape, generator=generator, device=device)
    return _unit_square(torch.exp(drawn.spread * spread))


def response(drawn: Filtered, k: Tensor, voltage_kv: float) -> Tensor:
    """Transfer of the filter that a program applied, at |k|."""
    cutoff = 1 / drawn.cutoff_a
    if drawn.shape == "gaussian":
        return torch.exp(-0.5 * (k / cutoff).square())
    if drawn.shape == "butterworth":
        return 1 / (1 + (k / cutoff) ** (2 * drawn.order)).sqrt()
    if drawn.shape == "cut":  # an enlarged image holds nothing beyond its own Nyquist frequency
        return (k < cutoff).to(k.dtype)
    dose = torch.tensor(drawn.dose_e_per_a2, device=k.device)
    return physics.dose_envelope(k, dose, voltage_kv)


def _directed(direction: str, rows: Callable[[int, int], Tensor], shape: tuple[int, int]) -> Tensor:
    result: Tensor = torch.zeros(())
    if direction in ("rows", "both"):
        result = rows(*shape)
    if direction in ("columns", "both"):
        result = result.to(device=(columns := rows(*shape[::-1]).T).device) + columns
    return result


def _unit(field: Tensor) -> Tensor:
    return (field - field.mean()) / field.std().clamp(min=1e-12)


def _unit_square(strength: Tensor) -> Tensor:
    return strength / strength.square().mean().sqrt()


def _smooth_strength(
    shape: tuple[int, int], spread: float, length_px: float, generator: torch.Generator,
    device: torch.device,
) -> Tensor:  # fmt: skip
    white = torch.randn(shape, generator=generator, device=device)
    return _unit_square(torch.exp(spread * _unit(gaussian_lowpass(white, length_px / 4))))


class FieldNoise:
    """The drawn kinds of noise of one field.

    Parameters
    ----------
    drawn : FurtherNoise
        From `draw_noise`.
    k : Tensor
        |k| in 1/A on the half plane of `shape`.
    transfer : Tensor
        Of the optics, there.
    pixel_size_a, voltage_kv : float
        Of the simulation.
    carbon : Tensor
        Share (y, x) of the thickness of a carbon film.
    generator : torch.Generator
        Stream on the device of `k`.

    Attributes
    ----------
    film, strength, gain : Tensor
        Image of the film in standard deviations of the counting noise, local strength of the noise
        and gain of the camera, each (y, x).
    response : Tensor
        Transfer of what a program did to the micrograph, on the half plane.
    """

    def __init__(
        self,
        drawn: FurtherNoise,
        k: Tensor,
        transfer: Tensor,
        pixel_size_a: float,
        voltage_kv: float,
        carbon: Tensor,
        generator: torch.Generator,
    ) -> None:
        shape = (carbon.shape[0], carbon.shape[1])
        self._drawn = drawn
        self._k = k
        self._pixel_size_a = pixel_size_a
        self._shape = shape
        self._generator = generator
        nothing, ones = torch.zeros(shape, device=k.device), torch.ones(shape, device=k.device)
        self.film = self._offset = nothing
        self.strength = self.gain = ones
        self.response = torch.ones_like(k)
        if drawn.modulated:
            self.strength = modulation(drawn.modulated, pixel_size_a, shape, generator, k.device)
        if drawn.film:
            self.film = self.strength * film(
                drawn.film, transfer, k, pixel_size_a, shape, generator
            )
        if drawn.carbon:
            edge = film(drawn.carbon, transfer, k, pixel_size_a, shape, generator)
            self.film = self.film + carbon * edge
        if drawn.blocks:
            offset, self.gain = blocks(drawn.blocks, shape, generator, k.device)
            self._offset = offset / 2**0.5  # both halves have the same
        if drawn.filtered:
            self.response = response(drawn.filtered, k, voltage_kv)

    def camera(self, deviation: Tensor, sd: Tensor) -> Tensor:
        """Noise (y, x) of one half, from its counting noise of standard deviation `sd`."""
        own = torch.zeros_like(deviation)
        if self._drawn.coloured:
            own = own + coloured(
                self._drawn.coloured, self._k, self._pixel_size_a, self._shape, self._generator
            )
        if self._drawn.lines:
            own = own + lines(self._drawn.lines, self._shape, self._generator, self._k.device)
        noise = (deviation + own * sd) * self.strength
        if self._drawn.tails:
            noise = noise * tails(self._drawn.tails, self._shape, self._generator, self._k.device)
        return noise + self._offset * sd
