"""How many of a set of picks are noise: targets against decoys (Elias & Gygi 2007).

Picks of denoised micrographs are the targets; those of denoised noise, found in the same way in the
same places, the decoys. Above any score there are about as many noise picks among the targets as
there are decoys per field of noise. Where a particle was picked there is no room for a noise pick:
decoys that lie there do not count, which takes the place of Storey's share of true nulls (2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nt2c.picking import SPACING
from nt2c.picking.detector import Blobs, claimed

Scores = Float[np.ndarray, " n"]

_SURE = 0.05  # greatest q-value of a pick that takes the room of decoys
_PASSES = 3
_RESAMPLED = 500


@dataclass(frozen=True)
class Judged:
    """Blobs of a denoised micrograph, and of its decoys.

    Attributes
    ----------
    targets : Blobs
        Of the micrograph; the height is the score, in units that are the same for all micrographs.
    decoys : tuple of Blobs
        Of each field of noise in its place.
    """

    targets: Blobs
    decoys: tuple[Blobs, ...]


@dataclass(frozen=True)
class Discovery:
    """Scores of a set of micrographs, and what they say of picks above any score.

    Attributes
    ----------
    targets : tuple of array
        Scores of each micrograph's blobs, falling.
    decoys : tuple of array
        Scores of the decoys that count, of all its fields of noise.
    fields : tuple of int
        Number of fields of noise of each micrograph.
    """

    targets: tuple[Scores, ...]
    decoys: tuple[Scores, ...]
    fields: tuple[int, ...]

    def expected(self, score: float) -> float:
        """Noise picks to expect at or above a score in all micrographs together.

        One more decoy is counted than was found, over all fields: so few can be a matter of luck.
        """
        found = sum(
            np.count_nonzero(own >= score) / fields
            for own, fields in zip(self.decoys, self.fields, strict=True)
        )
        return float(found + self._one)

    @property
    def _one(self) -> float:
        """What a single decoy stands for."""
        return len(self.fields) / max(1, sum(self.fields))

    def q_values(self) -> tuple[Scores, ...]:
        """Least share of noise picks among all that are taken, if a blob is taken, by blob.

        q(s) = min over t <= s of expected(t) / (targets at or above t), at most 1.
        """
        pooled = np.concatenate([*self.targets, np.empty(0)])
        noise = np.concatenate([*self.decoys, np.empty(0)])
        weight = np.repeat([1 / n for n in self.fields], [len(own) for own in self.decoys])
        falling = np.argsort(-noise, kind="stable")
        above = np.concatenate([[0.0], np.cumsum(weight[falling])])
        order = np.argsort(-pooled, kind="stable")
        scores = pooled[order]
        expected = above[np.searchsorted(-noise[falling], -scores, side="right")] + self._one
        # Blobs of equal height are taken together.
        taken = np.searchsorted(-scores, -scores, side="right")
        rate = np.minimum(1.0, expected / np.maximum(taken, 1))
        q = np.empty_like(rate)
        q[order] = np.minimum.accumulate(rate[::-1])[::-1]
        ends = np.cumsum([len(own) for own in self.targets])[:-1]
        return tuple(np.split(q, ends)) if self.targets else ()

    def threshold(self, fdr: float) -> float:
        """Least score with a q-value of at most `fdr`; infinite where there is none."""
        good = [own[q <= fdr] for own, q in zip(self.targets, self.q_values(), strict=True)]
        return float(min((own.min() for own in good if len(own)), default=np.inf))

    def interval(
        self, score: float, generator: np.random.Generator, level: float = 0.95
    ) -> tuple[float, float]:
        """Confidence interval of the share of noise picks at or above a score.

        From drawing the micrographs anew (percentiles of the bootstrap, Efron 1979); (0, 1) where
        nothing is picked.
        """
        count = len(self.fields)
        if not any((own >= score).any() for own in self.targets):
            return 0.0, 1.0
        noise, taken = self._per_micrograph(score)
        drawn = generator.integers(0, count, (_RESAMPLED, count))
        picks = taken[drawn].sum(1)
        rates = noise[drawn].sum(1)[picks > 0] / picks[picks > 0]
        low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
        return float(min(1.0, low)), float(min(1.0, high))

    def curve(self, points: int = 60) -> list[tuple[float, int, float]]:
        """Score, picks and expected noise picks for thresholds from the highest score down."""
        pooled = np.sort(np.concatenate([*self.targets, np.empty(0)]))[::-1]
        ranks = np.unique(np.geomspace(1, max(1, len(pooled)), points).round().astype(int))
        scores = [float(pooled[rank - 1]) for rank in ranks if rank <= len(pooled)]
        return [(s, int((pooled >= s).sum()), self.expected(s)) for s in scores]

    def histogram(self, bins: int = 40) -> dict[str, list[float]]:
        """Return edges of bins of scores, and the numbers of blobs and of noise picks in them."""
        greatest = max((float(own.max()) for own in self.targets if len(own)), default=1.0)
        edges = np.linspace(0, greatest, bins + 1)
        found = np.histogram(np.concatenate([*self.targets, np.empty(0)]), edges)[0]
        noise = np.zeros(bins)
        for own, fields in zip(self.decoys, self.fields, strict=True):
            noise += np.histogram(own, edges)[0] / fields
        return {"edges": edges.tolist(), "found": found.tolist(), "noise": noise.tolist()}

    def _per_micrograph(self, score: float) -> tuple[Scores, Scores]:
        noise = [
            np.count_nonzero(own >= score) / fields
            for own, fields in zip(self.decoys, self.fields, strict=True)
        ]
        taken = [float(np.count_nonzero(own >= score)) for own in self.targets]
        return np.array(noise) + self._one / len(noise), np.array(taken)


def discover(micrographs: Sequence[Judged], spacing: float = SPACING) -> Discovery:
    """Judge blobs against decoys; those that lie where a particle was picked do not count.

    Which picks are particles is told by the q-values of the pass before; in the first one all
    decoys count.

    Parameters
    ----------
    micrographs : sequence of Judged
        At least one, each with at least one field of noise.
    spacing : float
        Least distance of two blobs in diameters.
    """
    targets = tuple(one.targets.height for one in micrographs)
    fields = tuple(len(one.decoys) for one in micrographs)
    particles = [one.targets[:0] for one in micrographs]
    for _ in range(_PASSES):
        counting = tuple(
            np.concatenate([
                field.height[~claimed(field, taken, spacing)] for field in one.decoys
            ])
            for one, taken in zip(micrographs, particles, strict=True)
        )  # fmt: skip
        found = Discovery(targets, counting, fields)
        sure = [q <= _SURE for q in found.q_values()]
        particles = [one.targets[good] for one, good in zip(micrographs, sure, strict=True)]
    return found
