"""The command `nt2c`: loads only the command asked for and turns errors into exit codes.

Exit codes: 0 all done; 1 some inputs failed; 2 wrong usage or settings; 130 or 143 stopped.
"""

import errno
import functools
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from nt2c.cli.terminal import say, warn
from nt2c.core.errors import Nt2cError, SettingsError
from nt2c.core.version import __version__

COMMANDS = {
    "denoise": ("nt2c.cli.denoise:denoise", "Denoise micrographs with a model."),
    "slurm": ("nt2c.cli.slurm:slurm", "Denoise on a Slurm cluster."),
    "merge": ("nt2c.cli.merge:merge", "Join the accounts of shards."),
    "simulate": ("nt2c.cli.simulate:simulate", "Simulate micrographs together with their truth."),
    "extract-noise": ("nt2c.cli.extract_noise:extract_noise", "Find windows without particles."),
    "train": ("nt2c.cli.train:train", "Train a model from a recipe."),
    "fit": ("nt2c.cli.fit:fit", "Make a model from your own micrographs."),
    "run": ("nt2c.cli.run:run", "Fit a model, denoise with it, measure, write a page."),
    "train-noise": ("nt2c.cli.train_noise:train_noise", "Learn the noise of micrographs."),
    "sample-noise": ("nt2c.cli.sample_noise:sample_noise", "Draw noise from a sampler."),
    "relion": ("nt2c.cli.relion:relion", "Denoise or fit as an external job of RELION."),
    "cryosparc": ("nt2c.cli.cryosparc:cryosparc", "Denoise exposures of CryoSPARC."),
    "picks-to-raw": ("nt2c.cli.picks:picks_to_raw", "Make picks fit the raw micrographs."),
    "sum-frames": ("nt2c.cli.sum_frames:sum_frames", "Sum movies whose frames are aligned."),
    "evaluate": ("nt2c.cli.evaluate:evaluate", "Measure how good denoised micrographs are."),
    "report": ("nt2c.cli.report:report", "Show and judge denoised micrographs on one page."),
    "models": ("nt2c.cli.models:models", "List the bundled models."),
    "info": ("nt2c.cli.models:info", "Show what a model file holds and was trained on."),
    "demo": ("nt2c.cli.demo:demo", "Simulate, denoise and score a few micrographs; write a page."),
}
"""Name of each command: where its function is, and its line in `nt2c --help`."""

_RESUMED = {"fit", "run", "train", "train_noise"}
"""Functions of commands that go on where they were interrupted."""

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

    Only the named command's module is imported, so `nt2c --help` does not wait for torch.
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
    for name, (place, summary) in COMMANDS.items():
        function = _load(place) if name == wanted else _root
        options = _relion_options() if name == wanted == "relion" else {}
        settings = {"ignore_unknown_options": name in PASSES_ON}
        app.command(name, short_help=summary, context_settings=settings, **options)(
            _with_exit_codes(function)
        )
    return app


def _load(place: str) -> Callable[..., Any]:
    module, _, function = place.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


def _relion_options() -> dict[str, Any]:
    from nt2c.cli.relion_words import RelionCommand

    return {"cls": RelionCommand}


def _with_exit_codes(function: Callable[..., Any]) -> Callable[..., None]:
    """Wrap a command: an int that it returns is the exit code, an error of ours one message."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except Nt2cError as error:
            warn(f"nt2c: {error}")
            code = 2 if isinstance(error, SettingsError) else 1
        except OSError as error:
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            warn(f"nt2c: {error.filename}: {error.strerror}")
            code = 1
        except KeyboardInterrupt:
            goes_on = "; the same command goes on from there"
            warn("nt2c: interrupted" + (goes_on if function.__name__ in _RESUMED else ""))
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
