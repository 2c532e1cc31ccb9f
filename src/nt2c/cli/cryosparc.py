"""The command `nt2c cryosparc`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.core.words import plural
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.pixel_size import check_pixel_size

if TYPE_CHECKING:
    from nt2c.hosts.cryosparc import Denoised
    from nt2c.inference.summary import FileResult

DEFAULTS = DenoiseSettings()


def cryosparc(
    project: Annotated[
        str | None, typer.Option(metavar="P1", help="Project; with --workspace and --job.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="W1", help="Workspace for the new external job.")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="J1", help="Job with raw exposures.")] = None,
    group: Annotated[
        str, typer.Option(metavar="NAME", help="The output of --job that holds them.")
    ] = "exposures",
    exposures: Annotated[
        Path | None,
        typer.Option(metavar="CS", help="Without a server: a .cs file; with --project-dir and -o."),
    ] = None,
    project_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that paths in --exposures start at.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Results of --exposures.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled model or a model file.")
    ] = "general",
    output_pixel_size: Annotated[
        float | None, typer.Option(metavar="A", help="Write at this sampling.")
    ] = DEFAULTS.output_pixel_size_a,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    float16: Annotated[bool, typer.Option("--float16", help="Half the size.")] = DEFAULTS.float16,
) -> int:
    """Denoise exposures of CryoSPARC; adds micrograph_blob_denoised to them.

    With --project, --workspace and --job as an external job, through cryosparc-tools (the extra
    `cryosparc` of nt2c), on a machine that sees the project's folder. Log in before with
    `python -m cryosparc.tools login`, or set CRYOSPARC_BASE_URL, CRYOSPARC_EMAIL and
    CRYOSPARC_PASSWORD. With --exposures from and to .cs files, without a server.
    """
    check_pixel_size("--output-pixel-size", output_pixel_size)
    settings = DenoiseSettings.parse(
        {"output_pixel_size_a": output_pixel_size, "float16": float16}, "cryosparc"
    )
    if exposures is not None:
        if project_dir is None or output is None or project or workspace or job:
            raise SettingsError("--exposures goes with --project-dir and -o, and without a server")
        done = _from_file(exposures, project_dir, output, model, settings, device)
    elif project and workspace and job:
        if project_dir or output:
            raise SettingsError("--project-dir and -o belong to --exposures; the job has a folder")
        done = _from_server(project, workspace, (job, group), model, settings, device)
    else:
        raise SettingsError("give --project, --workspace and --job; or --exposures")
    failed = [result for result in done.results if result.status == "failed"]
    say(f"{plural(len(done.rows), 'exposure')} denoised, {len(failed)} failed")
    say(EXTRACT_FROM_RAW)
    return 1 if failed else 0


def _from_file(
    path: Path, project_dir: Path, output: Path, model: str, settings: DenoiseSettings, device: str
) -> "Denoised":
    from nt2c.hosts.cryosparc import OUTPUT, write_group
    from nt2c.inference.plan import check_outputs
    from nt2c.io.cs import moved, read_cs, with_fields, write_cs

    table, new = read_cs(path), output / f"{OUTPUT}.cs"
    check_outputs([(new, path)], [path])
    done = _denoise(table, project_dir, output, model, settings, device, path)
    rows = moved(table[done.rows], project_dir, path.parent, output)
    written = with_fields(rows, done.fields)
    write_cs(new, written)
    group = write_group(new, written.dtype.names or (), len(written))
    say(f"dataset: {new}\nback to CryoSPARC: job Import Result Group with {group}")
    return done


def _from_server(
    project: str,
    workspace: str,
    source: tuple[str, str],
    model: str,
    settings: DenoiseSettings,
    device: str,
) -> "Denoised":
    from nt2c.hosts.cryosparc import run_external_job

    found = _client().find_project(project)
    kept: list[Denoised] = []

    def work(exposures: Any, folder: Path) -> "Denoised":
        kept.append(_denoise(exposures, Path(str(found.dir)), folder, model, settings, device))
        return kept[0]

    uid = run_external_job(found, workspace, source, work)
    say(f"job: {project} {uid}")
    return kept[0]


def _denoise(
    exposures: Any,
    project_dir: Path,
    folder: Path,
    model: str,
    settings: DenoiseSettings,
    device: str,
    dataset: Path | None = None,
) -> "Denoised":
    from nt2c.hosts.cryosparc import denoise_exposures
    from nt2c.inference.denoiser import load_model

    def show(result: "FileResult") -> None:
        (warn if result.message else say)(f"{result.input}: {result.message or result.status}")
        for warning in result.warnings:
            say(f"warning: {result.input}: {warning}")

    return denoise_exposures(
        exposures,
        project_dir,
        folder,
        load_model(model),
        settings,
        device=device,
        dataset=dataset,
        on_result=show,
    )


def _client() -> Any:
    try:
        from cryosparc.tools import CryoSPARC
    except ImportError:
        raise SettingsError(
            'cryosparc-tools is not installed: pip install "nt2c[cryosparc]"'
        ) from None
    try:
        return CryoSPARC()
    except Exception as error:
        raise SettingsError(
            f"cannot reach CryoSPARC ({error}); log in with `python -m cryosparc.tools login`, or "
            "set CRYOSPARC_BASE_URL, CRYOSPARC_EMAIL and CRYOSPARC_PASSWORD"
        ) from None
