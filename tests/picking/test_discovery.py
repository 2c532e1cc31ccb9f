import numpy as np
import pytest

from nt2c.picking.detector import Blobs
from nt2c.picking.discovery import Discovery, Judged, discover

FIELDS = 2


def blobs(height: np.ndarray, rng: np.random.Generator, side: float = 1e6) -> Blobs:
    falling = np.sort(height)[::-1]
    return Blobs(rng.uniform(0, side, (len(falling), 2)), falling, np.ones(len(falling)))


def drawn(
    rng: np.random.Generator, micrographs: int, particles: int, noise: int = 100
) -> tuple[list[Judged], list[np.ndarray]]:
    """Micrographs with true and noise blobs; heights that are true."""
    judged, true = [], []
    for _ in range(micrographs):
        strength = rng.uniform(0.7, 1.4)  # of the noise, each micrograph's own
        height = rng.normal(3, 1, particles)
        targets = blobs(np.append(height, strength * rng.standard_normal(noise)), rng)
        decoys = [blobs(strength * rng.standard_normal(noise), rng) for _ in range(FIELDS)]
        judged.append(Judged(targets, tuple(decoys)))
        true.append(height)
    return judged, true


def proportions(
    judged: list[Judged], true: list[np.ndarray], rates: tuple[float, ...]
) -> list[float]:
    found = discover(judged)
    result = []
    for rate in rates:
        taken = [
            one.targets.height[q <= rate] for one, q in zip(judged, found.q_values(), strict=True)
        ]
        count = sum(map(len, taken))
        right = sum(np.isin(own, t).sum() for own, t in zip(taken, true, strict=True))
        result.append((count - right) / max(count, 1))
    return result


def test_the_share_of_noise_is_as_stated() -> None:
    rng = np.random.default_rng(0)
    rates = (0.01, 0.05, 0.1, 0.2)
    trials = np.array([proportions(*drawn(rng, 8, 60), rates) for _ in range(40)])
    mean, error = trials.mean(0), trials.std(0) / np.sqrt(len(trials))
    assert (mean <= np.array(rates) + 3 * error).all()
    assert (mean[1:] >= np.array(rates[1:]) * 0.7).all()


@pytest.mark.parametrize("micrographs", [1, 10])
def test_of_noise_alone_hardly_anything_is_picked(micrographs: int) -> None:
    rng = np.random.default_rng(1)
    picks = []
    for _ in range(100):
        q_values = discover(drawn(rng, micrographs, 0)[0]).q_values()
        picks.append(sum((q <= 0.05).sum() for q in q_values))
    assert np.mean(np.array(picks) > 0) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_q_values_are_those_of_the_definition_and_equal_heights_are_taken_together() -> None:
    found = Discovery(
        (np.array([5.0, 4, 4, 1]), np.array([3.0, 2])), (np.array([4.5, 2.5]), np.array([0.0])),
        (2, 1),
    )  # fmt: skip
    scores = np.concatenate(found.targets)
    expected = {
        s: sum((d >= s).sum() / n for d, n in zip(found.decoys, found.fields, strict=True)) + 2 / 3
        for s in scores
    }
    rate = {s: min(1, expected[s] / (scores >= s).sum()) for s in scores}
    q = np.concatenate(found.q_values())
    assert q == pytest.approx([min(rate[t] for t in scores if t <= s) for s in scores])
    assert found.expected(4) == pytest.approx(expected[4.0])
    assert found.threshold(q[0]) == min(s for s, own in zip(scores, q, strict=True) if own <= q[0])
    assert found.threshold(1e-9) == np.inf


def test_decoys_where_a_particle_was_picked_do_not_count() -> None:
    """Particles on half of the area leave room for half of the noise picks."""
    rng = np.random.default_rng(2)
    side, count = 40.0, 300
    places = np.stack(np.meshgrid(np.arange(0.5, 40), np.arange(0.5, 20)), -1).reshape(-1, 2)
    targets = Blobs(places, np.full(len(places), 50.0), np.ones(len(places)))
    noise = tuple(blobs(rng.standard_normal(count), rng, side) for _ in range(4))
    found = discover([Judged(targets, noise)], spacing=0.75)
    share = len(found.decoys[0]) / (4 * count)
    assert share == pytest.approx(0.49, abs=0.04)  # 0.25 of a diameter goes beyond the half


def test_the_interval_covers_the_share_of_noise_between_micrographs() -> None:
    rng = np.random.default_rng(3)
    judged, _ = drawn(rng, 30, 60)
    found = discover(judged)
    threshold = found.threshold(0.1)
    taken = sum((own >= threshold).sum() for own in found.targets)
    low, high = found.interval(threshold, np.random.default_rng(0))
    assert low < found.expected(threshold) / taken < high
    assert high - low < 0.1
    score, picks, noise = found.curve()[-1]
    assert (score, picks) == (min(own.min() for own in found.targets), 30 * 160)
    assert noise == pytest.approx(found.expected(score))


def test_micrographs_without_any_blob_are_no_trouble() -> None:
    nothing = Blobs(np.empty((0, 2)), np.empty(0), np.empty(0))
    found = discover([Judged(nothing, (nothing,))] * 2)
    assert [len(q) for q in found.q_values()] == [0, 0]
    assert found.threshold(0.05) == np.inf
    assert found.curve() == []
