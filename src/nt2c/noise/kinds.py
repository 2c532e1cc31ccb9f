"""Names of the kinds of noise samplers."""

from typing import Literal

NoiseKind = Literal["wgan", "coloured", "bootstrap", "white"]
