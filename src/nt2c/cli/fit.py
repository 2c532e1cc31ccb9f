"""The command `nt2c fit`: a model of one's own, from one's own micrographs."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from nt2c.cli.devices import check_training_device
from nt2c.cli.terminal import say, warn
from nt2c.core.errors import SettingsError
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.pipeline.fit import FitResult
    from nt2c.pipeline.job import FitJob


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Raw micrographs: files, folders, patterns in quotes, or a micrographs.star.",
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
]
RecipeOption = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="quick, fit, paper, or a recipe of your own (TOML)."),
]
PixelSize = Annotated[
    float | None,
    typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
]
Structures = Annotated[
    list[Path] | None,
    typer.Option(
        help="Your particle, among the ones to learn: mmCIF or PDB or an MRC map, also .gz; repeat "
        "for several.",
        show_default="random assemblies of random size and symmetry",
    ),
]
Coarse = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="Model that finds the noise and is trained further."),
]
Noise = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="What stands for the noise: wgan, coloured, bootstrap or white.",
        show_default="that of the recipe",
    ),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Masks with the names of the micrographs: no noise is taken where not 0.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Of all that is drawn.", show_default="that of the recipe"),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Wall time that the fit shall take, such as 10m, in place of the recipe's steps.",
    ),
]


def fit(
    inputs: Inputs,
    output: Output,
    recipe: RecipeOption = "fit",
    pixel_size: PixelSize = None,
    structure: Structures = None,
    model: Coarse = "general",
    noise: Noise = None,
    mask: Masks = None,
    device: Device = "auto",
    seed: Seed = None,
    time: Time = None,
) -> int:
    """Make a model from your own micrographs: their noise is learned and transferred.

    Finds particle-free windows, learns their noise, measures the contrast of the particles, and
    trains a denoiser on simulated particles of that contrast in that noise, and on the micrographs
    themselves: DIR/model.safetensors.
    No movies, halves or truth are needed. The same command again does only what is missing, and
    goes on where it was stopped. Started by torchrun, several processes train together.
    """
    from nt2c.cli.watch import ConsoleWatch
    from nt2c.pipeline.fit import fit as fit_model
    from nt2c.pipeline.stages import locked
    from nt2c.training.processes import join

    job = plan(inputs, output, recipe, pixel_size, structure, model, noise, mask, device, seed)
    job = within(time, job)
    first = join(device).first
    with locked(output) if first else nullcontext(), ConsoleWatch(quiet=not first) as watch:
        result = fit_model(job, watch)
    if not first:
        return 0
    say(f"\nmodel: {result.model}")
    say(f"use it: nt2c denoise {' '.join(inputs)} -o denoised --model {result.model}")
    return complain(result)


def plan(
    inputs: list[str],
    output: Path,
    recipe: str,
    pixel_size: float | None,
    structures: list[Path] | None,
    model: str,
    noise: str | None,
    mask: Path | None,
    device: str,
    seed: int | None,
) -> "FitJob":
    """Turn options into a job, and refuse what cannot be done before anything is done."""
    from nt2c.inference.denoiser import load_model
    from nt2c.io.inputs import find_inputs
    from nt2c.io.star import read_optics_star
    from nt2c.pipeline.job import FitJob
    from nt2c.pipeline.settings import NoiseKind, read_fit_recipe

    check_pixel_size("--pixel-size", pixel_size)
    check_training_device(device)
    if noise is not None and noise not in get_args(NoiseKind):
        raise SettingsError(f"--noise {noise}: use one of {', '.join(get_args(NoiseKind))}")
    if mask is not None and not mask.is_dir():
        raise SettingsError(f"--mask {mask}: not a folder; give one with a mask per micrograph")
    for path in structures or ():
        if not path.is_file():
            raise SettingsError(f"--structure {path}: no such file; check the path")
    chosen = read_fit_recipe(recipe)
    notes: list[str] = []
    found = tuple(find_inputs(inputs))
    stars = [path for path in inputs if path.lower().endswith(".star")]
    if len(stars) == 1:
        optics = read_optics_star(stars[0])
        chosen = chosen.imaged_as(optics, stars[0])
        notes += [f"{stars[0]}: {optics.left_out}"] if optics.left_out else []
    if noise is not None:
        chosen = chosen.replace(noise=noise)
    if seed is not None:
        chosen = chosen.replace(seed=seed)
    return FitJob(
        inputs=found,
        folder=output,
        recipe=chosen,
        coarse=load_model(model),
        pixel_size_a=pixel_size,
        structures=tuple(structures or ()),
        masks=mask,
        device=device,
        notes=tuple(notes),
    )


def within(time: str | None, job: "FitJob") -> "FitJob":
    """Give a job a wall time, if any."""
    from dataclasses import replace

    from nt2c.pipeline.budget import seconds_of

    return job if time is None else replace(job, time_s=seconds_of(time))


def complain(result: "FitResult") -> int:
    """Name the inputs that could not be used; return the exit code."""
    for message in result.failed:
        warn(f"nt2c: {message}")
    return 1 if result.failed else 0
