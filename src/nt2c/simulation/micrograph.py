"""One batch of simulated micrographs, from projections to counts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nt2c.core.random import Draw
from nt2c.imaging.ctf import Optics, ctf, interaction_rad_per_v_a
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.simulation import physics, surroundings
from nt2c.simulation.bank import Species
from nt2c.simulation.further_noise import NO_NOISE, FieldNoise, FurtherNoise, draw_noise
from nt2c.simulation.placement import particle_count, place
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

MARGIN_A = 128.0  # simulated around the field and cut off, so that nothing wraps around
_CARBON_THICKNESS_A = 200.0  # usual support film; per angstrom it scatters like 6 A of ice


@dataclass(frozen=True)
class FieldParameters:
    """Everything drawn for one field, units in the names.

    `contrast_gain` is that of the particles, `noise` what is beyond counts and thin ice, `species`
    names those in the field and its margin, `particles` counts the centres in the field.
    """

    defocus_um: float
    astigmatism_um: float
    astigmatism_angle_deg: float
    amplitude_contrast: float
    b_factor_a2: float
    dose_e_per_a2: float
    ice_thickness_a: float
    ice_gain: float
    contrast_gain: float
    camera_pixel_size_a: float
    detector: str
    contamination: int
    carbon: bool
    texture_power: float
    texture_length_a: float
    texture_exponent: float
    noise: FurtherNoise = NO_NOISE
    species: tuple[str, ...] = ()
    particles: int = 0

    def to_record(self) -> dict[str, object]:
        """Everything, for a record in JSON; of the noise those kinds that are there."""
        noise = asdict(self.noise)
        return asdict(self) | {"noise": {kind: noise[kind] for kind in self.noise.kinds}}


@dataclass(frozen=True)
class SimulatedBatch:
    """Micrographs with their truth; images are (batch, y, x) in electron counts per pixel.

    `noisy` = `even` + `odd`, which are independent given the specimen; `clean` is the noiseless
    deviation of the particles from the mean count (negative: dark), with CTF, damage and MTF;
    `surroundings` the noiseless rest: illumination, contamination and edges of carbon;
    `coordinates_px` has one (n, 2) tensor of (y, x) centres per field; `parameters` what was drawn
    for each field.
    """

    noisy: Tensor
    clean: Tensor
    surroundings: Tensor
    even: Tensor
    odd: Tensor
    coordinates_px: list[Tensor]
    parameters: list[FieldParameters]


def draw_parameters(settings: ImagingSettings, generator: torch.Generator) -> FieldParameters:
    """Draw the imaging parameters of one field (units in the names)."""
    draw = Draw(generator)
    chance = torch.rand(3, generator=generator)
    index = int(torch.randint(len(settings.detectors), (), generator=generator))
    return FieldParameters(
        defocus_um=draw.uniform(*settings.defocus_um),
        astigmatism_um=draw.uniform(*settings.astigmatism_um),
        astigmatism_angle_deg=draw.uniform(0.0, 180.0),
        amplitude_contrast=draw.uniform(*settings.amplitude_contrast),
        b_factor_a2=draw.log_uniform(*settings.b_factor_a2),
        dose_e_per_a2=draw.uniform(*settings.dose_e_per_a2),
        ice_thickness_a=draw.uniform(*settings.ice_thickness_a),
        ice_gain=draw.uniform(*settings.ice_gain),
        contrast_gain=draw.log_uniform(*settings.contrast_gain),
        camera_pixel_size_a=draw.uniform(*settings.camera_pixel_size_a),
        detector=settings.detectors[index],
        contamination=1 + int(3 * draw.uniform(0.0, 1.0))
        if chance[0] < settings.contamination
        else 0,
        carbon=bool(chance[1] < settings.carbon),
        texture_power=draw.log_uniform(*settings.texture_power)
        if chance[2] < settings.texture
        else 0.0,
        texture_length_a=draw.log_uniform(*settings.texture_length_a),
        texture_exponent=draw.uniform(*settings.texture_exponent),
    )


def specimen_field(
    bank: Sequence[Species],
    shape: tuple[int, int],
    pixel_size_a: float,
    settings: SpecimenSettings,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "y x"], Float[Tensor, "n 2"], list[str]]:
    """Paste random views of a few species at random places.

    Returns the projected potential in V angstrom, the centres (y, x) in pixels and the names of
    the species drawn. `generator` lives on the CPU; the field is made where the bank lives.
    """
    device = bank[0].projections.device
    kinds = int(torch.randint(1, settings.species_per_field + 1, (), generator=generator))
    chosen = torch.randint(len(bank), (kinds,), generator=generator).tolist()
    coverage = Draw(generator).uniform(*settings.coverage)
    if torch.rand((), generator=generator) < settings.empty:
        coverage = 0.0
    who = torch.cat(
        [
            torch.full((particle_count(shape, coverage / kinds, d / pixel_size_a),), i)
            for i, d in ((i, bank[i].diameter_a) for i in chosen)
        ]
    ).long()
    who = who[torch.randperm(len(who), generator=generator)]
    diameters = torch.tensor([bank[int(i)].diameter_a / pixel_size_a for i in who])
    centres, kept = place(shape, settings.spacing * diameters, generator)
    who = who[kept]
    pad = max(s.projections.shape[-1] for s in (bank[i] for i in chosen)) // 2
    wide = (shape[0] + 2 * pad, shape[1] + 2 * pad)
    canvas = torch.zeros(wide[0] * wide[1], device=device)
    for i in set(chosen):
        at = centres[who == i].long().to(device)
        if len(at) == 0:
            continue
        box = bank[i].projections.shape[-1]
        view = torch.randint(len(bank[i].projections), (len(at),), generator=generator)
        images = bank[i].projections[view.to(device)].float()
        quarter = int(torch.randint(4, (), generator=generator))
        images = torch.rot90(images, quarter, (-2, -1))
        if quarter:  # an even box is centred on b // 2: keep it there after the quarter turn
            images = images.roll((int(quarter in (1, 2)), int(quarter in (2, 3))), (-2, -1))
        step = torch.arange(box, device=device) - box // 2 + pad
        rows = (at[:, 0, None] + step)[:, :, None] * wide[1]
        canvas.index_add_(0, (rows + (at[:, 1, None] + step)[:, None, :]).flatten(),
                          images.flatten())  # fmt: skip
    field = canvas.reshape(wide)[pad : pad + shape[0], pad : pad + shape[1]]
    return field, centres, sorted({bank[int(i)].name for i in who})


def _stack(parameters: Sequence[FieldParameters], name: str, device: torch.device) -> Tensor:
    return torch.tensor([getattr(p, name) for p in parameters], device=device, dtype=torch.float32)


def simulate(
    bank: Sequence[Species],
    settings: SimulationSettings,
    batch: int,
    placement: torch.Generator,
    noise: torch.Generator,
) -> SimulatedBatch:
    """Simulate a batch of micrographs on the device of the bank.

    Parameters
    ----------
    bank : sequence of Species
        Projections at `settings.pixel_size_a`.
    settings : SimulationSettings
        What is drawn between which limits.
    batch : int
        Number of fields.
    placement : torch.Generator
        Stream on the CPU, for specimens and parameters.
    noise : torch.Generator
        Stream on the bank's device, for ice, counts and outliers.

    Notes
    -----
    Weak phase object: counts have the mean N (1 + contrast) where contrast = -2 ctf * phase.
    The camera is the usual two-step model: signal times sqrt(DQE) before counting, counts
    coloured by MTF / sqrt(DQE), which gives the signal transfer MTF and the noise power
    MTF^2 / DQE per electron.
    """
    device = bank[0].projections.device
    imaging, pixel_a = settings.imaging, settings.pixel_size_a
    margin = 2 * round(MARGIN_A / pixel_a / 2)
    shape = (settings.shape[0] + 2 * margin, settings.shape[1] + 2 * margin)
    inner = (..., slice(margin, margin + settings.shape[0]),
             slice(margin, margin + settings.shape[1]))  # fmt: skip

    imaged = [draw_parameters(imaging, placement) for _ in range(batch)]
    noises = [draw_noise(settings.noise, placement, carbon=one.carbon) for one in imaged]
    parameters, fields, coordinates = [], [], []
    for one, own in zip(imaged, noises, strict=True):
        field, centres, names = specimen_field(bank, shape, pixel_a, settings.specimen, placement)
        fields.append(field)
        centres = centres - margin
        seen = (centres >= 0).all(-1) & (centres < torch.tensor(settings.shape)).all(-1)
        coordinates.append(centres[seen])
        parameters.append(replace(one, noise=own, species=tuple(names), particles=int(seen.sum())))
    potential = torch.stack(fields)

    carbon = torch.stack([
        surroundings.carbon_edge(shape, pixel_a, placement) if p.carbon else torch.zeros(shape)
        for p in parameters
    ]).to(device)  # fmt: skip
    blobs = torch.stack([
        surroundings.contamination(shape, pixel_a, p.contamination, placement)
        for p in parameters
    ]).to(device)  # fmt: skip
    light = torch.stack([
        surroundings.illumination(shape, imaging.gradient, placement) for _ in parameters
    ]).to(device)  # fmt: skip

    def per_field(name: str) -> Tensor:
        return _stack(parameters, name, device)[:, None, None]

    k = frequency_grid(shape, pixel_a, device)
    dose, ice_a = per_field("dose_e_per_a2"), per_field("ice_thickness_a")
    optics = Optics(
        defocus_um=_stack(parameters, "defocus_um", device),
        astigmatism_um=_stack(parameters, "astigmatism_um", device),
        astigmatism_angle_deg=_stack(parameters, "astigmatism_angle_deg", device),
        amplitude_contrast=_stack(parameters, "amplitude_contrast", device),
        b_factor_a2=_stack(parameters, "b_factor_a2", device),
        voltage_kv=imaging.voltage_kv,
        cs_mm=imaging.cs_mm,
        energy_spread_ev=imaging.energy_spread_ev,
        semi_angle_mrad=imaging.semi_angle_mrad,
    )
    transfer = (
        -2 * interaction_rad_per_v_a(imaging.voltage_kv) * ctf(shape, pixel_a, optics, device)
    )
    mtf = torch.stack([
        physics.detector_mtf(p.detector, k, p.camera_pixel_size_a) for p in parameters
    ])  # fmt: skip
    root_dqe = torch.stack([
        physics.detector_dqe(p.detector, k, p.camera_pixel_size_a) for p in parameters
    ]).sqrt()  # fmt: skip

    # Specimen contrast, as seen through the microscope (unitless, relative to the mean count).
    damage = physics.dose_envelope(k, dose, imaging.voltage_kv)
    particles = apply_filter(potential, transfer * damage)
    ice = physics.gaussian_field(physics.ice_power(k, ice_a, dose), shape, pixel_a, noise)
    film = carbon * _CARBON_THICKNESS_A
    rough = physics.texture_power(
        k, *map(per_field, ("texture_power", "texture_length_a", "texture_exponent"))
    )
    texture = apply_filter(physics.gaussian_field(rough, shape, pixel_a, noise), transfer)
    extra = 1 + (blobs + 6 * film) / ice_a
    glass = apply_filter(ice * per_field("ice_gain") * extra.sqrt(), transfer)
    attenuation = torch.exp(-(blobs + 2 * film) / physics.INELASTIC_MEAN_FREE_PATH_A) * light
    mean = dose * pixel_a**2 * torch.exp(-ice_a / physics.INELASTIC_MEAN_FREE_PATH_A)

    gain = per_field("contrast_gain")
    if imaging.snr is not None:
        gain = _gain_for_snr(
            imaging.snr, potential[inner], apply_filter(particles, mtf)[inner],
            apply_filter(glass, mtf)[inner], mean, (mtf / root_dqe).square().mean((-2, -1)),
        )  # fmt: skip
        parameters = [
            replace(one, contrast_gain=value)
            for one, value in zip(parameters, gain.flatten().tolist(), strict=True)
        ]
    else:  # fields with more noise may hold stronger particles
        for i, one in enumerate(parameters):
            if one.noise.kinds:
                more = 1 + one.noise.added_variance
                share = float(torch.rand((), generator=placement))
                parameters[i] = replace(one, contrast_gain=one.contrast_gain * more ** (share / 2))
        gain = per_field("contrast_gain")
    # Particles on carbon are left out; contamination only weakens those that it covers.
    particles = particles * gain * (1 - carbon)
    further = [
        FieldNoise(p.noise, k, t, pixel_a, imaging.voltage_kv, c, noise)
        for p, t, c in zip(parameters, transfer, carbon, strict=True)
    ]
    film = torch.stack([f.film for f in further]) / mean.sqrt()
    contrast = apply_filter(particles + texture + glass, root_dqe) + film
    expected = (mean * attenuation * (1 + contrast)).clamp(min=0)
    gains = torch.stack([f.gain for f in further])
    response = torch.stack([f.response for f in further])
    sd = (mean / 2).sqrt()

    def camera() -> Tensor:
        counts = torch.poisson(expected / 2, generator=noise)
        level = mean * attenuation / 2
        seen = apply_filter(expected / 2 - level, mtf / root_dqe)
        own = apply_filter(counts - level, mtf / root_dqe) - seen
        own = torch.stack([f.camera(n, s) for f, n, s in zip(further, own, sd, strict=True)])
        whole = surroundings.hot_pixels((seen + level + own) * gains, imaging.hot_pixels, noise)
        return apply_filter(whole, response)[inner]

    even, odd = camera(), camera()
    clean = apply_filter(apply_filter(particles, mtf) * mean * attenuation, response)[inner]
    rest = apply_filter((mean * attenuation).expand_as(expected), response)[inner]
    return SimulatedBatch(even + odd, clean, rest, even, odd, coordinates, parameters)


def _gain_for_snr(
    snr: float, potential: Tensor, particles: Tensor, glass: Tensor, mean: Tensor, colour: Tensor
) -> Tensor:
    """Contrast gain at which var(clean) / var(noise) inside particles is `snr`; 1 when empty.

    `colour` is the mean noise power relative to counting statistics. Shape (batch, 1, 1).
    """
    mask = (potential > 0.1 * potential.amax((-2, -1), keepdim=True)).float()
    weight = mask.sum((-2, -1), keepdim=True).clamp(min=1)
    centred = particles - (particles * mask).sum((-2, -1), keepdim=True) / weight
    signal = (centred.square() * mask).sum((-2, -1), keepdim=True) / weight
    noise = glass.var((-2, -1), keepdim=True) + colour[:, None, None] / mean
    gain = torch.sqrt(snr * noise / signal.clamp(min=1e-20))
    return torch.where(signal > 0, gain, torch.ones_like(gain))
