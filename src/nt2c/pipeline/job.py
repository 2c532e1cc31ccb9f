"""What a fit is asked to do, and who is told how it goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nt2c.io.inputs import MicrographInput
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.settings import FitRecipe


@dataclass(frozen=True)
class FitJob:
    """What is fitted to what.

    Attributes
    ----------
    inputs : tuple of MicrographInput
        Raw micrographs, from `find_inputs`.
    folder : Path
        Receives a folder for each stage and the model.
    recipe : FitRecipe
        Everything else that the result depends on.
    coarse : DenoiserModel
        Finds the particle-free windows, and is trained further unless the recipe has a network.
    given : DenoiserModel or None
        What the whole fit started from, where `coarse` is of its first round.
    pixel_size_a : float or None
        The user's pixel size, angstrom; counts before that of STAR file and header.
    structures : tuple of Path
        Particles to learn besides procedural ones: mmCIF, PDB or MRC maps.
    masks : Path or None
        Folder of masks with the names of the micrographs: no windows where they are not 0.
    device : str
        "auto", "cpu" or "cuda".
    time_s : float or None
        Wall time that the fit shall take, in place of the recipe's steps.
    notes : tuple of str
        What the user should know of how the job was made, such as what was left out.
    """

    inputs: tuple[MicrographInput, ...]
    folder: Path
    recipe: FitRecipe
    coarse: DenoiserModel
    given: DenoiserModel | None = None
    pixel_size_a: float | None = None
    structures: tuple[Path, ...] = ()
    masks: Path | None = None
    device: str = "auto"
    time_s: float | None = None
    notes: tuple[str, ...] = ()


class Watch(Protocol):
    """Is told how a run goes on."""

    def begin(self, stage: str, total: int | None) -> None:
        """Hear that a stage starts on `total` items or steps, None if that is not known yet."""

    def expect(self, total: int) -> None:
        """Hear how many items or steps the stage has, once that is known."""

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        """Hear how many are done."""

    def verdict(self, stage: str, text: str, seconds: float, *, reused: bool) -> None:
        """Hear what came out of a stage."""

    def warn(self, text: str) -> None:
        """Hear what the user should know."""
