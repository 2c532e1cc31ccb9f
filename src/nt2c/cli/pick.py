"""The command `nt2c pick`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.core.words import plural
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.pipeline.pick import PickSummary


def pick(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Raw micrographs, folders, or a micrographs.star."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    diameter: Annotated[
        list[float],
        typer.Option(metavar="A", help="Diameter of the particles in angstrom; twice for a range."),
    ],
    fdr: Annotated[
        float, typer.Option(metavar="SHARE", help="Greatest share of noise among the picks.")
    ] = 0.05,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A bundled model or a model file.")
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Model and noise of a fit: the folder of nt2c fit or run."
        ),
    ] = None,
    denoised: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What nt2c denoise made of them with the same model."),
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Write DIR/masks: 1 where nothing is to be picked.")
    ] = False,
    significance: Annotated[
        bool,
        typer.Option("--significance", help="Write DIR/significance: -log10 p of noise, by pixel."),
    ] = False,
    spacing: Annotated[
        float, typer.Option(metavar="D", help="Least distance of two picks, in diameters.")
    ] = 0.75,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
    ] = None,
    fields: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Fields of noise per micrograph, instead of auto."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> int:
    """Pick particles so that a known share of the picks is noise.

    Denoises the micrographs and, in the same way, noise like theirs; what is found in the noise
    tells how many picks are noise. Writes lists for RELION, CryoSPARC, EMAN, crYOLO and topaz, in
    pixels of the raw micrographs. The same command again does only what is missing.
    """
    check_pixel_size("--pixel-size", pixel_size)
    if fit is not None and model is not None:
        raise SettingsError("--model: not together with --fit, which has its own")

    from nt2c.inference.denoiser import load_model
    from nt2c.io.inputs import find_inputs
    from nt2c.pipeline.pick import PickSettings, fit_files, pick_files
    from nt2c.training.sampler_files import load_sampler

    settings = PickSettings.parse(
        {
            "diameter_a": tuple(diameter),
            "fdr": fdr,
            "spacing": spacing,
            "fields": fields,
            "pixel_size_a": pixel_size,
        },
        "pick",
    )
    own_model, sampler_file = fit_files(fit) if fit else (None, None)
    loaded = load_model(own_model or model or "general")
    found = find_inputs(inputs)
    count = 0

    def show(path: Path, reason: str) -> None:
        nonlocal count
        count += 1
        say(f"[{count}/{len(found)}] {path}: {'failed' if reason else 'looked at'}")

    summary = pick_files(
        found,
        output,
        loaded,
        settings,
        denoised=denoised,
        sampler=load_sampler(sampler_file, loaded.pixel_size_a) if sampler_file else None,
        masks=masks,
        significance=significance,
        device=device,
        stars=[Path(name) for name in inputs if name.lower().endswith(".star")],
        on_file=show,
    )
    for reason in summary.failed:
        warn(f"failed: {reason}")
    for line in told(summary):
        say(line)
    say(f"results are in {output}")
    return 1 if summary.failed else 0


def told(summary: "PickSummary") -> list[str]:
    """What was picked, in plain words."""
    count, rate = len(summary.micrographs), summary.settings["fdr"]
    if not summary.picks:
        return [
            f"no pick: in {plural(count, 'micrograph')} nothing stands out of the noise at a share "
            f"of noise of {rate:g}; look whether there are particles of this diameter"
        ]
    low, high = (100 * share for share in summary.share_95)
    lines = [
        f"{plural(summary.picks, 'pick')} in {plural(count, 'micrograph')}, "
        f"{summary.picks / count:.1f} per micrograph",
        f"expected noise picks: {summary.expected_noise_picks:.1f} "
        f"({100 * summary.expected_noise_picks / summary.picks:.1f} %; 95 % of {low:.1f} to "
        f"{high:.1f} %), from {plural(summary.noise_fields, 'field')} of noise",
        "dirt, ice crystals and film are not noise: they are not counted there",
    ]
    rest = count - summary.selected
    if rest:
        lines.append(f"{plural(rest, 'micrograph')} not selected; reasons are in summary.json")
    return [*lines, EXTRACT_FROM_RAW]
