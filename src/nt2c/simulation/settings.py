"""Settings of the simulator: what is drawn, between which limits."""

from pydantic import Field

from nt2c.core.settings import Settings


class SpecimenSettings(Settings):
    """Procedural particles and how they fill a field."""

    species: int = Field(48, ge=1, description="number of different particles")
    views: int = Field(48, ge=1, description="orientations projected for each")
    diameter_a: tuple[float, float] = Field((60.0, 400.0), description="log-uniform")
    species_per_field: int = Field(3, ge=1, description="at most so many kinds in one field")
    coverage: tuple[float, float] = Field((0.03, 0.5), description="share of the field covered")
    spacing: float = Field(
        1.0, gt=0, description="least distance of centres, in mean diameters; below 1 they touch"
    )
    empty: float = Field(0.1, ge=0, le=1, description="probability of a field without particles")


class ImagingSettings(Settings):
    """Microscope, ice and camera; a pair is the range of a uniform draw."""

    voltage_kv: float = Field(300.0, gt=0)
    cs_mm: float = Field(2.7, ge=0)
    defocus_um: tuple[float, float] = (0.5, 3.5)
    astigmatism_um: tuple[float, float] = (0.0, 0.1)
    amplitude_contrast: tuple[float, float] = (0.07, 0.1)
    b_factor_a2: tuple[float, float] = Field((50.0, 600.0), description="log-uniform")
    energy_spread_ev: float = 0.9
    semi_angle_mrad: float = 0.03
    dose_e_per_a2: tuple[float, float] = (20.0, 70.0)
    ice_thickness_a: tuple[float, float] = (200.0, 1000.0)
    ice_gain: tuple[float, float] = Field((0.3, 1.5), description="amplitude of the ice noise")
    contrast_gain: tuple[float, float] = Field(
        (0.3, 2.0), description="log-uniform factor on the particles' contrast"
    )
    snr: float | None = Field(
        None, gt=0, description="variance ratio inside particles; replaces the contrast gain"
    )
    camera_pixel_size_a: tuple[float, float] = (0.6, 1.6)
    detectors: tuple[str, ...] = ("K2", "K3", "Falcon3EC", "Falcon2")
    contamination: float = Field(0.25, ge=0, le=1, description="probability of ice blobs")
    carbon: float = Field(0.12, ge=0, le=1, description="probability of a carbon edge")
    texture: float = Field(
        0.0, ge=0, le=1, description="probability of a rough layer: film, surfaces, lost protein"
    )
    texture_power: tuple[float, float] = Field(
        (1e4, 5e5), description="of its potential at 40 A, in (V A)^2 A^2, log-uniform"
    )
    texture_length_a: tuple[float, float] = Field((10.0, 150.0), description="log-uniform")
    texture_exponent: tuple[float, float] = Field((1.5, 4.0), description="power ~ k^-exponent")
    gradient: float = Field(0.05, ge=0, description="spread of the slow illumination")
    hot_pixels: float = Field(1e-5, ge=0, le=0.01, description="share of outlier pixels")


class SimulationSettings(Settings):
    """A simulated data set."""

    pixel_size_a: float = Field(4.0, gt=0)
    shape: tuple[int, int] = Field((448, 448), description="field (y, x) in pixels, even")
    specimen: SpecimenSettings = SpecimenSettings()
    imaging: ImagingSettings = ImagingSettings()
