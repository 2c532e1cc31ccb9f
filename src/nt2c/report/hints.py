"""Hints in a report: what may be wrong with a micrograph, from what it is told, what to do."""

from collections.abc import Callable
from dataclasses import dataclass

from nt2c.noise.extraction import ExtractionSettings
from nt2c.report.looks import Look

_EMPTY = ExtractionSettings().faint[0]
_ICE_RING = 1.5
_DARK = 0.003
_RIM = 0.12
_DIRECTION = 0.4


@dataclass(frozen=True)
class Hint:
    """A kind of warning.

    Attributes
    ----------
    key : str
        Short name, as in the page's data.
    label : str
        One or two words.
    measured : str
        What it is told from, and where the limit is.
    advice : str
        What to do.
    holds : callable
        Whether it applies to a micrograph.
    """

    key: str
    label: str
    measured: str
    advice: str
    holds: Callable[[Look], bool]


def _is_edge(look: Look) -> bool:
    return look.rim > _RIM


HINTS = (
    Hint(
        "empty",
        "empty?",
        f"The denoised image shows hardly any signal between 20 and 200 A: contrast under "
        f"{_EMPTY:g} (98 % quantile of the local energy, in noise variances).",
        "Look whether particles are there at all. Thin or empty ice looks so, and so do particles "
        "too small or faint for the model: try one of your own (nt2c run), if this is none.",
        lambda look: look.contrast is not None and look.contrast < _EMPTY,
    ),
    Hint(
        "ice",
        "dark patches",
        f"Over {100 * _DARK:g} % of the area is darker than the median by a noise deviation, "
        "after a blur by 40 A: ice crystals, contamination, thick ice.",
        "Look at the dark places. Picks on and around them should be left out.",
        lambda look: look.dark > _DARK and not _is_edge(look),
    ),
    Hint(
        "ring",
        "ice ring",
        f"Power of the raw image between 3.4 and 4.1 A is over {_ICE_RING:g} times that beside it: "
        "crystalline ice. Pixels over 1.5 A do not show it.",
        "Leave the micrograph out if the ring is strong; denoising does not mend it.",
        lambda look: look.ice_ring is not None and look.ice_ring > _ICE_RING,
    ),
    Hint(
        "carbon",
        "carbon or edge",
        f"Over {100 * _RIM:g} % of the rim is off the median grey value by a noise deviation, "
        "after the slow illumination is taken off: film, a grid bar, a shadow, "
        "the edge of the beam.",
        "Keep picks away from the film. For a fit give a mask (--mask).",
        _is_edge,
    ),
    Hint(
        "drift",
        "directional",
        "The power of the raw image between 20 and 100 A depends on the direction by over "
        f"{100 * _DIRECTION:g} %: drift, strong astigmatism, or particles and film that lie in one "
        "direction.",
        "Look at the motion and the CTF fit of this micrograph.",
        lambda look: look.direction > _DIRECTION and not _is_edge(look),
    ),
)


def hints_of(look: Look) -> list[str]:
    """Return the keys of the hints that apply to a micrograph."""
    return [hint.key for hint in HINTS if hint.holds(look)]
