"""What the workflows are asked to do: in Python, and option by option on the command line."""

from pathlib import Path
from typing import Annotated, Self, get_args

from pydantic import Field, model_validator

from nt2c.core.errors import SettingsError
from nt2c.core.options import PIXEL_SIZE, File, Folder, PixelSizeA, Seconds, TrainingDevice
from nt2c.core.settings import Settings
from nt2c.denoising.settings import BUNDLED
from nt2c.noise.kinds import FitNoise, NoiseKind
from nt2c.picking import SPACING
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

TRAINING_DEVICE = "auto, cpu or cuda."
SAME_SEED = "The same seed gives the same {}, whatever the count."
GOOD_MICROGRAPHS = SimulationSettings(
    pixel_size_a=1.5,
    shape=(1024, 1024),
    specimen=SpecimenSettings(
        species=3,
        species_per_field=1,
        views=60,
        diameter_a=(140.0, 260.0),
        coverage=(0.25, 0.4),
        empty=0.0,
    ),
    imaging=ImagingSettings(
        defocus_um=(1.5, 2.5),
        amplitude_contrast=(0.1, 0.1),
        b_factor_a2=(80.0, 150.0),
        dose_e_per_a2=(40.0, 40.0),
        ice_thickness_a=(200.0, 350.0),
        ice_gain=(1.0, 1.0),
        contrast_gain=(1.0, 1.0),
        snr=0.05,
        detectors=("K3",),
        contamination=0.0,
        carbon=0.0,
    ),
)
"""As of today, each with one kind of particle, strong enough to be seen; training draws from wider
ranges."""
_IMAGING = GOOD_MICROGRAPHS.imaging
_LEAST_SIDE_PX = 64
LEAST_FIELDS = 24
"""Fields of noise that picks are judged by, in all micrographs together."""

Model = Annotated[str, Field(title="NAME|FILE")]
"""A bundled model by its name, or a model file."""

_KINDS = ", ".join(get_args(NoiseKind))


class FitOptions(Settings):
    """How a model is made from micrographs, beside what the recipe says."""

    recipe: str = Field(
        "fit", title="NAME|FILE", description="quick, fit, paper, or a recipe of your own (TOML)."
    )
    pixel_size_a: PixelSizeA | None = Field(None, description=PIXEL_SIZE)
    structure: tuple[File, ...] = Field(
        (),
        title="FILE",
        description="Structure of your particle, to be learned beside random assemblies: mmCIF, "
        "PDB or an MRC map, also .gz; repeat for several.",
    )
    model: Model = Field(BUNDLED, description="Model that finds the noise and is trained further.")
    noise: FitNoise | None = Field(
        None,
        title="KIND",
        description=f"Kind of noise to learn: {_KINDS} or auto; by default that of the recipe.",
    )
    mask: Folder | None = Field(
        None,
        title="DIR",
        description="Folder of masks named as the micrographs; no noise is taken where a mask is "
        "not 0.",
    )
    device: TrainingDevice = Field("auto", description=TRAINING_DEVICE)
    seed: int | None = Field(
        None, ge=0, description="Seed of all random numbers; by default that of the recipe."
    )
    time_s: Seconds | None = Field(
        None,
        title="TIME",
        description="How long the fit shall take, such as 10m, in place of the steps of the "
        "recipe.",
    )


