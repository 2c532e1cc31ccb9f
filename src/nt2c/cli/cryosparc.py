"""The command `nt2c cryosparc`."""

from pathlib import Path
from typing import Any

from nt2c.batch.plan import check_outputs
from nt2c.cli.batch import tell
from nt2c.cli.commands import Cryosparc
from nt2c.cli.terminal import say
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.errors import SettingsError
from nt2c.core.words import plural
from nt2c.denoising.denoiser import load_model
from nt2c.hosts.cryosparc import (
    OUTPUT,
    Denoised,
    denoise_exposures,
    run_external_job,
    write_group,
)
from nt2c.io.cs import moved, read_cs, with_fields, write_cs


def cryosparc(given: Cryosparc) -> int:
    """Denoise exposures from a file or of a server."""
    done = _from_server(given) if given.exposures is None else _from_file(given, given.exposures)
    failed = [result for result in done.results if result.status == "failed"]
    say(f"{plural(len(done.rows), 'exposure')} denoised, {len(failed)} failed")
    say(EXTRACT_FROM_RAW)
    return 1 if failed else 0


def _from_file(given: Cryosparc, path: Path) -> Denoised:
    assert given.project_dir is not None
    assert given.output is not None
    table, new = read_cs(path), given.output / f"{OUTPUT}.cs"
    check_outputs([(new, path)], [path])
    done = _denoise(given, table, given.project_dir, given.output)
    rows = moved(table[done.rows], given.project_dir, path.parent, given.output)
    written = with_fields(rows, done.fields)
    write_cs(new, written)
    group = write_group(new, written.dtype.names or (), len(written))
    say(f"dataset: {new}\nback to CryoSPARC: job Import Result Group with {group}")
    return done


def _from_server(given: Cryosparc) -> Denoised:
    assert given.workspace is not None
    assert given.job is not None
    project = _client().find_project(given.project)
    kept: list[Denoised] = []

    def work(exposures: Any, folder: Path) -> Denoised:
        kept.append(_denoise(given, exposures, Path(str(project.dir)), folder))
        return kept[0]

    uid = run_external_job(project, given.workspace, (given.job, given.group), work)
    say(f"job: {given.project} {uid}")
    return kept[0]


def _denoise(given: Cryosparc, exposures: Any, project_dir: Path, folder: Path) -> Denoised:
    return denoise_exposures(
        exposures,
        project_dir,
        folder,
        load_model(given.model),
        given.settings,
        given.batch,
        dataset=given.exposures,
        on_result=tell,
    )


def _client() -> Any:
    try:
        from cryosparc.tools import CryoSPARC  # an extra
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
