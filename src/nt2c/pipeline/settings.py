"""Settings of a fit: one recipe describes how a model is made from micrographs."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from nt2c.core.errors import SettingsError
from nt2c.core.settings import Settings
from nt2c.io.recipes import read_settings, recipe_folder
from nt2c.io.star import StarOptics
from nt2c.models.denoiser import NetworkSettings
from nt2c.noise.extraction import ExtractionSettings
from nt2c.noise.kinds import FitNoise
from nt2c.noise.transfer import TransferSettings
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.settings import (
    OptimizerSettings,
    PairSettings,
    Recipe,
    RecorruptedSettings,
)
from nt2c.training.synthesizer import SynthesizerSettings


class FitRecipe(Settings):
    """How noise is found, learned and transferred, and how the denoiser is trained."""

    name: str
    seed: int = Field(0, ge=0)
    noise: FitNoise = Field(
        "wgan",
        description="what draws the noise of training pairs; auto: a coloured field where the "
        "windows are Gaussian, else a bootstrap of them, both without training",
    )
    first_steps: int = Field(
        0,
        ge=0,
        description="training steps of a first round in coloured noise, whose model finds the "
        "windows of the second; 0: no such round",
    )
    extraction: ExtractionSettings = ExtractionSettings()
    synthesizer: SynthesizerSettings = SynthesizerSettings()
    transfer: TransferSettings = TransferSettings()
    simulation: SimulationSettings = SimulationSettings()
    network: NetworkSettings | None = Field(
        None, description="trained from scratch; without it the coarse model is trained on"
    )
    pairs: PairSettings = PairSettings()
    recorrupted: RecorruptedSettings = RecorruptedSettings()
    optimizer: OptimizerSettings = OptimizerSettings()

    @model_validator(mode="after")
    def _training_fits(self) -> Self:
        if self.network is not None:
            self.denoiser(self.network, self.simulation.pixel_size_a)
        return self

    def denoiser(self, coarse: NetworkSettings, pixel_size_a: float) -> Recipe:
        """Recipe of the final denoiser.

        Parameters
        ----------
        coarse : NetworkSettings
            Network of the coarse model, for a recipe without one of its own.
        pixel_size_a : float
            Working pixel size of the coarse model, which the windows have too.

        Raises
        ------
        ValueError
            Sizes do not fit each other.
        """
        return Recipe(
            name=self.name,
            seed=self.seed,
            simulation=self.simulation.replace(pixel_size_a=pixel_size_a),
            network=self.network or coarse,
            pairs=self.pairs,
            recorrupted=self.recorrupted,
            optimizer=self.optimizer,
        )

    def first_round(self) -> Self:
        """Recipe of the first round: the coarse model trained on in coloured noise, for a while.

        Not on the micrographs: its windows may be too quiet, and what they lack of the noise would
        count as signal.
        """
        return self.replace(
            noise="coloured",
            network=None,
            first_steps=0,
            recorrupted=RecorruptedSettings(),
            optimizer=self.optimizer.scaled_to(self.first_steps),
        )

    def imaged_as(self, optics: StarOptics, star: str) -> Self:
        """Take defocus (where the recipe names none), voltage and aberration of a data set.

        Raises
        ------
        SettingsError
            The STAR file tells what cannot be, such as a voltage of 0.
        """
        told = {"voltage_kv": optics.voltage_kv, "cs_mm": optics.spherical_aberration_mm}
        told = {key: value for key, value in told.items() if value is not None}
        try:
            imaging = self.simulation.imaging.replace(where=star, **told)
        except SettingsError as error:
            raise SettingsError(
                f"{error}; correct the list, or give the micrographs in place of it"
            ) from None
        transfer = self.transfer
        if transfer.defocus_um is None and optics.defocus_um is not None:
            transfer = transfer.replace(defocus_um=optics.defocus_um)
        return self.replace(simulation=self.simulation.replace(imaging=imaging), transfer=transfer)

    def check_pixel_size(self, pixel_size_a: float) -> None:
        """Refuse a pixel size of the simulation other than that of the coarse model, angstrom.

        Raises
        ------
        SettingsError
            The recipe asks for another.
        """
        asked_a = self.simulation.pixel_size_a
        if "pixel_size_a" in self.simulation.model_fields_set and asked_a != pixel_size_a:
            raise SettingsError(
                f"recipe {self.name}: simulation.pixel_size_a = {asked_a:g} is not that of the "
                f"model to start from, {pixel_size_a:g}; leave it out, or give another 'model'"
            )


FIT_RECIPES = ("quick", "fit", "paper")
"""Names of the recipes for a fit; others in that folder are for `nt2c train`."""


def read_fit_recipe(name_or_path: str) -> FitRecipe:
    """Return a recipe that comes with nt2c, by name, or that of a TOML file.

    Raises
    ------
    SettingsError
        There is no such recipe, or its contents are refused.
    """
    if name_or_path in FIT_RECIPES:
        return read_settings(recipe_folder() / f"{name_or_path}.toml", FitRecipe)
    if not Path(name_or_path).is_file():
        raise SettingsError(
            f"'recipe' {name_or_path}: neither one of {', '.join(FIT_RECIPES)} nor a file"
        )
    return read_settings(name_or_path, FitRecipe)