class NoiseOptions(Settings):
    """How a sampler of noise is made from windows."""

    kind: NoiseKind = Field(
        "wgan",
        title="KIND",
        description=f"Sampler to fit or train: {_KINDS}.",
    )
    steps: int | None = Field(
        None, ge=1, description="Training steps of the wgan; by default those of its settings."
    )
    device: TrainingDevice = Field("auto", description=TRAINING_DEVICE)
    seed: int = Field(0, ge=0, description="The same seed gives the same sampler.")
    pixel_size_a: PixelSizeA | None = Field(
        None, description="Pixel size in angstrom; needed with a .npy file."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.steps is not None and self.kind != "wgan":
            raise ValueError(
                f"'steps': the {self.kind} sampler is fitted, not trained; leave it out"
            )
        return self


class SimulateOptions(Settings):
    """Which micrographs are simulated."""

    count: int = Field(4, ge=1, description="Number of micrographs.")
    seed: int = Field(0, ge=0, description=SAME_SEED.format("files"))
    structure: tuple[Path, ...] = Field(
        (),
        title="FILE",
        description="Particle to simulate: mmCIF or PDB (first biological assembly) or an MRC map, "
        "also .gz; repeat for a mixture. By default random assemblies of random size and symmetry.",
    )
    pixel_size_a: PixelSizeA | None = Field(
        None, description=f"Pixel size in angstrom; by default {GOOD_MICROGRAPHS.pixel_size_a:g}."
    )
    shape: tuple[int, int] | None = Field(
        None,
        title="Y X",
        description="Rows and columns in pixels; by default {} {}.".format(*GOOD_MICROGRAPHS.shape),
    )
    dose_e_per_a2: float | None = Field(
        None,
        title="E/A2",
        gt=0,
        lt=1e4,
        description="Electrons per square angstrom; without --snr the contrast is then what the "
        f"physics gives. By default {_IMAGING.dose_e_per_a2[0]:g}.",
    )
    defocus_min_um: float | None = Field(
        None,
        description="Smallest defocus in micrometres, positive is underfocus; by default "
        f"{_IMAGING.defocus_um[0]:g}.",
    )
    defocus_max_um: float | None = Field(
        None,
        description=f"Largest defocus in micrometres; by default {_IMAGING.defocus_um[1]:g}.",
    )
    snr: float | None = Field(
        None,
        gt=0,
        description="Variance of signal over variance of noise inside particles; by default "
        f"{_IMAGING.snr:g}.",
    )
    coverage: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the field that particles cover; 0 gives ice alone. By default "
        "{:g} to {:g}.".format(*GOOD_MICROGRAPHS.specimen.coverage),
    )
    settings_file: Path | None = Field(
        None,
        description="Settings (TOML), such as the settings.toml that this command writes; options "
        "given beside it take precedence.",
    )
    overwrite: bool = Field(False, description="Replace an earlier simulation in the folder.")

    def applied_to(self, base: SimulationSettings) -> SimulationSettings:
        """Return settings of the simulator with these options in the place of its values.

        Raises
        ------
        SettingsError
            They do not fit together.
        """
        imaging, specimen, shape = base.imaging, base.specimen, self.shape or base.shape
        if min(shape) < _LEAST_SIDE_PX:
            raise SettingsError(f"'shape' {shape}: both sides must be {_LEAST_SIDE_PX} or more")
        low, high = imaging.defocus_um
        if self.defocus_min_um is not None:  # one limit moves the other where it has to
            low, high = self.defocus_min_um, max(high, self.defocus_min_um)
        if self.defocus_max_um is not None:
            high = self.defocus_max_um
            low = min(low, high) if self.defocus_min_um is None else low
        changes: dict[str, object] = {"defocus_um": (low, high)}
        if self.snr is not None:
            changes["snr"] = self.snr
        elif self.dose_e_per_a2 is not None:  # it would change nothing: the contrast would follow
            changes["snr"] = None
        if self.dose_e_per_a2 is not None:
            changes["dose_e_per_a2"] = (self.dose_e_per_a2,) * 2
        if self.coverage is not None:
            specimen = specimen.replace(coverage=(self.coverage,) * 2)
        pixel_a = self.pixel_size_a or base.pixel_size_a
        fine_a, coarse_a = imaging.camera_pixel_size_a  # an image is never finer than its camera
        changes["camera_pixel_size_a"] = (min(fine_a, pixel_a), min(coarse_a, pixel_a))
        return base.replace(
            where="simulate",
            pixel_size_a=pixel_a,
            shape=shape,
            specimen=specimen,
            imaging=imaging.replace(where="simulate", **changes),
        )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.defocus_min_um, self.defocus_max_um
        if low is not None and high is not None and low > high:
            raise ValueError(f"'defocus_min_um' {low:g} is greater than 'defocus_max_um' {high:g}")
        return self


