"""Options come from settings: each written once, sound before anything that computes is loaded."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

import nt2c
from nt2c.cli import app, commands
from nt2c.cli.options import Command, Part, load, options_of
from nt2c.core.errors import SettingsError
from nt2c.core.options import PixelSizeA
from nt2c.core.settings import Settings

SOURCE = Path(nt2c.__file__).parent
MOST_PARAMETERS = 8
ANYTHING = re.compile(r"(dict|Mapping)\[str, Any\]")
OF_ANY_CONTENT = {
    "cli/commands.py",  # options by name, before they are settings
    "cli/options.py",
    "core/settings.py",  # what a file of settings holds, before it is checked
    "io/records.py",  # JSON
    "io/weights.py",  # the header of a file of weights, JSON
    "napari/files.py",  # napari's own layers
}
HEADERS = {
    "models/denoiser.py: DenoiserModel.from_tensors",
    "models/denoiser.py: DenoiserModel.metadata",
    "models/synthesizer.py: NoiseSynthesizer.__init__",
    "models/synthesizer.py: NoiseSynthesizer.from_tensors",
    "noise/own.py: OwnNoise.from_tensors",
    "noise/samplers.py: BootstrapNoise.from_tensors",
    "noise/samplers.py: ColouredNoise.from_tensors",
    "noise/samplers.py: FittedNoise.from_tensors",
    "noise/samplers.py: WhiteNoise.from_tensors",
    "training/sampler_files.py: SAMPLERS",
}
"""What hands on the header of a file of weights as it is."""
HEAVY = ("torch", "numpy", "scipy", "matplotlib", "accelerate", "mrcfile", "gemmi", "tifffile")
WRONG = {
    "denoise": "a.mrc -o out --pixel-size 99",
    "slurm": "a.mrc -o out",
    "merge": "",
    "simulate": "-o out --snr -1",
    "extract-noise": "a.mrc -o out --device tpu",
    "train": "recipe.toml -o out --device cuda:all",
    "fit": "a.mrc -o out --noise pink",
    "run": "a.mrc -o out --independent nowhere",
    "train-noise": "windows -o out --kind white --steps 3",
    "sample-noise": "sampler -o out.mrc",
    "relion": "train --o job --in_mics a.star",
    "cryosparc": "--exposures a.cs",
    "pick": "a.mrc -o out --fit nowhere",
    "picks-to-raw": "a.star --raw raw -o out --scale 0",
    "sum-frames": "a.mrcs -o out --pixel-size nan",
    "evaluate": "denoised --halves-in raw --diameter 100",
    "report": "--nonsense",
    "models": "--nonsense",
    "info": "",
    "demo": "--seed -1",
}
COMMANDS = {name: getattr(commands, place) for name, (place, _) in app.COMMANDS.items()}


def test_help_and_wrong_options_load_nothing_that_computes(tmp_path):
    """For all commands in one process: what one imports the next must not need either."""
    assert set(WRONG) == set(app.COMMANDS)
    code = (
        "import json, sys; from nt2c.cli.app import main\n"
        "for name, words in json.loads(sys.argv[1]).items():\n"
        "    codes = main([name, '--help']), main([name, *words.split()])\n"
        f"    loaded = [module for module in {HEAVY!r} if module in sys.modules]\n"
        "    assert (codes, loaded) == ((0, 2), []), (name, codes, loaded)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(WRONG)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_work_of_a_command_takes_its_settings(name):
    (parameter,) = inspect.signature(load(COMMANDS[name].work)).parameters.values()
    assert parameter.annotation is COMMANDS[name]


def test_an_option_is_written_once():
    """Fields of one name have one help, but where a command means something else by it."""
    texts = defaultdict(lambda: defaultdict(set))
    for name, command in COMMANDS.items():
        for option in options_of(command):
            texts[option.flag][option.field.description].add((name, repr(option.field.default)))
    for flag, helps in texts.items():
        for uses in helps.values():
            assert len({default for _, default in uses}) == 1, flag


def public(body, prefix=""):
    """Yield the name and the annotations of what a module or class shows to others."""
    for node in body:
        match node:
            case ast.ClassDef() if not node.name.startswith("_"):
                yield from public(node.body, f"{prefix}{node.name}.")
            case ast.FunctionDef() if not node.name.startswith("_") or node.name == "__init__":
                every = node.args
                arguments = (*every.posonlyargs, *every.args, *every.kwonlyargs)
                notes = [one.annotation for one in arguments] + [node.returns]
                yield prefix + node.name, notes
            case ast.AnnAssign() if not ast.unparse(node.target).startswith("_"):
                yield prefix + ast.unparse(node.target), [node.annotation]
            case ast.Assign() if prefix == "" and not ast.unparse(node.targets[0]).startswith("_"):
                yield ast.unparse(node.targets[0]), [node.value]


def test_rooms_hand_each_other_records_and_no_dictionaries_of_anything():
    untyped = set()
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).as_posix()
        for name, notes in public(ast.parse(path.read_text()).body):
            text = " ".join(ast.unparse(note) for note in notes if note is not None)
            if ANYTHING.search(text) and module not in OF_ANY_CONTENT:
                untyped.add(f"{module}: {name}")
    assert untyped == HEADERS


def test_no_function_takes_more_parameters_than_settings_would():
    many = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                every = node.args
                names = [one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)]
                count = len([name for name in names if name not in ("self", "cls")])
                if count > MOST_PARAMETERS:
                    many.add(f"{path.relative_to(SOURCE)}: {node.name}")
    assert not many


class Inner(Settings):
    size_a: PixelSizeA | None = Field(None, description="Size.")
    kind: Literal["one", "two"] = Field("one", description="Which.")
    secret: int = 3


class Outer(Command):
    """What it does."""

    work: ClassVar = "tests.cli.test_options:kept"
    arguments: ClassVar = ("names",)
    flags: ClassVar = {"count": "--how_many"}

    names: list[str] = Field(description="Names.")
    output: Path = Field(title="DIR", description="Where.")
    inner: Annotated[Inner, Part(("size_a", "kind"), "so: ")] = Inner()
    count: int = Field(1, ge=1, description="How many.")
    sizes: tuple[Path, ...] = Field((), description="Several.")
    wide: bool = Field(False, description="Whether.")


def test_settings_are_made_of_words():
    words = "a b -o out --size 2.5 --kind two --how_many 3 --sizes x --sizes y --wide".split()
    assert Outer.of_words(words, "outer") == Outer(
        names=["a", "b"],
        output=Path("out"),
        inner=Inner(size_a=2.5, kind="two"),
        count=3,
        sizes=(Path("x"), Path("y")),
        wide=True,
    )
    assert Outer.of_words("a -o out".split(), "outer") == Outer(names=["a"], output=Path("out"))
    options = {option.name: option for option in options_of(Outer)}
    assert "secret" not in options
    shown = options["size_a"].parameter(positional=False).default
    assert (shown.help, shown.metavar) == ("so: size.", "A")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size 99", "--size 99: must be between 0.1 and 15 angstrom per pixel, such as 1.06"),
        ("--size nan", "--size nan: must be between"),
        ("--kind three", "--kind three: use one or two"),
    ],
)
def test_a_wrong_value_is_named_by_its_option(words, message):
    with pytest.raises(SettingsError, match=f"^{message}"):
        Outer.of_words(["a", "-o", "out", *words.split()], "outer")


def test_messages_of_the_library_are_told_in_options():
    told = Outer.in_words_of_options("'size_a' and 'count' are not 'secret'")
    assert told == "--size and --how_many are not 'secret'"


def test_an_option_that_reads_words_itself_gets_them():
    words = ["raw", "-o", "out", "--time", "10m"]
    assert commands.Fit.of_words(words, "fit").options.time_s == 600


def test_help_is_in_words(capsys):
    """Names, what they are for and their defaults; no types, no braces of the parser."""
    said = {}
    for name in app.COMMANDS:
        assert app.main([name, "--help"]) == 0
        said[name] = capsys.readouterr().out
    for name, text in said.items():
        assert not re.search(r"<\w|[{}]|list\[|str\b|Path\b|>=|default: (None|\]|\()", text), name
        assert re.search(r"  -h, --help  +Show", text), name
    assert "Usage: nt2c denoise [OPTIONS] INPUT...\n" in said["denoise"]
    assert "Usage: nt2c relion [OPTIONS] [denoise|fit|pick]\n" in said["relion"]
    assert re.search(r"--gpus N .*\n.*\[default: 0\]", said["slurm"])
    assert re.search(r"--poll S .*\n? .*\[default:\s+10\]", said["denoise"])
    assert re.search(r"--shards N .*\[required\]", said["slurm"])
