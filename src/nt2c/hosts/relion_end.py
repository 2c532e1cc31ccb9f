"""How a job tells RELION that it ended, and RELION the job that it shall end: by empty files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nt2c.core.errors import Nt2cError

SUCCESS = "RELION_JOB_EXIT_SUCCESS"
FAILURE = "RELION_JOB_EXIT_FAILURE"
ABORTED = "RELION_JOB_EXIT_ABORTED"
ABORT_NOW = "RELION_JOB_ABORT_NOW"


class JobAborted(Nt2cError):
    """RELION asked the job to stop."""


@contextmanager
def relion_job(folder: Path) -> Iterator[Callable[[], None]]:
    """Keep the folder of a job while the block runs, and leave the file that tells how it ended.

    Parameters
    ----------
    folder : Path
        As RELION gave it; made when missing. Files of an earlier run of the job stay, but for
        those that tell how it ended.

    Yields
    ------
    callable
        To be called now and then: raises `JobAborted` when RELION asks the job to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _forget_end(folder)

    def poll() -> None:
        if (folder / ABORT_NOW).exists():
            raise JobAborted("stopped, as RELION asked; Continue does the rest")

    try:
        yield poll
    except (JobAborted, KeyboardInterrupt):
        (folder / ABORT_NOW).unlink(missing_ok=True)
        (folder / ABORTED).touch()
        raise
    except BaseException:
        (folder / FAILURE).touch()
        raise
    (folder / SUCCESS).touch()


def tell_failure(folder: Path) -> None:
    """Tell RELION that a job failed which could not even begin."""
    folder.mkdir(parents=True, exist_ok=True)
    _forget_end(folder)
    (folder / FAILURE).touch()


def _forget_end(folder: Path) -> None:
    """Remove what tells how an earlier run ended, or asked it to stop."""
    for name in (SUCCESS, FAILURE, ABORTED, ABORT_NOW):
        (folder / name).unlink(missing_ok=True)
