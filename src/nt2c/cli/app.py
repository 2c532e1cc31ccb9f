"""The command `nt2c`: loads only the command asked for and turns errors into exit codes.

Exit codes: 0 all done; 1 some inputs failed; 2 wrong usage or settings; 130 or 143 stopped.
"""

import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.errors import Nt2cError, SettingsError
from nt2c.core.version import __version__

if TYPE_CHECKING:
    from nt2c.cli.options import Command

COMMANDS = {
    "denoise": ("Denoise", "Denoise micrographs with a model."),
    "slurm": ("Slurm", "Denoise on a Slurm cluster."),
    "merge": ("Merge", "Join the accounts of shards."),
    "simulate": ("Simulate", "Simulate micrographs together with their truth."),
    "extract-noise": ("ExtractNoise", "Find windows without particles."),
    "train": ("Train", "Train a model from a recipe."),
    "fit": ("Fit", "Make a model from your own micrographs."),
    "run": ("Run", "Fit a model, denoise with it, measure, write a page."),
    "train-noise": ("TrainNoise", "Learn the noise of micrographs."),
    "sample-noise": ("SampleNoise", "Draw noise from a sampler."),
    "relion": ("Relion", "Denoise or fit as an external job of RELION."),
    "cryosparc": ("Cryosparc", "Denoise exposures of CryoSPARC."),
    "pick": ("Pick", "Pick particles at a known share of noise picks."),
    "picks-to-raw": ("PicksToRaw", "Make picks fit the raw micrographs."),
    "sum-frames": ("SumFrames", "Sum movies whose frames are aligned."),
    "evaluate": ("Evaluate", "Measure how good denoised micrographs are."),
    "report": ("Report", "Show and judge denoised micrographs on one page."),
    "models": ("Models", "List the bundled models."),
    "info": ("Info", "Show what a model file holds and was trained on."),
    "demo": ("Demo", "Simulate, denoise and score a few micrographs; write a page."),
}
"""Name of each command: its class in `commands`, and its line in `nt2c --help`."""

PASSES_ON = {"slurm"}
"""Commands that hand options they do not know to another."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows `nt2c`; that of the process when not given.
    """
    # Threads that wait in a loop for each other take the processors from those they wait for; must
    # be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no name is too strange to be said
    code = 0
    try:
        build_app(words)(args=words, prog_name="nt2c")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except OSError as error:
        if error.errno is None:
            raise
        warn(f"nt2c: cannot go on: {error.strerror}")
        code = 1
    return _flushed(code)


def _flushed(code: int) -> int:
    """Return the exit code; 1 where what was said got lost, on a full disk or in a closed pipe."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            warn(f"nt2c: the output is not complete: {error.strerror}")
        # Or Python tries again when it ends, and says so at length.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or 1
    return code


def build_app(words: Sequence[str]) -> typer.Typer:
    """Return the application with the command named in `words` loaded and all others as names.

    What computes is imported when the options are sound, so no help waits for torch.
    """
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    wanted = next((word for word in words if not word.startswith("-")), None)
    for name, (class_name, summary) in COMMANDS.items():
        settings = {"ignore_unknown_options": name in PASSES_ON}
        add = functools.partial(app.command, name, short_help=summary, context_settings=settings)
        if name == wanted:
            from nt2c.cli import commands, options

            wanted_class = getattr(commands, class_name)
            function = _with_exit_codes(options.command_of(wanted_class), wanted_class)
            add(cls=wanted_class.parser)(function)
        else:
            add()(_root)
    return app


def _with_exit_codes(
    function: Callable[..., int | None], settings: "type[Command]"
) -> Callable[..., None]:
    """Wrap a command: an int that it returns is the exit code, an error of ours one message."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except Nt2cError as error:
            warn(f"nt2c: {settings.in_words_of_options(str(error))}")
            code = 2 if isinstance(error, SettingsError) else 1
        except OSError as error:
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            warn(f"nt2c: {error.filename}: {error.strerror}")
            code = 1
        except KeyboardInterrupt:
            goes_on = "; the same command goes on from there"
            warn("nt2c: interrupted" + (goes_on if settings.resumes else ""))
            code = 130
        if code:
            raise typer.Exit(code)

    return command


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"nt2c {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """Denoise cryo-EM micrographs.

    Pick on denoised micrographs; extract particles from the raw ones.
    """
