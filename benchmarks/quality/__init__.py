"""How good nt2c is beside other methods, on real and simulated micrographs."""

from benchmarks.about import commit
from benchmarks.quality.fields import Array, Field, read, read_pairs, read_truths
from benchmarks.quality.scores import band_score, judge_noise, score_pairs

__all__ = [
    "Array",
    "Field",
    "band_score",
    "commit",
    "judge_noise",
    "read",
    "read_pairs",
    "read_truths",
    "score_pairs",
]
