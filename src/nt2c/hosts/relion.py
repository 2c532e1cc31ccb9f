"""A job of RELION: its folder, its lists of micrographs, and how it tells RELION that it ended.

RELION starts an external job in the project folder with a folder of its own, and learns of its end
from an empty file there (see `relion_end`). What the job made stands in RELION_OUTPUT_NODES.star.
Facts are those of RELION 5; its 3.1 and 4 read the same files.
"""

import os
from collections.abc import Callable
from pathlib import Path

from nt2c.batch.run import denoise_files
from nt2c.batch.stopping import Stop
from nt2c.batch.summary import FileResult
from nt2c.core.errors import InputError
from nt2c.core.words import plural
from nt2c.denoising.settings import BatchOptions, DenoiseSettings
from nt2c.hosts.relion_end import JobAborted
from nt2c.io.inputs import find_inputs
from nt2c.io.picks_written import AUTOPICK, SELECTED
from nt2c.io.star_outputs import write_outputs_star
from nt2c.io.star_text import STAR_HEADER, star_loop, write_star_text
from nt2c.models.denoiser import DenoiserModel

MICROGRAPHS = "micrographs.star"
RAW_MICROGRAPHS = "micrographs_raw.star"
LOGFILE = "logfile.pdf"
NODES = "RELION_OUTPUT_NODES.star"

_TYPES = {
    MICROGRAPHS: "MicrographGroupMetadata.star.relion",
    RAW_MICROGRAPHS: "MicrographGroupMetadata.star.relion",
    AUTOPICK: "MicrographCoordsGroup.star.relion.autopick",
    SELECTED: "MicrographGroupMetadata.star.relion",
    LOGFILE: "LogFile.pdf.relion",
}


def denoise_listed(
    star: Path,
    folder: Path,
    model: DenoiserModel,
    settings: DenoiseSettings,
    options: BatchOptions,
    stop: Stop,
    *,
    on_result: Callable[[FileResult], None],
    poll: Callable[[], None],
) -> list[FileResult]:
    """Denoise the micrographs of a STAR file into the folder of a job; do not repeat what is done.

    Parameters
    ----------
    star : Path
        List of micrographs, relative to the project folder.
    folder : Path
        Of the job. Names are those in the list, without "JobType/jobNNN/".
    model, settings, options, stop
        As for `denoise_files`.
    on_result : callable
        Called with each result.
    poll : callable
        From `relion_job`.

    Returns
    -------
    list of FileResult
        For each micrograph, in order.

    Raises
    ------
    JobAborted
        RELION asked the job to stop; what is done is kept.
    InputError
        The STAR file cannot be used, or no micrograph could be denoised.
    SettingsError
        As for `denoise_files`.
    """

    def watch(result: FileResult) -> None:
        on_result(result)
        try:
            poll()
        except JobAborted:  # in good order: what is in work is written, and the summary, too
            stop.request()

    inputs = find_inputs([star])
    options = options.replace(stars=(star,))
    summary = denoise_files(inputs, folder, model, settings, options, stop=stop, on_result=watch)
    poll()
    results = list(summary.results)
    if not any(map(is_there, results)):
        raise InputError(
            f"{star}: none of its {plural(len(results), 'micrograph')} could be denoised; "
            f"the first: {results[0].message}"
        )
    return results


def is_there(result: FileResult) -> bool:
    """Whether a micrograph is denoised, now or before."""
    return result.status in ("done", "skipped")


def write_lists(
    star: Path, folder: Path, results: list[FileResult], pixel_size_a: float | None
) -> None:
    """Write the lists of denoised micrographs and of the raw ones that they were made from.

    Both are copies of the given list, byte for byte, without the rows of micrographs that are not
    denoised. In `micrographs.star` rlnMicrographName is the denoised file, and the pixel size that
    of the user where there is one; `micrographs_raw.star` is the list to extract from.

    Parameters
    ----------
    star : Path
        List of micrographs that the job was given.
    folder : Path
        Of the job, as RELION gave it: relative to the project folder.
    results : list of FileResult
        From `denoise_listed`.
    pixel_size_a : float or None
        The user's, angstrom.

    Raises
    ------
    InputError
        The list cannot be read any more.
    """
    outputs = {
        Path(os.path.abspath(result.input)): (result.output, pixel_size_a)
        for result in results
        if is_there(result)
    }
    write_outputs_star(folder / MICROGRAPHS, star, outputs, folder / RAW_MICROGRAPHS)


def write_nodes(folder: Path) -> None:
    """Tell RELION which files of the folder later jobs can take as input."""
    nodes = {name: label for name, label in _TYPES.items() if (folder / name).exists()}
    rows = [((folder / name).as_posix(), label) for name, label in nodes.items()]
    columns = ["rlnPipeLineNodeName", "rlnPipeLineNodeTypeLabel"]
    text = "\n" + STAR_HEADER + star_loop("output_nodes", columns, rows) + "\n"
    write_star_text(folder / NODES, text)
