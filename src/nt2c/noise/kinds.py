"""Names of the kinds of noise samplers."""

from typing import Literal

NoiseKind = Literal["wgan", "coloured", "bootstrap", "white"]
FitNoise = Literal[NoiseKind, "auto"]
"""What a recipe of a fit may ask for; auto: what suits the windows and needs no training."""
