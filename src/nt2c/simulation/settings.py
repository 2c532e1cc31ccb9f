"""Settings of the simulator: what is drawn, between which limits."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat

from nt2c.core.settings import Settings

Detector = Literal["K2", "K3", "Falcon3EC", "Falcon2"]


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit comes first: [low, high]")
    return limits


# Limits of a draw, low <= high: of any sign, from 0, above 0, and shares of a whole.
Limits = Annotated[tuple[float, float], AfterValidator(_ordered)]
FromZero = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ordered)]
AboveZero = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ordered)]
Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[tuple[Share, Share], AfterValidator(_ordered)]


class SpecimenSettings(Settings):
    """Procedural particles and how they fill a field."""

    species: int = Field(48, ge=1, description="number of different particles")
    views: int = Field(48, ge=1, description="orientations projected for each")
    diameter_a: AboveZero = Field((60.0, 400.0), description="log-uniform")
    species_per_field: int = Field(3, ge=1, description="at most so many kinds in one field")
    coverage: Shares = Field((0.03, 0.5), description="share of the field covered")
    spacing: float = Field(
        1.0, gt=0, description="least distance of centres, in mean diameters; below 1 they touch"
    )
    empty: float = Field(0.1, ge=0, le=1, description="probability of a field without particles")


class ImagingSettings(Settings):
    """Microscope, ice and camera; a pair is the range of a uniform draw."""

    voltage_kv: float = Field(300.0, gt=0)
    cs_mm: float = Field(2.7, ge=0)
    defocus_um: Limits = (0.5, 3.5)
    astigmatism_um: FromZero = (0.0, 0.1)
    amplitude_contrast: Shares = (0.07, 0.1)
    b_factor_a2: AboveZero = Field((50.0, 600.0), description="log-uniform")
    energy_spread_ev: float = Field(0.9, ge=0)
    semi_angle_mrad: float = Field(0.03, ge=0)
    dose_e_per_a2: AboveZero = (20.0, 70.0)
    ice_thickness_a: AboveZero = (200.0, 1000.0)
    ice_gain: FromZero = Field(
        (0.05, 0.4), description="amplitude of the ice noise; 1 is `physics.ice_power`"
    )
    contrast_gain: AboveZero = Field(
        (0.3, 2.0), description="log-uniform factor on the particles' contrast"
    )
    snr: float | None = Field(
        None, gt=0, description="variance ratio inside particles; replaces the contrast gain"
    )
    camera_pixel_size_a: AboveZero = (0.6, 1.6)
    detectors: tuple[Detector, ...] = Field(
        ("K2", "K3", "Falcon3EC", "Falcon2"), min_length=1, description="drawn from"
    )
    contamination: float = Field(0.25, ge=0, le=1, description="probability of ice blobs")
    carbon: float = Field(0.12, ge=0, le=1, description="probability of a carbon edge")
    texture: float = Field(
        0.0, ge=0, le=1, description="probability of a rough layer: film, surfaces, lost protein"
    )
    texture_power: AboveZero = Field(
        (1e4, 5e5), description="of its potential at 40 A, in (V A)^2 A^2, log-uniform"
    )
    texture_length_a: AboveZero = Field((10.0, 150.0), description="log-uniform")
    texture_exponent: FromZero = Field((1.5, 4.0), description="power ~ k^-exponent")
    gradient: float = Field(0.05, ge=0, description="spread of the slow illumination")
    hot_pixels: float = Field(1e-5, ge=0, le=0.01, description="share of outlier pixels")


NoiseKind = Literal["film", "coloured", "lines", "blocks", "modulated", "tails", "filtered"]


class NoiseSettings(Settings):
    """Noise beyond counts and thin ice (`simulation.further_noise` says what each kind is).

    Variances are multiples of that of the counting noise, drawn log-uniform.
    """

    share: float = Field(0.0, ge=0, le=1, description="of fields that have one to three kinds")
    kinds: tuple[NoiseKind, ...] = Field(
        get_args(NoiseKind), min_length=1, description="named more often, drawn more often"
    )
    film_variance: AboveZero = (0.1, 5.0)
    coloured_variance: AboveZero = (0.1, 5.0)
    lines_variance: AboveZero = (0.03, 3.0)
    modulation: float = Field(0.5, ge=0.1, description="greatest spread of log local strength")
    tails: float = Field(0.6, ge=0.1, description="greatest spread of log strength of pixels")
    cutoff_a: AboveZero = Field((8.0, 25.0), description="of low-pass filters, log-uniform")


class SimulationSettings(Settings):
    """A simulated data set."""

    pixel_size_a: float = Field(4.0, gt=0)
    shape: tuple[int, int] = Field((448, 448), description="field (y, x) in pixels, even")
    specimen: SpecimenSettings = SpecimenSettings()
    imaging: ImagingSettings = ImagingSettings()
    noise: NoiseSettings = NoiseSettings()
