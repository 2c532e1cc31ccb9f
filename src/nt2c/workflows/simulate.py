"""Micrographs in a folder, together with everything that is true about them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nt2c.core.errors import SettingsError
from nt2c.core.random import stream
from nt2c.core.version import __version__
from nt2c.io.files import atomic_path
from nt2c.io.micrographs import write_micrograph
from nt2c.io.recipes import read_settings
from nt2c.io.records import append_record, read_records
from nt2c.io.star import Defocus, Optics, write_coordinates_star, write_micrographs_star
from nt2c.pipeline.specimen import species_from_file
from nt2c.simulation.bank import Species, procedural_bank
from nt2c.simulation.micrograph import FieldParameters, SimulatedBatch
from nt2c.simulation.micrograph import simulate as simulate_batch
from nt2c.simulation.settings import SimulationSettings
from nt2c.workflows.options import GOOD_MICROGRAPHS, SimulateOptions

CLEAN = "clean"
_LOG = "metadata.jsonl"


@dataclass(frozen=True)
class Simulated:
    """A simulated data set.

    Attributes
    ----------
    folder : Path
        Where it is.
    micrographs : tuple of Path
        Noisy micrographs; the truth has the same names in `clean`, with "_clean" behind.
    particles : int
        In all of them.
    settings : SimulationSettings
        What it was drawn from.
    """

    folder: Path
    micrographs: tuple[Path, ...]
    particles: int
    settings: SimulationSettings


def simulate(
    folder: Path | str,
    options: SimulateOptions | None = None,
    on_micrograph: Callable[[int], None] | None = None,
) -> Simulated:
    """Simulate micrographs with their truth, halves, coordinates and lists into a folder.

    Micrograph i depends on the seed, the settings and i alone.

    Parameters
    ----------
    folder : Path or str
        Made when missing.
    options : SimulateOptions, optional
        How many, and of what kind.
    on_micrograph : callable, optional
        Called with the number of micrographs that are written, at first with 0, when the particles
        are projected.

    Raises
    ------
    SettingsError
        The folder holds something else, or the settings cannot be used.
    InputError
        A structure cannot be read.
    """
    folder, options = Path(folder), options or SimulateOptions()
    base = GOOD_MICROGRAPHS
    if options.settings_file is not None:
        base = read_settings(options.settings_file, SimulationSettings)
    settings, seed = options.applied_to(base), options.seed
    _prepare(folder, options.overwrite)
    bank = _bank(settings, seed, options.structure)
    _write_settings(folder / "settings.toml", settings)
    fields: dict[str, FieldParameters] = {}
    for index in range(options.count):
        if on_micrograph:
            on_micrograph(index)
        batch = simulate_batch(
            bank,
            settings,
            1,
            stream(seed, "simulate placement", index),
            stream(seed, "simulate noise", index),
        )
        name = f"sim_{index + 1:04d}"
        drawn = batch.parameters[0]
        record = {
            "name": name,
            "seed": seed,
            "index": index,
            "structures": [path.name for path in options.structure],
            "pixel_size_a": settings.pixel_size_a,
            **drawn.to_record(),
            "files": _write_images(folder, name, batch, settings, seed),
        }
        append_record(folder / _LOG, record)
        fields[f"{name}.mrc"] = drawn
    if on_micrograph:
        on_micrograph(options.count)
    _write_star(folder / "micrographs.star", fields, settings)
    return Simulated(
        folder,
        tuple(folder / name for name in fields),
        sum(drawn.particles for drawn in fields.values()),
        settings,
    )


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make sure that nothing of the user's is lost; remove an earlier simulation if told to."""
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder}: a file; give a folder with 'output'")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise SettingsError(
            f"{folder}: not empty; give another folder, or 'overwrite' to replace an earlier "
            "simulation"
        )
    log = folder / _LOG
    if log.exists():
        for record in read_records(log):
            for name in record.get("files", []):
                (folder / name).unlink(missing_ok=True)
        log.unlink()


def _bank(settings: SimulationSettings, seed: int, structures: Sequence[Path]) -> list[Species]:
    """Project the particles that the micrographs are filled with."""
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
    folder: Path, name: str, batch: SimulatedBatch, settings: SimulationSettings, seed: int
) -> list[str]:
    """Write the files of one micrograph; return their names relative to the folder."""
    label = f"nt2c {__version__} simulate seed={seed}"  # no date: the same seed, the same file
    images = {
        f"{name}.mrc": batch.noisy,
        f"{CLEAN}/{name}_clean.mrc": batch.clean,
        f"halves/even/{name}.mrc": batch.even,
        f"halves/odd/{name}.mrc": batch.odd,
    }
    for place, image in images.items():
        write_micrograph(folder / place, image[0].cpu().numpy(), settings.pixel_size_a, label=label)
    coordinates = f"coordinates/{name}.star"
    write_coordinates_star(folder / coordinates, batch.coordinates_px[0].numpy())
    return [*images, coordinates]


def _write_star(
    path: Path, fields: Mapping[str, FieldParameters], settings: SimulationSettings
) -> None:
    imaging = settings.imaging
    optics = Optics(
        pixel_size_a=settings.pixel_size_a,
        voltage_kv=imaging.voltage_kv,
        spherical_aberration_mm=imaging.cs_mm,
        amplitude_contrast=sum(imaging.amplitude_contrast) / 2,
    )
    micrographs = {
        name: Defocus(
            drawn.defocus_um + drawn.astigmatism_um / 2,
            drawn.defocus_um - drawn.astigmatism_um / 2,
            drawn.astigmatism_angle_deg,
        )
        for name, drawn in fields.items()
    }
    write_micrographs_star(path, micrographs, optics)


def _write_settings(path: Path, settings: SimulationSettings) -> None:
    """Write settings as TOML: JSON's numbers, texts and lists are TOML's too."""
    values = settings.model_dump(mode="json", exclude_none=True)
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    top = {key: value for key, value in values.items() if key not in sections}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for section, content in sections.items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in content.items()]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
