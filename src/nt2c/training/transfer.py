"""Pairs with the noise and the contrast of real micrographs around simulated clean signal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nt2c.core.random import stream
from nt2c.imaging.scale import clip_outliers, fit_scaling
from nt2c.noise.samplers import NoiseSampler
from nt2c.noise.transfer import (
    Contrast,
    TransferSettings,
    estimate_contrast,
    transfer,
    vary_spectrum,
)
from nt2c.simulation.bank import Species
from nt2c.simulation.micrograph import SimulatedBatch
from nt2c.simulation.settings import SimulationSettings
from nt2c.training.digest import digest
from nt2c.training.pairs import (
    CropPool,
    Pairs,
    PairSource,
    held_out_simulation,
    make_pairs,
    scaled_truth,
)
from nt2c.training.processes import ALONE, Team
from nt2c.training.settings import PairSettings


def transfer_simulation(
    simulation: SimulationSettings, settings: TransferSettings
) -> SimulationSettings:
    """Return what clean fields for transfer are drawn from.

    The contrast comes from the micrographs, so that the simulator's own is 1; their rough layers
    are in the noise windows, and must not be in the target too.
    """
    update: dict[str, Any] = {"contrast_gain": (1.0, 1.0), "snr": None, "texture": 0.0}
    if settings.defocus_um is not None:
        update["defocus_um"] = settings.defocus_um
    return simulation.replace(imaging=simulation.imaging.replace(**update))


def measure_contrast(
    real: Sequence[Tensor],
    windows: Tensor,
    simulation: SimulationSettings,
    pairs: PairSettings,
    settings: TransferSettings,
    *,
    seed: int,
    device: torch.device,
    species: Sequence[Species] = (),
) -> Contrast:
    """Measure the contrast of real micrographs against clean fields as `TransferSource` draws them.

    Parameters
    ----------
    real : sequence of Tensor
        Micrographs (y, x) in units of the noise, at the pixel size of the simulation.
    windows : Tensor
        Their particle-free squares (n, s, s).
    simulation, pairs, settings, seed, device, species
        As for `TransferSource`.

    Raises
    ------
    InputError
        As `estimate_contrast` does.
    """
    matched = transfer_simulation(simulation, settings)
    source = PairSource(
        matched, pairs, seed, device, "contrast",
        known=species, known_share=settings.structure_share,
    )  # fmt: skip
    clean, noisy = [], []
    for draw in range(settings.clean_fields):
        batch = source.simulated(draw, 1)
        image = clip_outliers(batch.noisy)
        scaling = fit_scaling(image, matched.pixel_size_a)
        clean.append(scaled_truth(batch.clean, scaling, matched.pixel_size_a)[0])
        noisy.append(scaling.apply(image)[0])
    return estimate_contrast(
        [image.to(device) for image in real],
        windows.to(device),
        torch.stack(clean),
        torch.stack(noisy),
        matched.pixel_size_a,
        settings,
    )


def particles_and_rest(batch: SimulatedBatch, pixel_size_a: float) -> tuple[Tensor, Tensor]:
    """Particles and the noiseless rest, each (n, y, x) in units of the simulator's noise."""
    scaling = fit_scaling(clip_outliers(batch.noisy), pixel_size_a)
    return (
        scaled_truth(batch.clean, scaling, pixel_size_a),
        scaled_truth(batch.surroundings, scaling, pixel_size_a),
    )


@dataclass(frozen=True)
class FieldsLikeReal:
    """What fields with the contrast and the noise of real micrographs are made of.

    Attributes
    ----------
    simulation : SimulationSettings
        Of the coarse denoiser; `transfer_simulation` says what is changed for clean fields.
    settings : TransferSettings
        Shares and augmentation.
    contrast : Contrast
        From `measure_contrast`.
    sampler : NoiseSampler
        Noise of unit variance.
    species : sequence of Species
        The user's particles, shown in `settings.structure_share` of the fields.
    """

    simulation: SimulationSettings
    settings: TransferSettings
    contrast: Contrast
    sampler: NoiseSampler
    species: Sequence[Species] = ()


