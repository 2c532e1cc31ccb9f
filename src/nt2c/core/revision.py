"""What state of the code made a result: the version, and a revision of each part.

Between two releases the version stays, and what an older state of the code made must not count as
done, or be trained further. So whoever changes results by more than rounding raises the revision of
the part. Tests compare results of each part with figures that belong to its revision.
"""

from typing import Literal

from nt2c.core.version import __version__

Part = Literal["denoising", "windows", "contrast", "noise", "training", "picking"]

REVISIONS: dict[Part, int] = {
    "denoising": 5,
    "windows": 5,
    "contrast": 2,
    "noise": 3,
    "training": 4,
    "picking": 1,
}


def made_by(*parts: Part) -> dict[str, str | int]:
    """Return the version and the revisions of parts of the code, as JSON can hold them."""
    return {"version": __version__, **{part: REVISIONS[part] for part in parts}}
