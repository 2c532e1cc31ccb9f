"""Training pairs made on the training device, without a data loader."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.scale import clip_outliers, fit_scaling, slow_background
from nt2c.simulation.bank import Species, procedural_bank
from nt2c.simulation.micrograph import SimulatedBatch, simulate
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.settings import PairSettings


@dataclass(frozen=True)
class Pairs:
    """Noisy and clean images in units of the noise, each (n, 1, y, x)."""

    noisy: Tensor
    clean: Tensor


def scaled_pairs(batch: SimulatedBatch, pixel_size_a: float) -> Pairs:
    """Scale simulated micrographs as the denoiser will scale real ones.

    The target holds the particles and the noiseless surroundings without their slow part: a
    denoiser that paints out contamination, carbon or a film would hide what users must see. Ice
    and counting noise are what it is to remove.
    """
    image = clip_outliers(batch.noisy)
    scaling = fit_scaling(image, pixel_size_a)
    truth = batch.clean + batch.surroundings
    target = (truth - slow_background(truth, pixel_size_a)) / scaling.sigma
    return Pairs(scaling.apply(image)[:, None], target[:, None])


class PairSource:
    """Batches of random crops from a rolling pool of simulated fields.

    What a step sees depends on (seed, step) alone, so that a resumed run repeats the
    uninterrupted one. `role` separates training from validation.
    """

    def __init__(
        self,
        simulation: SimulationSettings,
        settings: PairSettings,
        seed: int,
        device: torch.device,
        role: str = "train",
    ) -> None:
        self._simulation = simulation
        self._settings = settings
        self._seed = seed
        self._device = device
        self._role = role
        self._species: dict[int, Species] = {}
        self._fields: dict[int, Pairs] = {}

    def _bank(self, draw: int) -> list[Species]:
        """Species of a draw: a window that moves on by one every `species_life` draws."""
        first = draw // self._settings.species_life
        wanted = range(first, first + self._simulation.specimen.species)
        self._species = {n: s for n, s in self._species.items() if n >= first}
        for n in wanted:
            if n not in self._species:
                self._species[n] = self._draw_species(n)
        return [self._species[n] for n in wanted]

    def _draw_species(self, number: int) -> Species:
        specimen = self._simulation.specimen
        drawn = procedural_bank(
            1,
            self._simulation.pixel_size_a,
            specimen.views,
            specimen.diameter_a,
            stream(self._seed, f"{self._role} species", number),
        )[0]
        return Species(drawn.projections.to(self._device), drawn.diameter_a, drawn.name)

    def fields(self, draw: int, count: int) -> Pairs:
        """Simulate and scale the `count` whole fields of a draw."""
        batch = simulate(
            self._bank(draw),
            self._simulation,
            count,
            stream(self._seed, f"{self._role} placement", draw),
            stream(self._seed, f"{self._role} noise", draw, self._device),
        )
        return scaled_pairs(batch, self._simulation.pixel_size_a)

    def batch(self, step: int) -> Pairs:
        """Return the crops of a step: each from a random field of a pool that moves on."""
        settings, size = self._settings, self._settings.crop_px
        first = step // settings.steps_per_fields
        wanted = range(first, first + -(-settings.pool // settings.fields))
        self._fields = {n: f for n, f in self._fields.items() if n >= first}
        for n in wanted:
            if n not in self._fields:
                self._fields[n] = self.fields(n, settings.fields)
        pool = list(self._fields.values())
        generator = stream(self._seed, f"{self._role} crops", step)
        draws = torch.rand(settings.batch, 6, generator=generator).tolist()
        noisy, clean = [], []
        for which, item, y, x, flip, turn in draws:
            field = pool[int(which * len(pool))]
            i = int(item * settings.fields)
            top = int(y * (field.noisy.shape[-2] - size + 1))
            left = int(x * (field.noisy.shape[-1] - size + 1))
            window = (i, slice(None), slice(top, top + size), slice(left, left + size))
            pair = torch.stack([field.noisy[window], field.clean[window]])
            pair = torch.rot90(pair, int(4 * turn), (-2, -1))
            pair = pair.flip(-1) if flip < 0.5 else pair
            noisy.append(pair[0])
            clean.append(pair[1])
        return Pairs(torch.stack(noisy), torch.stack(clean))
