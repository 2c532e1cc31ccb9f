"""Advice names options that are there, in the command that gives it."""

import ast
import re
from pathlib import Path

import pytest
import typer

import nt2c
from nt2c.cli import app
from nt2c.core.advice import GIVE_PIXEL_SIZE
from tests.batch.make import noise
from tests.io.make import write_mrc

SOURCE = Path(nt2c.__file__).parent
FOREIGN = {"--rescale_angpix", "--qos", "--constraint"}  # of relion_image_handler and sbatch
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")


def options() -> dict[str, set[str]]:
    """Return the options of each command."""
    return {
        name: {
            option
            for parameter in typer.main.get_command(app.build_app([name])).commands[name].params
            for option in parameter.opts
        }
        for name in app.COMMANDS
    }


def messages() -> dict[str, str]:
    """Return all texts in the package but the help of commands and scripts, and where they are."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name == "cli" or path.name == "slurm.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found[f"{path.relative_to(SOURCE)}:{node.lineno}"] = node.value
    return found


def test_every_option_in_a_message_exists():
    known = options()
    all_options = set().union(*known.values())
    for place, text in messages().items():
        assert set(OPTION.findall(text)) <= all_options | FOREIGN, place
        for command, option in re.findall(r"nt2c ([a-z-]+) (--[a-z][\w-]+)", text):
            assert option in known[command], place
        for option, command in re.findall(r"(--[a-z][\w-]+) of nt2c ([a-z-]+)", text):
            assert option in known[command], place


def test_wrong_settings_are_told_by_their_names_not_by_options():
    """Who calls the library from Python has given no options; the command line says them."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and "SettingsError" in ast.unparse(node):
                assert not OPTION.findall(ast.unparse(node)), f"{path}:{node.lineno}"


def test_an_unknown_pixel_size_says_how_to_give_it_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_mrc(tmp_path / "a.mrc", noise(), 0.0)
    (tmp_path / "a.star").write_text("data_\n\nloop_\n_rlnMicrographName #1\na.mrc\n")
    for words in (
        ["denoise", "a.mrc", "-o", "out", "--device", "cpu"],
        ["relion", "--in_mics", "a.star", "--o", "job/", "--device", "cpu"],
    ):
        assert app.main(words) == 1
        shown = capsys.readouterr().err
        assert "a.mrc: the pixel size is not known" in shown
        assert GIVE_PIXEL_SIZE in shown
        assert "--pixel-size" in options()[words[0]]  # RELION may write it with an underscore
    with pytest.raises(nt2c.InputError, match="pixel_size_a in Python"):
        nt2c.open_micrograph(tmp_path / "a.mrc")
