"""Independent random streams derived from one seed, so that order and workers do not matter."""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch


def stream(
    seed: int, role: str, index: int = 0, device: str | torch.device = "cpu"
) -> torch.Generator:
    """Return the generator of item `index` of the stream named `role`.

    Parameters
    ----------
    seed : int
        Seed of the run, >= 0.
    role : str
        Name of what is drawn ("noise", "placement", ...); other names give independent streams.
    index : int
        Item within the stream, >= 0.
    device : str or torch.device
        Device that the generator draws on.

    Notes
    -----
    Uses `numpy.random.SeedSequence`, whose children do not overlap.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(role.encode()), index]).generate_state(2)
    generator = torch.Generator(device=device)
    generator.manual_seed(int(words[0]) << 31 ^ int(words[1]))
    return generator


class Draw:
    """Random numbers, one at a time, from a generator on the CPU."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def uniform(self, low: float, high: float) -> float:
        """Even between two limits."""
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def log_uniform(self, low: float, high: float) -> float:
        """Even in the logarithm, between two limits above 0."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return float(torch.rand((), generator=self._generator)) < probability

    def choice(self, names: Sequence[str]) -> str:
        """One of them, all alike."""
        return names[int(torch.randint(len(names), (), generator=self._generator))]