class TransferSource:
    """Crops of simulated clean fields at the contrast of real micrographs, in their noise.

    Fields are k1 times the particles plus gain times noise of the sampler, with contamination and
    carbon as they are; k1, gain and the spectrum of the noise are drawn for each field around what
    was measured. A share of the fields keeps the simulator's own noise and contrast. What a step
    sees depends on (seed, step) alone.

    Parameters
    ----------
    made_of : FieldsLikeReal
        What the fields are made of.
    pairs : PairSettings
        Sizes of crops, batches and pool.
    seed : int
        Of the run.
    device : torch.device
        Where the pairs are made.
    role : str
        Separates training from validation.
    """

    def __init__(
        self,
        made_of: FieldsLikeReal,
        pairs: PairSettings,
        seed: int,
        device: torch.device,
        role: str = "train",
    ) -> None:
        self._made_of = made_of
        self._pairs = pairs
        self._seed = seed
        self._device = device
        self._role = role
        clean = transfer_simulation(made_of.simulation, made_of.settings)
        self._clean = self._simulator(clean, role)
        self._simulated = self._simulator(made_of.simulation, f"{role} simulated")
        self._pool = CropPool(self._make, pairs, seed, role)

    def _simulator(self, simulation: SimulationSettings, role: str) -> PairSource:
        return PairSource(
            simulation, self._pairs, self._seed, self._device, role,
            known=self._made_of.species, known_share=self._made_of.settings.structure_share,
        )  # fmt: skip

    def _make(self, draw: int) -> Pairs:
        chance = torch.rand((), generator=stream(self._seed, f"{self._role} kind", draw))
        if float(chance) < self._made_of.settings.simulated_share:
            return self._simulated.fields(draw, self._pairs.fields)
        return self.fields(draw, self._pairs.fields)

    def fields(self, draw: int, count: int) -> Pairs:
        """Make the `count` whole transferred fields of a draw."""
        batch = self._clean.simulated(draw, count)
        particles, rest = particles_and_rest(batch, self._made_of.simulation.pixel_size_a)
        k1, gain = self._weights(draw, count)
        generator = stream(self._seed, f"{self._role} transferred noise", draw, self._device)
        noise = self._made_of.sampler.sample((count, *particles.shape[-2:]), generator)
        noise = vary_spectrum(noise, self._made_of.settings.spectrum_spread, generator)
        clean = rest + k1[:, None, None] * particles
        return make_pairs(transfer(clean, noise, 1.0, gain), clean)

    def _weights(self, draw: int, count: int) -> tuple[Tensor, Tensor]:
        """Contrast and noise gain of each field of a draw, log-normal around the measured ones."""
        generator = stream(self._seed, f"{self._role} weights", draw)
        deviates = torch.randn(2, count, generator=generator)
        contrast, settings = self._made_of.contrast, self._made_of.settings
        spread = (contrast.spread**2 + settings.contrast_spread**2) ** 0.5
        k1 = contrast.k1 * torch.exp(spread * deviates[0])
        gain = contrast.gain * torch.exp(settings.gain_spread * deviates[1])
        return k1.to(self._device), gain.to(self._device)

    def batch(self, step: int, team: Team = ALONE) -> Pairs:
        """Return the crops of a step, or the team's share of them that falls to this process."""
        return self._pool.batch(step, team)

    def held_out(self, count: int, stride: int) -> tuple[Pairs, Pairs]:
        """Transferred fields with particles, and fields of the sampler's noise alone."""
        return (
            self.held_out_fields(count, stride),
            self.held_out_fields(count, stride, particles=False),
        )

    def held_out_fields(self, count: int, stride: int, *, particles: bool = True) -> Pairs:
        """One of the two of `held_out`."""
        simulation = held_out_simulation(self._made_of.simulation, stride, particles=particles)
        source = TransferSource(
            replace(self._made_of, simulation=simulation),
            self._pairs,
            self._seed,
            self._device,
            "validation",
        )
        return source.fields(0, count)

    def describe(self) -> Mapping[str, object]:
        """Everything that the fields are made of."""
        made_of = self._made_of
        tensors, metadata = made_of.sampler.to_tensors()
        return {
            "simulation": made_of.simulation.model_dump(mode="json"),
            "transfer": made_of.settings.model_dump(mode="json"),
            "contrast": made_of.contrast.to_record(),
            "sampler": {"kind": metadata["kind"], "digest": digest(tensors.values())},
            "species": {s.name: digest([s.projections]) for s in made_of.species},
        }
