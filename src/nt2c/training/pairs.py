"""Training pairs made on the training device, without a data loader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.lines import without_lines
from nt2c.imaging.scale import Scaling, clip_outliers, fit_scaling, slow_background
from nt2c.models.network import network_input
from nt2c.simulation.bank import Species, procedural_bank
from nt2c.simulation.micrograph import SimulatedBatch, simulate
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.digest import digest
from nt2c.training.processes import ALONE, Team
from nt2c.training.settings import PairSettings


@dataclass(frozen=True)
class Pairs:
    """What the network is given and what it should give, in units of the noise.

    `noisy` (n, 2, y, x) and `condition` (n, c) are of `network_input`; `clean` is (n, 1, y, x).
    """

    noisy: Tensor
    condition: Tensor
    clean: Tensor


class Source(Protocol):
    """Where a denoiser's pairs come from. What it gives depends on its seed and the step alone."""

    def batch(self, step: int, team: Team = ALONE) -> Pairs:
        """Return the crops of a step; where processes train together, the share of this one."""

    def held_out(self, count: int, stride: int) -> tuple[Pairs, Pairs]:
        """Fields never trained on: `count` with particles and `count` with nothing but noise.

        Their sides are multiples of `stride`.
        """

    def describe(self) -> Mapping[str, object]:
        """What the pairs depend on beyond the recipe, as JSON holds it; empty if nothing."""


def make_pairs(noisy: Tensor, clean: Tensor) -> Pairs:
    """Pair whole fields (n, y, x) in units of the noise with their clean ones."""
    return Pairs(*network_input(noisy), clean[:, None])


def scaled_truth(truth: Tensor, scaling: Scaling, pixel_size_a: float) -> Tensor:
    """Noiseless image (n, y, x) without its slow part, in units of the noise."""
    return (truth - slow_background(truth, pixel_size_a)) / scaling.unit


def scaled_pairs(batch: SimulatedBatch, pixel_size_a: float) -> Pairs:
    """Scale simulated micrographs as the denoiser will scale real ones.

    The target holds the particles and the noiseless surroundings without their slow part: a
    denoiser that paints out contamination or the edge of a carbon film would hide what users must
    see. Everything else is noise.
    """
    image = without_lines(clip_outliers(batch.noisy), pixel_size_a)
    scaling = fit_scaling(image, pixel_size_a)
    target = scaled_truth(batch.clean + batch.surroundings, scaling, pixel_size_a)
    return make_pairs(scaling.apply(image), target)


