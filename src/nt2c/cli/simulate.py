"""The command `nt2c simulate`: micrographs together with everything that is true about them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError
from nt2c.core.words import plural
from nt2c.io.pixel_size import check_pixel_size
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings

if TYPE_CHECKING:
    from nt2c.simulation.bank import Species
    from nt2c.simulation.micrograph import SimulatedBatch

Record = dict[str, Any]

DEFAULTS = SimulationSettings(
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
"""Good micrographs of today, each with one kind of particle, strong enough to be seen; training
draws from wider ranges."""

_LOG = "metadata.jsonl"
_LEAST_SIDE_PX = 64


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    count: Annotated[int, typer.Option(min=1, help="Number of micrographs.")] = 4,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same files, whatever the count.")
    ] = 0,
    structure: Annotated[
        list[Path] | None,
        typer.Option(
            help="Particle to simulate: mmCIF or PDB (first biological assembly) or an MRC map, "
            "also .gz; repeat for a mixture.",
            show_default="random assemblies of random size and symmetry",
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(help="Angstrom.", show_default=str(DEFAULTS.pixel_size_a)),
    ] = None,
    shape: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Rows and columns in pixels.",
            metavar="Y X",
            show_default="{} {}".format(*DEFAULTS.shape),
        ),
    ] = None,
    dose: Annotated[
        float | None,
        typer.Option(
            help="Electrons per square angstrom; without --snr the contrast is then what the "
            "physics gives.",
            show_default=str(DEFAULTS.imaging.dose_e_per_a2[0]),
        ),
    ] = None,
    defocus_min: Annotated[
        float | None,
        typer.Option(
            help="Least defocus in micrometres, positive is underfocus.",
            show_default=str(DEFAULTS.imaging.defocus_um[0]),
        ),
    ] = None,
    defocus_max: Annotated[
        float | None,
        typer.Option(
            help="Greatest defocus in micrometres.",
            show_default=str(DEFAULTS.imaging.defocus_um[1]),
        ),
    ] = None,
    snr: Annotated[
        float | None,
        typer.Option(
            help="Variance of signal over variance of noise inside particles.",
            show_default=str(DEFAULTS.imaging.snr),
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Share of the field that particles cover; 0 gives ice alone.",
            show_default="{} to {}".format(*DEFAULTS.specimen.coverage),
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            help="Settings (TOML), such as the settings.toml that this command writes; options "
            "given beside it count before it."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier simulation in the folder.")
    ] = False,
) -> None:
    """Simulate micrographs together with their truth.

    For each micrograph NAME the folder gets NAME.mrc (counts), clean/NAME_clean.mrc (its particles
    without noise), halves/even and halves/odd (independent halves of the exposure) and
    coordinates/NAME.star; besides them micrographs.star, settings.toml and metadata.jsonl with
    every parameter drawn.
    """
    options: Record = {
        "pixel_size_a": pixel_size,
        "shape": shape,
        "dose_e_per_a2": dose,
        "defocus_min": defocus_min,
        "defocus_max": defocus_max,
        "snr": snr,
        "coverage": coverage,
    }
    resolved = resolve(_base(settings), options)
    _prepare(output, overwrite)
    run(output, resolved, count, seed, structure or [])


def resolve(base: SimulationSettings, options: Record) -> SimulationSettings:
    """Return `base` with the options that are given (not None) in place of its values.

    Parameters
    ----------
    base : SimulationSettings
        What holds where no option is given.
    options : dict
        Values of pixel_size_a, shape, dose_e_per_a2, defocus_min, defocus_max (micrometres), snr
        and coverage.

    Raises
    ------
    SettingsError
        A value cannot be used.
    """
    check_pixel_size("--pixel-size", options.get("pixel_size_a"))
    given = {key: value for key, value in options.items() if value is not None}
    values = base.model_dump()
    specimen, imaging = values["specimen"], values["imaging"]
    imaging["defocus_um"] = _defocus_range(imaging["defocus_um"], given)
    if "snr" in given:
        imaging["snr"] = given["snr"]
    elif "dose_e_per_a2" in given:  # it would change nothing: the contrast would follow the noise
        imaging["snr"] = None
    if "dose_e_per_a2" in given:
        if not 0 < given["dose_e_per_a2"] < 1e4:
            raise SettingsError(f"--dose {given['dose_e_per_a2']} must be above 0; usual are 20-70")
        imaging["dose_e_per_a2"] = (given["dose_e_per_a2"],) * 2
    if "coverage" in given:
        if not 0 <= given["coverage"] < 1:
            raise SettingsError(f"--coverage {given['coverage']} must be at least 0 and below 1")
        specimen["coverage"] = (given["coverage"],) * 2
    values |= {key: given[key] for key in ("pixel_size_a", "shape") if key in given}
    if min(values["shape"]) < _LEAST_SIDE_PX:
        raise SettingsError(
            f"--shape {values['shape']}: both sides must be {_LEAST_SIDE_PX} or more"
        )
    # An image is never sampled finer than its camera.
    pixel_a, (fine_a, coarse_a) = values["pixel_size_a"], imaging["camera_pixel_size_a"]
    imaging["camera_pixel_size_a"] = (min(fine_a, pixel_a), min(coarse_a, pixel_a))
    return SimulationSettings.parse(values, where="simulate")


def run(
    folder: Path, settings: SimulationSettings, count: int, seed: int, structures: Sequence[Path]
) -> None:
    """Simulate `count` micrographs into `folder`, showing progress.

    Micrograph i depends on the seed, the settings and i alone.
    """
    from nt2c.cli.progress import progress_bar
    from nt2c.core.random import stream
    from nt2c.io.records import append_record
    from nt2c.simulation.micrograph import simulate as simulate_batch

    records: list[Record] = []
    with progress_bar() as progress:
        bar = progress.add_task("projecting particles", total=count)
        bank = _bank(settings, seed, structures)
        _write_settings(folder / "settings.toml", settings)
        progress.update(bar, description="simulating")
        for index in range(count):
            batch = simulate_batch(
                bank,
                settings,
                1,
                stream(seed, "simulate placement", index),
                stream(seed, "simulate noise", index),
            )
            record: Record = {"name": f"sim_{index + 1:04d}", "seed": seed, "index": index}
            record["structures"] = [path.name for path in structures]
            record["pixel_size_a"] = settings.pixel_size_a
            record |= batch.parameters[0]
            record["files"] = _write_images(folder, record["name"], batch, settings, seed)
            append_record(folder / _LOG, record)
            records.append(record)
            progress.advance(bar)
    _write_star(folder / "micrographs.star", records, settings)
    particles = sum(record["particles"] for record in records)
    say(
        f"{plural(count, 'micrograph')} with {plural(particles, 'particle')} in {folder}\n"
        f"denoise them: nt2c denoise {folder} -o denoised\n"
        f"and score:    nt2c evaluate denoised --truth {folder / 'clean'}"
    )


def _defocus_range(base: tuple[float, float], given: Record) -> tuple[float, float]:
    """Limits of the defocus; one given limit moves the other where it has to."""
    low, high = base
    if "defocus_min" in given:
        low = given["defocus_min"]
        high = max(low, high)
    if "defocus_max" in given:
        high = given["defocus_max"]
        if "defocus_min" not in given:
            low = min(low, high)
    if low > high:
        raise SettingsError(f"--defocus-min {low} is greater than --defocus-max {high}")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SettingsError(f"defocus from {low} to {high} micrometres: both must be finite")
    return low, high


def _base(path: Path | None) -> SimulationSettings:
    from nt2c.io.recipes import read_settings

    return DEFAULTS if path is None else read_settings(path, SimulationSettings)


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make sure that nothing of the user's is lost; remove an earlier simulation if told to."""
    from nt2c.io.records import read_records

    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder}: a file; give a folder with --output")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise SettingsError(
            f"{folder}: not empty; give another folder, or --overwrite to replace an earlier "
            "simulation"
        )
    log = folder / _LOG
    if log.exists():
        for record in read_records(log):
            for name in record.get("files", []):
                (folder / name).unlink(missing_ok=True)
        log.unlink()


