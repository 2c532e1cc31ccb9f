"""Noise of other kinds on known truth, at the strength of the noise that was there.

Written without the simulator, so that it does not share its assumptions.

pink        half white, half a Gaussian field with power 1/k
carbon      white, and twice as much of a film through the contrast transfer: Thon rings
rows        white, with offsets of rows (a fifth) and of blocks of 256 columns (a tenth)
modulated   white, its strength exp(0.4 g) with g smooth over 300 A
tails       Student's t with 4 degrees of freedom

Kept aside: nothing is chosen by these, they are scored when everything else is settled.

brown       half white, half a Gaussian field with power 1/k^2 above 1/500 A
islands     white, with a film in patches that cover half of the field
wedge       noise that doubles from one side to the other, and a film that grows with it
speckle     white noise blurred by 6 A, as an interpolated or binned image has it, and row offsets
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]
Family = Callable[[np.random.Generator, tuple[int, int], float, float], Array]


def _radius(shape: tuple[int, int], pixel_size_a: float) -> Array:
    rows, columns = (np.fft.fftfreq(n, pixel_size_a) for n in shape)
    return np.hypot(rows[:, None], columns)


def _unit(image: Array) -> Array:
    centred = image - image.mean()
    return centred / centred.std()


def _field(rng: np.random.Generator, amplitude: Array) -> Array:
    """Gaussian field of unit variance with an amplitude spectrum."""
    white = np.fft.fft2(rng.standard_normal(amplitude.shape))
    return _unit(np.fft.ifft2(white * amplitude).real)


def _film(rng: np.random.Generator, shape: tuple[int, int], pixel: float, defocus: float) -> Array:
    k = _radius(shape, pixel)
    wavelength = 0.01969  # A at 300 kV
    phase = np.pi * wavelength * defocus * 1e4 * k**2 - np.pi / 2 * 2.7e7 * wavelength**3 * k**4
    return _field(rng, np.sin(phase + 0.07) * np.exp(-((6 * k) ** 2)))


def _smooth(rng: np.random.Generator, shape: tuple[int, int], length_px: float) -> Array:
    return _unit(ndimage.gaussian_filter(rng.standard_normal(shape), length_px, mode="wrap"))


def pink(rng: np.random.Generator, shape: tuple[int, int], pixel: float, _: float) -> Array:
    k = np.maximum(_radius(shape, pixel), 1 / (shape[0] * pixel))
    return rng.standard_normal(shape) + _field(rng, k**-0.5)


def carbon(rng: np.random.Generator, shape: tuple[int, int], pixel: float, um: float) -> Array:
    return rng.standard_normal(shape) + 2**0.5 * _film(rng, shape, pixel, um)


def rows(rng: np.random.Generator, shape: tuple[int, int], _: float, __: float) -> Array:
    blocks = np.repeat(rng.standard_normal(shape[1] // 256 + 1), 256)[: shape[1]]
    lines = rng.standard_normal((shape[0], 1))
    return rng.standard_normal(shape) + 0.2**0.5 * lines + 0.1**0.5 * blocks


def modulated(rng: np.random.Generator, shape: tuple[int, int], pixel: float, _: float) -> Array:
    amplitude = np.exp(-2 * (_radius(shape, pixel) * 300) ** 2)
    return rng.standard_normal(shape) * np.exp(0.4 * _field(rng, amplitude))


def tails(rng: np.random.Generator, shape: tuple[int, int], _: float, __: float) -> Array:
    return rng.standard_t(4, shape)


def brown(rng: np.random.Generator, shape: tuple[int, int], pixel: float, _: float) -> Array:
    k = np.maximum(_radius(shape, pixel), 1 / 500)
    return rng.standard_normal(shape) + _field(rng, 1 / k)


def islands(rng: np.random.Generator, shape: tuple[int, int], pixel: float, um: float) -> Array:
    inside = _smooth(rng, shape, 150 / pixel) > 0
    edge = ndimage.gaussian_filter(inside.astype(float), 10 / pixel)
    return rng.standard_normal(shape) + 1.5 * edge * _film(rng, shape, pixel, um)


def wedge(rng: np.random.Generator, shape: tuple[int, int], pixel: float, um: float) -> Array:
    slope = np.linspace(0, 1, shape[1])
    return (1 + slope) * rng.standard_normal(shape) + 2 * slope * _film(rng, shape, pixel, um)


def speckle(rng: np.random.Generator, shape: tuple[int, int], pixel: float, _: float) -> Array:
    blurred = _unit(ndimage.gaussian_filter(rng.standard_normal(shape), 2.5 / pixel))
    return blurred + 0.3 * rng.standard_normal((shape[0], 1))


FAMILIES: dict[str, Family] = {f.__name__: f for f in (pink, carbon, rows, modulated, tails)}
ASIDE: dict[str, Family] = {f.__name__: f for f in (brown, islands, wedge, speckle)}


def noise_like(
    family: str, seed: int, shape: tuple[int, int], pixel_size_a: float, defocus_um: float
) -> Array:
    """Noise (y, x) of a family, of unit variance and mean 0."""
    make = (FAMILIES | ASIDE)[family]
    rng = np.random.default_rng([seed, *family.encode()])
    return _unit(make(rng, shape, pixel_size_a, defocus_um)).astype(np.float32)
