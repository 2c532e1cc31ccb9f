"""Critic of windows of noise: how real they look."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_LEAK = 0.2


class Critic(nn.Module):
    """Scores windows (n, 1, s, s): higher means more like the real ones. No normalization layer.

    Reads the mean and the root mean square of every level's responses, so that it judges fine
    grain, patches and the window as a whole. Works on 2 x 2 pixel blocks; s is a multiple of 2.
    """

    offset: Tensor
    gain: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((4, *widths))
        )
        features = 2 * sum(widths)
        self.register_buffer("offset", torch.zeros(features))
        self.register_buffer("gain", torch.ones(features))
        self.judge = nn.Sequential(nn.Linear(features, 64), nn.SiLU(), nn.Linear(64, 1))

    def calibrate(self, windows: Float[Tensor, "n 1 s s"]) -> None:
        """Choose the constants that give the features of these windows mean 0 and variance 1.

        Windows differ in their features by little beside their mean, so training would be slow
        without; the constants stay as they are, so that no window influences another's score.
        """
        with torch.no_grad():
            features = self._features(windows)
        self.offset.copy_(features.mean(0))
        self.gain.copy_(1 / features.std(0).clamp(min=1e-3))

    def _features(self, windows: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(windows, 2).contiguous(memory_format=torch.channels_last)
        seen = []
        for index, level in enumerate(self.levels):
            if index:
                x = functional.avg_pool2d(x, 2)
            x = functional.leaky_relu(level(x), _LEAK)
            seen += [x.mean((-2, -1)), (x.square().mean((-2, -1)) + 1e-6).sqrt()]
        return torch.cat(seen, 1)

    def forward(self, windows: Float[Tensor, "n 1 s s"]) -> Float[Tensor, " n"]:
        """Return one score for each window."""
        score: Tensor = self.judge((self._features(windows) - self.offset) * self.gain)
        return score[:, 0]