class EvaluateOptions(Settings):
    """What denoised micrographs are compared with."""

    truth: Path | None = Field(
        None, description="Noiseless truth: NAME_clean.mrc or NAME.mrc in a folder, or a file."
    )
    independent: Path | None = Field(
        None,
        description="Independent exposures of the same fields (no truth needed); with --raw.",
    )
    raw: Path | None = Field(
        None, description="The raw micrographs that were denoised, for --independent."
    )
    scale: Path | None = Field(
        None,
        title="FILE",
        description="CSV with columns name, noise_sd_micrograph; the noise is estimated without "
        "it.",
    )
    halves: tuple[Path, Path] | None = Field(
        None,
        title="EVEN ODD",
        description="Folders of raw even and odd halves; DENOISED are then the denoised even and "
        "the denoised odd folder.",
    )
    halves_in: Path | None = Field(
        None,
        title="RAW",
        description="Folder of raw halves: NAME_EVN and NAME_ODD, or even/NAME and odd/NAME; "
        "DENOISED is then one folder that holds the denoised halves in the same way.",
    )
    noise_only: Path | None = Field(
        None, description="Denoised particle-free fields with the names of DENOISED."
    )
    diameter_a: float | None = Field(
        None,
        gt=0,
        description="Particle diameter in angstrom: also count blobs with --noise-only.",
    )
    pixel_size_a: PixelSizeA | None = Field(None, description=PIXEL_SIZE)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.independent and not self.raw:
            raise ValueError("'independent' also needs 'raw', the micrographs that were denoised")
        if (self.raw or self.scale) and not self.independent:
            raise ValueError(
                "'raw' and 'scale' belong to 'independent'; give it, or leave them out"
            )
        if self.diameter_a is not None and not self.noise_only:
            raise ValueError(
                "'diameter_a' belongs to 'noise_only'; give it, or leave 'diameter_a' out"
            )
        if self.halves and self.halves_in:
            raise ValueError("'halves' and 'halves_in': give one of them")
        given = (self.truth, self.independent, self.halves, self.halves_in, self.noise_only)
        if not any(given):
            raise ValueError(
                "nothing to compare with: give 'truth', 'independent' with 'raw', 'halves', "
                "'halves_in' or 'noise_only'"
            )
        return self


class PickOptions(Settings):
    """Which picks are wanted, and what is written beside them."""

    diameter_a: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1,
        max_length=2,
        title="A",
        description="Diameter of the particles in angstrom; give it twice for a range.",
    )
    fdr: float = Field(
        0.05, gt=0, lt=1, title="SHARE", description="Largest share of noise among the picks."
    )
    spacing: float = Field(
        SPACING, gt=0, title="D", description="Smallest distance between two picks, in diameters."
    )
    denoised: Folder | None = Field(
        None,
        title="DIR",
        description="What nt2c denoise made of the micrographs with the same model; by default "
        "they are denoised on the way.",
    )
    fit: Folder | None = Field(
        None,
        title="DIR",
        description="Model and noise of a fit: the folder of nt2c fit or nt2c run.",
    )
    noise: File | None = Field(
        None,
        title="FILE",
        description="Noise that nt2c train-noise learned in windows of these micrographs; by "
        "default it is measured in each of them.",
    )
    masks: bool = Field(False, description="Write DIR/masks: 1 where nothing is to be picked.")
    significance: bool = Field(
        False, description="Write DIR/significance: for each pixel -log10 of the chance of noise."
    )
    fields: int | None = Field(
        None,
        ge=1,
        title="N",
        description="Fields of noise for each micrograph; by default one, and more where there are "
        f"fewer than {LEAST_FIELDS} micrographs.",
    )
    pixel_size_a: PixelSizeA | None = Field(None, description=PIXEL_SIZE)
    seed: int = Field(0, ge=0, description="Seed of the fields of noise.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if list(self.diameter_a) != sorted(set(self.diameter_a)):
            raise ValueError("'diameter_a': of a range the least diameter comes first")
        return self
