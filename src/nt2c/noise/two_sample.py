"""Classifier two-sample test: a small network is to tell real windows from synthetic ones.

After Lopez-Paz & Oquab (2017), with the area under the ROC curve in place of the accuracy.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nt2c.noise.resampling import Measure, Resamples, bounded

_CHANNELS = (1, 8, 16, 16, 16)
_HIDDEN = 24
_FOLDS = 2
_STEPS = 120
_BATCH = 24  # of each kind
_CROP_PX = 48
_RATE = 3e-3
_WEIGHT_DECAY = 1e-2


class _Network:
    """Tells textures apart by what its filters answer on average.

    Four convolutions; each hands the mean and the log mean square of its responses, over the whole
    window, to two dense layers. These are standardised with constants taken before the training,
    which makes it fast.
    """

    def __init__(self, examples: list[Tensor], generator: torch.Generator) -> None:
        """Draw the weights (He et al. 2015) and measure the constants on batches of windows."""
        features = 2 * sum(_CHANNELS[1:])
        shapes: list[tuple[int, ...]] = [(to, of, 3, 3) for of, to in pairwise(_CHANNELS)]
        shapes += [(_HIDDEN, features), (1, _HIDDEN)]
        self.weights = [_drawn(shape, generator) for shape in shapes]
        self.biases = [torch.zeros(shape[0], device=generator.device) for shape in shapes]
        pooled = torch.cat([self._pooled(batch) for batch in examples])
        self.centre, self.spread = pooled.mean(0), pooled.std(0) + 1e-4

    def _pooled(self, windows: Tensor) -> Tensor:
        maps = windows[:, None]
        pooled = []
        layers = zip(self.weights[:-2], self.biases[:-2], strict=True)
        for layer, (kernel, bias) in enumerate(layers):
            maps = F.conv2d(maps, kernel, bias, stride=2 if layer else 1, padding=1)
            maps = F.leaky_relu(maps, 0.1)
            pooled += [maps.mean((2, 3)), torch.log(maps.square().mean((2, 3)) + 1e-3)]
        return torch.cat(pooled, 1)

    def __call__(self, windows: Float[Tensor, "n y x"]) -> Float[Tensor, " n"]:
        """Logits, positive where a window looks synthetic."""
        features = (self._pooled(windows) - self.centre) / self.spread
        hidden = F.leaky_relu(F.linear(features, self.weights[-2], self.biases[-2]), 0.1)
        return F.linear(hidden, self.weights[-1], self.biases[-1])[:, 0]

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [*self.weights, *self.biases]


def _drawn(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    gain = math.sqrt(2 / math.prod(shape[1:]))
    return gain * torch.randn(shape, generator=generator, device=generator.device)


def _batch(windows: Tensor, generator: torch.Generator) -> Tensor:
    """Crops of random windows, half of them turned by 180 degrees."""
    side = windows.shape[-1]
    crop = min(side, _CROP_PX)
    device = windows.device
    index = torch.randint(len(windows), (_BATCH,), generator=generator, device=device)
    y, x = torch.randint(side - crop + 1, (2,), generator=generator, device=device).tolist()
    chosen = windows[index, y : y + crop, x : x + crop]
    return torch.cat([chosen[: _BATCH // 2], chosen[_BATCH // 2 :].flip(1, 2)])


def _trained(real: Tensor, synthetic: Tensor, generator: torch.Generator) -> _Network:
    def batch() -> Tensor:
        return torch.cat([_batch(real, generator), _batch(synthetic, generator)])

    network = _Network([batch() for _ in range(4)], generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    label = torch.cat([torch.zeros(_BATCH), torch.ones(_BATCH)]).to(real.device)
    for parameter in network.parameters():
        parameter.requires_grad_()
    with torch.enable_grad():
        for _ in range(_STEPS):
            loss = F.binary_cross_entropy_with_logits(network(batch()), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


@torch.no_grad()
def _scores(windows: Tensor, network: _Network) -> Tensor:
    """Logits of windows, the mean of both turns."""
    parts = [network(p) + network(p.flip(1, 2)) for p in windows.split(64)]
    return 0.5 * torch.cat(parts)


def _folds(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Fold of each window; windows of a group share theirs."""
    number = groups.unique(return_inverse=True)[1]
    kinds = int(number.max()) + 1
    order = torch.randperm(kinds, generator=generator, device=groups.device)
    return (order % _FOLDS)[number]


def classifier_auc(
    real: Float[Tensor, "n s s"],
    synthetic: Float[Tensor, "m s s"],
    groups: Int[Tensor, " n"] | None,
    resamples: Resamples,
    generator: torch.Generator,
) -> Measure:
    """Area under the ROC curve of a network that tells real windows from synthetic ones.

    Each window is judged by a network trained on the other half of the windows. 0.5: it cannot
    tell; 1: it always can.

    Parameters
    ----------
    real, synthetic : Tensor
        Windows at a common scale, mean 0, variance about 1.
    groups : Tensor, optional
        Micrograph of each real window: no micrograph is in both halves.
    resamples : Resamples
        For the confidence interval (of the test, for the networks at hand).
    generator : torch.Generator
        On the device of the windows; the result depends on it and is reproducible.
    """
    device = real.device
    own = torch.arange(len(real), device=device) if groups is None else groups
    folds = _folds(own, generator), _folds(torch.arange(len(synthetic), device=device), generator)
    scores = torch.zeros(len(real), device=device), torch.zeros(len(synthetic), device=device)
    for fold in range(_FOLDS):
        network = _trained(real[folds[0] != fold], synthetic[folds[1] != fold], generator)
        scores[0][folds[0] == fold] = _scores(real[folds[0] == fold], network)
        scores[1][folds[1] == fold] = _scores(synthetic[folds[1] == fold], network)
    ones = [torch.ones(1, len(score), device=device) for score in scores]
    value = area_under_roc(scores, folds, ones[0], ones[1])
    replicates = area_under_roc(scores, folds, resamples.real, resamples.synthetic)
    same = area_under_roc(
        (scores[0], scores[0]), (folds[0], folds[0]), resamples.same_real, resamples.same_synthetic
    )
    return bounded(value, replicates[:, None], same[:, None])[0]


def area_under_roc(
    scores: tuple[Tensor, Tensor], folds: tuple[Tensor, Tensor], first: Tensor, second: Tensor
) -> Float[Tensor, " b"]:
    """Share of the pairs of one fold with the higher score in the second set; weights (b, n)."""
    compared = (folds[0][:, None] == folds[1]).float()
    wins = (0.5 + 0.5 * (scores[1] - scores[0][:, None]).sign()) * compared
    return ((first @ wins) * second).sum(1) / ((first @ compared) * second).sum(1)
