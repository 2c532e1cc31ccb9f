"""The command line: loads little, says one thing on error, keeps its exit codes."""

import subprocess
import sys

import pytest

from nt2c import __version__
from nt2c.cli import app
from nt2c.core.errors import InputError, SettingsError

HEAVY = ("torch", "numpy", "matplotlib", "mrcfile", "gemmi", "tifffile", "accelerate")


@pytest.fixture
def command(monkeypatch):
    """Return a function that installs a body as the work of every command."""

    def install(body):
        monkeypatch.setattr("nt2c.cli.options.load", lambda place: body)

    return install


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from nt2c.cli.app import main; "
        "codes = [main(['--help']), main(['--version'])]; "
        f"print('loaded', codes, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded [0, 0] []"


def test_help_has_a_line_for_each_command(capsys):
    assert app.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, (_, summary) in app.COMMANDS.items():
        line = next(line for line in text.splitlines() if f" {name} " in line)
        assert summary in line


def test_version(capsys):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"nt2c {__version__}"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_each_command_has_a_function_and_help(name, capsys):
    assert app.main([name, "--help"]) == 0
    assert f"nt2c {name}" in capsys.readouterr().out


def test_unknown_command_is_usage_error_and_names_the_nearest(capsys):
    assert app.main(["deniose"]) == 2
    assert "denoise" in capsys.readouterr().err


def test_no_command_is_usage_error():
    assert app.main([]) == 2


def test_unknown_option_is_usage_error():
    assert app.main(["models", "--nonsense"]) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("the tile is too small; use 64 or more"), 2),
        (InputError("a.mrc is empty; copy it again"), 1),
        (KeyboardInterrupt(), 130),
        (PermissionError(13, "Permission denied", "/there/b.mrc"), 1),
    ],
)
def test_an_error_is_one_message_without_traceback(command, capsys, error, code):
    def body(given) -> None:
        raise error

    command(body)
    assert app.main(["denoise", "a.mrc", "-o", "out"]) == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) == 1
    expected = str(error.args[-1]) if error.args else "interrupted"
    assert expected in shown.err
    assert shown.out == ""


def test_a_command_that_goes_on_says_so_when_interrupted(command, capsys):
    def body(given) -> None:
        raise KeyboardInterrupt

    command(body)
    assert app.main(["fit", "a.mrc", "-o", "out"]) == 130
    assert "interrupted; the same command goes on from there" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(command):
    def body(given) -> None:
        raise ZeroDivisionError

    command(body)
    with pytest.raises(ZeroDivisionError):
        app.main(["denoise", "a.mrc", "-o", "out"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--device", "gpu"], "use auto, cpu or cuda"), (["-o", "."], "a folder; give the name")],
)
def test_training_refuses_wrong_usage_before_it_starts(tmp_path, capsys, arguments, words):
    output = str(tmp_path / "model.safetensors")
    assert app.main(["train", "recipes/general.toml", "-o", output, *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_what_a_command_returns_is_the_exit_code(command, returned, code):
    command(lambda given: returned)
    assert app.main(["denoise", "a.mrc", "-o", "out"]) == code
