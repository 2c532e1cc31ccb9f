"""Four kinds of noise that the bundled model never saw, in electron counts and of mean 0.

They are made here and not by the package's simulator, so that what is measured on them does not
follow from its assumptions. Each draws one field (y, x) at `PIXEL_A` from a `Scene`; the noise of a
scene does not depend on its particles.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.fourier import apply_filter, frequency_axes, frequency_grid, gaussian_lowpass
from nt2c.simulation import physics

PIXEL_A = 2.0
DOSE = 40.0
COUNTS = DOSE * PIXEL_A**2  # mean electrons per pixel
Mtf = tuple[float, float, float, float, float]
K3: Mtf = (1.0, 0.96, 0.89, 0.77, 0.64)
DE20: Mtf = (1.0, 0.78, 0.57, 0.37, 0.20)


@dataclass(frozen=True)
class Scene:
    """What a micrograph's noise depends on.

    `transfer` turns projected potential (V A) into contrast, on the half plane of a field of
    `shape` (y, x); `camera` is the seed of what all micrographs of a camera share.
    """

    shape: tuple[int, int]
    transfer: Tensor
    camera: int


Noise = Callable[[Scene, torch.Generator], Tensor]


def mtf(values: Mtf, shape: tuple[int, int], pixels_per_sample: float = 1.0) -> Tensor:
    """MTF on the half plane from its values at 0, 1/4 ... 1 of the camera's Nyquist frequency."""
    fraction = frequency_grid(shape, PIXEL_A) * 2 * PIXEL_A / pixels_per_sample
    position = (fraction * 4).clamp(0, 4 - 1e-4)
    table, low = torch.tensor(values), position.long()
    return torch.lerp(table[low], table[low + 1], position - low)


def counting(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.poisson(torch.full(shape, COUNTS), generator=generator) - COUNTS


def detector(scene: Scene, generator: torch.Generator) -> Tensor:
    """An integrating camera read at its own pixels, frames aligned by linear interpolation.

    Counts are blurred by the MTF, and blurred again where frames were shifted by fractions of a
    pixel: by linear interpolation at a uniform shift the power 1 - (1 - cos(2 pi k)) / 3 is left, k
    in cycles per pixel and per axis. White readout noise comes on top.
    """
    ky, kx = (PIXEL_A * k for k in frequency_axes(scene.shape, PIXEL_A))
    left = [1 - (1 - torch.cos(2 * torch.pi * k)) / 3 for k in (ky, kx)]
    blurred = apply_filter(
        counting(scene.shape, generator), mtf(DE20, scene.shape) * (left[0] * left[1]).sqrt()
    )
    return blurred + 0.2 * COUNTS**0.5 * torch.randn(scene.shape, generator=generator)


def ice(scene: Scene, generator: torch.Generator) -> Tensor:
    """Strong amorphous ice through the microscope of the micrograph, on a counting camera.

    The amplitude is 1 to 1.5 times that of `physics.ice_power`; the bundled model saw 0.05 to 0.4.
    """
    gain, thickness = torch.rand(2, generator=generator).tolist()
    k = frequency_grid(scene.shape, PIXEL_A)
    power = physics.ice_power(k, torch.tensor(300 + 400 * thickness), torch.tensor(DOSE))
    potential = physics.gaussian_field(power[None], scene.shape, PIXEL_A, generator)[0]
    contrast = apply_filter(potential, scene.transfer * mtf(K3, scene.shape, 2.0))
    return (1 + 0.5 * gain) * COUNTS * contrast + counting(scene.shape, generator)


def modulated(scene: Scene, generator: torch.Generator) -> Tensor:
    """Coloured noise whose strength varies from place to place, with heavy tails.

    The amplitude is log-normal: it varies slowly over 300 and 1000 A (90 % of the local variances
    lie within a factor of 3) and, which makes the tails, over 50 A.
    """

    def smooth(length_a: float) -> Tensor:
        white = torch.randn(scene.shape, generator=generator)
        field = gaussian_lowpass(white, length_a / (2 * torch.pi) / PIXEL_A)
        return (field - field.mean()) / field.std()

    slow = 0.115 * (smooth(300.0) + smooth(1000.0))
    fast = 0.4 * smooth(50.0)
    k = frequency_grid(scene.shape, PIXEL_A) * 2 * PIXEL_A
    base = apply_filter(counting(scene.shape, generator), torch.exp(-0.5 * k**2))
    return base * torch.exp(slow + fast)


def pattern(scene: Scene, generator: torch.Generator) -> Tensor:
    """A camera with a fixed pattern, noisy read-out lines, pickup and smeared rows.

    The fixed pattern (pixels, columns, blocks of 128 columns) is the same in all micrographs.
    """
    rows, columns = scene.shape
    sigma = COUNTS**0.5
    camera = stream(scene.camera, "fixed pattern")
    fixed = 0.2 * torch.randn(scene.shape, generator=camera)
    fixed += 0.08 * torch.randn(1, columns, generator=camera)
    blocks = 0.05 * torch.randn(1, -(-columns // 128), generator=camera)
    fixed += blocks.repeat_interleave(128, 1)[:, :columns]
    lines = torch.randn(rows, -(-columns // 256) + 1, generator=generator)
    lines = torch.nn.functional.interpolate(
        lines[None], size=columns, mode="linear", align_corners=True
    )[0]
    phase = torch.randn(rows, 1, generator=generator).mul(0.3).cumsum(0)
    pickup = torch.sin(2 * torch.pi * torch.arange(columns) / 11.7 + phase)
    ky, kx = (PIXEL_A * k for k in frequency_axes(scene.shape, PIXEL_A))
    smear = torch.exp(-2 * torch.pi**2 * ((0.9 * kx) ** 2 + (0.35 * ky) ** 2))
    grain = apply_filter(counting(scene.shape, generator), smear)
    return grain + sigma * (fixed + 0.1 * lines + 0.06 * pickup)


NOISES: dict[str, Noise] = {
    "detector": detector,
    "ice": ice,
    "modulated": modulated,
    "pattern": pattern,
}