def held_out_simulation(
    simulation: SimulationSettings, stride: int, *, particles: bool
) -> SimulationSettings:
    """Settings of fields that all hold particles, or that all hold nothing but ice."""
    filled: dict[str, Any] = {"empty": 0.0} if particles else {"empty": 1.0, "species": 1}
    specimen = simulation.specimen.replace(**filled)
    bare: dict[str, Any] = {"contamination": 0.0, "carbon": 0.0, "texture": 0.0, "gradient": 0.0}
    return simulation.replace(
        specimen=specimen,
        noise=simulation.noise if particles else simulation.noise.replace(share=0.0),
        imaging=simulation.imaging if particles else simulation.imaging.replace(**bare),
        shape=tuple(n // stride * stride for n in simulation.shape),
    )


class CropPool:
    """Batches of random crops from a rolling pool of fields.

    Parameters
    ----------
    make : callable
        Returns the `settings.fields` fields of a draw.
    settings : PairSettings
        Sizes of crops, batches and pool.
    seed : int
        Of the run.
    role : str
        Separates training from validation.
    """

    def __init__(
        self, make: Callable[[int], Pairs], settings: PairSettings, seed: int, role: str
    ) -> None:
        self._make = make
        self._settings = settings
        self._seed = seed
        self._role = role
        self._fields: dict[int, Pairs] = {}

    def batch(self, step: int, team: Team = ALONE) -> Pairs:
        """Return the crops of a step: each from a random field of a pool that moves on.

        Processes that train together make the fields by turns, have them all, and take their
        shares of the crops.
        """
        settings, size = self._settings, self._settings.crop_px
        first = step // settings.steps_per_fields
        wanted = range(first, first + -(-settings.pool // settings.fields))
        self._fields = {n: f for n, f in self._fields.items() if n >= first}
        for n in wanted:
            if n not in self._fields:
                self._fields |= self._made_together(n, team)
        pool = [self._fields[n] for n in wanted]
        generator = stream(self._seed, f"{self._role} crops", step)
        draws = torch.rand(settings.batch, 6, generator=generator)
        crops, conditions = [], []
        for which, item, y, x, flip, turn in team.share(draws).tolist():
            field = pool[int(which * len(pool))]
            i = int(item * settings.fields)
            both = torch.cat([field.noisy[i], field.clean[i]])
            crops.append(random_crop(both, size, (y, x, flip, turn)))
            conditions.append(field.condition[i])
        images = torch.stack(crops)
        return Pairs(images[:, :-1], torch.stack(conditions), images[:, -1:])

    def _made_together(self, first: int, team: Team) -> dict[int, Pairs]:
        """Return field `first` and those after it, as many as there are processes to make one."""
        own = self._make(first + team.rank)
        if team.count == 1:
            return {first: own}
        parts = [team.gather(part[None]) for part in (own.noisy, own.condition, own.clean)]
        return {first + i: Pairs(*pair) for i, pair in enumerate(zip(*parts, strict=True))}


def random_crop(image: Tensor, size: int, draws: tuple[float, float, float, float]) -> Tensor:
    """Crop (..., y, x) to a square, turned by quarters and mirrored as four numbers in [0, 1) say.

    They stand for y, x, mirroring and turning.
    """
    y, x, flip, turn = draws
    return turned(crop(image, size, y, x), flip, turn)


def crop(image: Tensor, size: int, y: float, x: float) -> Tensor:
    """Square of `size` pixels from the place in (..., y, x) that two numbers in [0, 1) say."""
    top = int(y * (image.shape[-2] - size + 1))
    left = int(x * (image.shape[-1] - size + 1))
    return image[..., top : top + size, left : left + size]


def turned(image: Tensor, flip: float, turn: float) -> Tensor:
    """Image (..., y, x), turned by quarters and mirrored as two numbers in [0, 1) say."""
    result = torch.rot90(image, int(4 * turn), (-2, -1))
    return result.flip(-1) if flip < 0.5 else result


class PairSource:
    """Crops of simulated micrographs with the simulator's noise.

    What a step sees depends on (seed, step) alone, so that a resumed run repeats the
    uninterrupted one. `role` separates training from validation. Of the draws of fields, a share
    `known_share` shows the species `known`, the others procedural ones.
    """

    def __init__(
        self,
        simulation: SimulationSettings,
        settings: PairSettings,
        seed: int,
        device: torch.device,
        role: str = "train",
        *,
        known: Sequence[Species] = (),
        known_share: float = 0.0,
    ) -> None:
        self._simulation = simulation
        self._settings = settings
        self._seed = seed
        self._device = device
        self._role = role
        self._known = [on_device(species, device) for species in known]
        self._known_share = known_share if known else 0.0
        self._species: dict[int, Species] = {}
        self._pool = CropPool(lambda n: self.fields(n, settings.fields), settings, seed, role)

    def _bank(self, draw: int) -> list[Species]:
        """Species of a draw: a window that moves on by one every `species_life` draws."""
        chance = stream(self._seed, f"{self._role} known", draw)
        if float(torch.rand((), generator=chance)) < self._known_share:
            return self._known
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
        return on_device(drawn, self._device)

    def simulated(self, draw: int, count: int) -> SimulatedBatch:
        """Simulate the `count` whole fields of a draw."""
        return simulate(
            self._bank(draw),
            self._simulation,
            count,
            stream(self._seed, f"{self._role} placement", draw),
            stream(self._seed, f"{self._role} noise", draw, self._device),
        )

    def fields(self, draw: int, count: int) -> Pairs:
        """Simulate and scale the `count` whole fields of a draw."""
        return scaled_pairs(self.simulated(draw, count), self._simulation.pixel_size_a)

    def batch(self, step: int, team: Team = ALONE) -> Pairs:
        """Return the crops of a step, or the team's share of them that falls to this process."""
        return self._pool.batch(step, team)

    def held_out(self, count: int, stride: int) -> tuple[Pairs, Pairs]:
        """Fields with particles, and fields without anything but ice."""

        def fields(particles: bool) -> Pairs:
            settings = held_out_simulation(self._simulation, stride, particles=particles)
            source = PairSource(
                settings,
                self._settings,
                self._seed,
                self._device,
                "validation",
                known=self._known,
                known_share=self._known_share,
            )
            return source.fields(0, count)

        return fields(True), fields(False)

    def describe(self) -> Mapping[str, object]:
        """Species given and their share, if any."""
        if not self._known:
            return {}
        names = {s.name: digest([s.projections]) for s in self._known}
        return {"known": names, "known_share": self._known_share}


def on_device(species: Species, device: torch.device) -> Species:
    """The same species on a device."""
    return Species(species.projections.to(device), species.diameter_a, species.name)
