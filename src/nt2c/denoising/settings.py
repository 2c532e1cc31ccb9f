"""How micrographs are denoised, and how a batch of them is done."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from nt2c.core.options import PIXEL_SIZE, Devices, PixelSizeA
from nt2c.core.settings import Settings

if TYPE_CHECKING:  # options are read without it, and without what it needs
    from nt2c.io.inputs import MicrographInput

BUNDLED = "auto"
"""Name of what is taken where no model is named: `GENERAL`, and `FILM` where that is better."""

GENERAL = "general"
FILM = "film"

_LAST_NUMBER = re.compile(r"\d+(?=\D*\Z)")


class DenoiseSettings(Settings):
    """What decides the values of the result: two runs with equal settings give equal results."""

    pixel_size_a: PixelSizeA | None = Field(None, description=PIXEL_SIZE)
    output_pixel_size_a: PixelSizeA | None = Field(
        None, description="Pixel size of the results in angstrom; by default that of the input."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="fp32, bf16, or auto: bf16 where it is fast and changes less than 1 %."
    )
    keep_background: bool = Field(False, description="Keep the slow background (ice gradient).")
    float16: bool = Field(
        False,
        description="Write half-precision numbers: half the size, but old programs cannot read "
        "them.",
    )
    sum_frames: bool = Field(
        False, description="The files are movies with aligned frames, .eer too: denoise their sums."
    )
    tiff_top_first: bool = False
    """Row 0 of the result is the first row of a TIFF, as CryoSPARC has it; by default the last, as
    RELION and IMOD have it."""


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` that a set of micrographs is dealt out to.

    The name of the output alone decides the part. So a micrograph stays in its part when others
    come or go, no two parts write one file, and all processes agree without talking. Micrographs
    whose names differ in the last number alone are dealt out in turn: each part gets as many, give
    or take two. Elsewhere chance decides: of 10,000 in 10 parts each gets about 1000 +- 30.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "i/n".

        Raises
        ------
        ValueError
            The text is something else, or i is not one of 1 to n.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError("give i/n with i from 1 to n, such as 1/4")
        return cls(int(found[1]), int(found[2]))

    def has(self, item: "MicrographInput") -> bool:
        """Tell whether a micrograph belongs to this part."""
        found = _LAST_NUMBER.search(item.output_name)
        turn, place = divmod(int(found[0]) if found else 0, self.count)
        series = f"{_LAST_NUMBER.sub('*', item.output_name)} {turn}"
        digest = hashlib.sha256(series.encode("utf-8", "surrogateescape")).digest()
        return (int.from_bytes(digest[:8]) + place) % self.count == self.index - 1


def _shard(given: Any) -> Any:
    return Shard.parse(given) if isinstance(given, str) else given


class BatchOptions(Settings):
    """How a batch is done; what decides its values is in `DenoiseSettings`."""

    device: Devices = Field(
        "auto", description="auto, cpu, cuda, cuda:N, or cuda:all: one process for each GPU."
    )
    suffix: str = Field("", title="S", description="Text to add to the names of the results.")
    overwrite: bool = Field(
        False, description="Do everything again, and replace files that other programs made."
    )
    shard: Annotated[Shard, BeforeValidator(_shard)] | None = Field(
        None, title="I/N", description="Do part I of N; `nt2c merge` joins the summaries."
    )
    retry_failed: bool = Field(False, description="Do only what failed in the last run.")
    max_memory_gb: float | None = Field(
        None, gt=0, description="Use about this much memory; by default what is free."
    )
    json_file: Path | None = Field(
        None, description="Write the summary of this run to this file, too."
    )
    stars: tuple[Path, ...] = ()
    """STAR files that the inputs come from, for the summary."""