def _bank(settings: SimulationSettings, seed: int, structures: Sequence[Path]) -> "list[Species]":
    """Project the particles that the micrographs are filled with."""
    from nt2c.core.random import stream
    from nt2c.pipeline.specimen import species_from_file
    from nt2c.simulation.bank import procedural_bank

    specimen, pixel_a = settings.specimen, settings.pixel_size_a
    if not structures:
        generator = stream(seed, "simulate particles")
        return procedural_bank(
            specimen.species, pixel_a, specimen.views, specimen.diameter_a, generator
        )
    return [
        species_from_file(path, pixel_a, specimen.views, stream(seed, "simulate particles", index))
        for index, path in enumerate(structures)
    ]


def _write_images(
    folder: Path, name: str, batch: "SimulatedBatch", settings: SimulationSettings, seed: int
) -> list[str]:
    """Write the files of one micrograph; return their names relative to the folder."""
    from nt2c.core.version import __version__
    from nt2c.io.micrographs import write_micrograph
    from nt2c.io.star import write_coordinates_star

    label = f"nt2c {__version__} simulate seed={seed}"  # no date: the same seed, the same file
    images = {
        f"{name}.mrc": batch.noisy,
        f"clean/{name}_clean.mrc": batch.clean,
        f"halves/even/{name}.mrc": batch.even,
        f"halves/odd/{name}.mrc": batch.odd,
    }
    for place, image in images.items():
        write_micrograph(folder / place, image[0].cpu().numpy(), settings.pixel_size_a, label=label)
    coordinates = f"coordinates/{name}.star"
    write_coordinates_star(folder / coordinates, batch.coordinates_px[0].numpy())
    return [*images, coordinates]


def _write_star(path: Path, records: list[Record], settings: SimulationSettings) -> None:
    from nt2c.io.star import Defocus, Optics, write_micrographs_star

    imaging = settings.imaging
    optics = Optics(
        pixel_size_a=settings.pixel_size_a,
        voltage_kv=imaging.voltage_kv,
        spherical_aberration_mm=imaging.cs_mm,
        amplitude_contrast=sum(imaging.amplitude_contrast) / 2,
    )
    micrographs = {
        f"{record['name']}.mrc": Defocus(
            record["defocus_um"] + record["astigmatism_um"] / 2,
            record["defocus_um"] - record["astigmatism_um"] / 2,
            record["astigmatism_angle_deg"],
        )
        for record in records
    }
    write_micrographs_star(path, micrographs, optics)


def _write_settings(path: Path, settings: SimulationSettings) -> None:
    """Write settings as TOML: JSON's numbers, texts and lists are TOML's too."""
    from nt2c.io.files import atomic_path

    values = settings.model_dump(mode="json", exclude_none=True)
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    top = {key: value for key, value in values.items() if key not in sections}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for section, content in sections.items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in content.items()]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
