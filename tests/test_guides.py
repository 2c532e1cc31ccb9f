"""Every command in the README and in docs/ is one that works: parsed, and run on tiny data."""

import importlib
import re
import shlex
import shutil
from pathlib import Path

import gemmi
import numpy as np
import pytest
import tifffile
import typer

from nt2c.cli.app import PASSES_ON, build_app, main
from nt2c.noise.resampling import Measure
from tests.batch.make import noise
from tests.io.make import write_mrc
from tests.test_fit import TINY as TINY_FIT
from tests.test_fit import TINY_FIELDS, make_micrographs

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])

MAKE = "a target of the Makefile, on a fresh clone"
INSTALL = "installs from the network"
APPTAINER = "needs Apptainer"
CRYOSPARC = "needs a server of CryoSPARC"
GPUS = "several GPUs"
HOURS = "measures for hours, with programs of others"
SAMPLED = "tests/robustness runs a sample"
FITTED = "empiar10146=mine/model.safetensors"
TOPAZ = "--topaz DIR/bin/topaz"

# Commands that are not run here, by their exact words, and why.
NOT_RUN = {
    ".ci/run": "all of these",
    "make demo": "tests/test_demo.py runs it",
    "make install": INSTALL,
    "make lint test": MAKE,
    "make docs": MAKE,
    "make benchmarks-fresh": HOURS,
    "make benchmarks": HOURS,
    "make benchmarks-report": MAKE,
    "apptainer build nt2c.sif packaging/nt2c.def": APPTAINER,
    "apptainer run --nv nt2c.sif denoise micrographs/ -o denoised": APPTAINER,
    "pip install .": INSTALL,
    'pip install ".[cryosparc]"': INSTALL,
    'pip install ".[dask]"': INSTALL,
    'pip install ".[napari]"': INSTALL,
    "napari micrographs/a.mrc": "opens a window",
    'python -c "import torch; print(torch.cuda.is_available())"': "of PyTorch",
    "git clone <address of this repository> nt2c && cd nt2c": INSTALL,
    "source .venv/bin/activate": INSTALL,
    "nt2c denoise micrographs.star -o denoised --device cuda:all": GPUS,
    "wait": "what ran in the background has run",
    "export CRYOSPARC_BASE_URL=http://localhost:39000": CRYOSPARC,
    "python -m cryosparc.tools login": CRYOSPARC,
    "torchrun --nproc-per-node 4 -m nt2c train recipes/general.toml -o model.safetensors": GPUS,
    "torchrun --nproc-per-node 4 -m nt2c fit micrographs.star -o fitted": GPUS,
    f"python -m benchmarks.quality {TOPAZ}": HOURS,
    f"python -m benchmarks.speed {TOPAZ}": HOURS,
    f"python -m benchmarks.quality {TOPAZ} --sets own --methods nt2c topaz-unet": HOURS,
    f"python -m benchmarks.quality --fitted {FITTED} --methods nt2c": HOURS,
    f"python -m benchmarks.picking {TOPAZ} --topaz-picker --methods raw nt2c": HOURS,
    f"python -m benchmarks.speed {TOPAZ} --peer-sizes 1024 4096 K3": HOURS,
    "python -m benchmarks.ablation.run --seeds 3": HOURS,
    "python -m benchmarks.ablation.table": HOURS,
    "python -m benchmarks.ablation.whole": HOURS,
    "python -m tests.robustness.fuzz --count 10000 --seed 7": SAMPLED,
    "python -m tests.robustness.kills --kills 1000 --seed 7": SAMPLED,
}
PROJECTS = {"relion.md", "cryosparc.md"}
"""Guides whose commands run in made projects of these programs, in tests/hosts."""
SCRIPT = "#!"
"""A block that begins so is a job script: it is not run."""

# Options put behind a command of a guide, to make it small; of an option the last counts.
SMALL = {
    "simulate": ["--count", "2", "--shape", "128", "128", "--pixel-size", "4"],
    "fit": ["--recipe", "tiny.toml"],
    "run": ["--recipe", "tiny.toml"],
}
FAIR = Measure(0.5, 0.4, 0.6, 0.4, 0.6)
SMALL_LIVE = ["--poll", "0.1", "--idle-exit", "0.1"]

TINY_TRAINING = f"""
name = "tiny"
{TINY_FIELDS}
[optimizer]
steps = 2
warmup_steps = 1
validate_every = 2
bf16 = false
"""


def blocks(guide, *languages):
    found = re.findall(r"^```(\w*)\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


def commands(guide):
    """Return each command of the guide's shell blocks, without comments."""
    scripts = [b for b in blocks(guide, "bash", "console", "sh", "") if not b.startswith(SCRIPT)]
    lines = [line for b in scripts for line in b.replace("\\\n", " ").splitlines()]
    lines = [re.sub(r"(^|\s)#.*", "", line).removeprefix("$ ").strip() for line in lines]
    return [line for line in lines if line]


def words_of(command):
    """Return the arguments of `nt2c`, None for another program; patterns without quotes opened."""
    words = []
    command = re.sub(r"^[A-Z_]+=\S+ ", "", command).removesuffix("&")
    for quoted in shlex.split(command.replace("'", '"'), posix=False):
        bare = quoted.strip('"')
        words += sorted(map(str, Path().glob(bare))) or [bare] if "*" in bare == quoted else [bare]
    return words[1:] if words[0] == "nt2c" else None


def inline(guide):
    """Return the words of each `nt2c ...` within a sentence."""
    text = re.sub(r"^```.*?^```", "", guide.read_text(), flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"(?<!`)`nt2c ([^`]+)`", text)
    return [span.replace("\n", " ").split() for span in spans]


def parsers(name):
    names = (name, "denoise") if name in PASSES_ON else (name,)
    return [typer.main.get_command(build_app([n])).commands[n] for n in names]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_options_exist(guide):
    every = [words for command in commands(guide) if (words := words_of(command)) is not None]
    for words in [*every, *inline(guide)]:
        if words[0].startswith("-"):
            continue
        known = {o for parser in parsers(words[0]) for p in parser.params for o in p.opts}
        unknown = {word.split("=")[0] for word in words if word.startswith("-")} - known
        assert not unknown - {"-h", "--help"}, f"nt2c {' '.join(words)}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_commands_parse(guide):
    for command in commands(guide):
        words = words_of(command)
        if words is None:
            assert command in NOT_RUN, f"{guide.name}: `{command}` is not run: say why in NOT_RUN"
        elif not words[0].startswith("-"):
            parsers(words[0])[0].make_context(words[0], words[1:])  # raises on wrong usage


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_python_compiles_and_imports_what_exists(guide):
    for block in blocks(guide, "python"):
        compile(block, str(guide), "exec")
        for module, names in re.findall(r"^from (nt2c[\w.]*) import (.*)$", block, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name)


def test_the_list_of_what_is_not_run_is_no_longer_than_needed():
    everywhere = {command for guide in GUIDES for command in commands(guide)}
    assert set(NOT_RUN) <= everywhere


def star(path, names, pixel_size_a):
    rows = "".join(f"{name} {pixel_size_a} 300.0 2.7 1.0\n" for name in names)
    path.write_text(
        "data_\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographPixelSize #2\n_rlnVoltage #3\n"
        f"_rlnSphericalAberration #4\n_rlnDefocusU #5\n{rows}"
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Two micrographs and their even and odd halves."""
    folder = tmp_path_factory.mktemp("simulated")
    for role in ("_EVN", "_ODD", ""):
        make_micrographs(folder, role=role or "whole")
        for n in range(2):
            (folder / f"field_{n}.mrc").rename(folder / f"field_{n}{role}.mrc")
    return folder


def lay_out(root, simulated):
    """Make what the guides suppose that a user has, small: see the words of their commands."""
    (root / "recipes").mkdir()
    (root / "recipes" / "general.toml").write_text(TINY_TRAINING)
    (root / "tiny.toml").write_text(TINY_FIT)
    for folder in ("micrographs", "MICROGRAPHS", "MotionCorr/job002/Movies"):
        shutil.copytree(simulated, root / folder)
    for folder, half in (("even", "EVN"), ("odd", "ODD")):
        (root / "average" / folder).mkdir(parents=True)
        shutil.copy(simulated / f"field_0_{half}.mrc", root / "average" / folder / "field_0.mrc")
    star(root / "micrographs.star", [f"micrographs/field_{n}.mrc" for n in range(2)], 4.0)
    (root / "raw").mkdir()
    tifffile.imwrite(root / "raw" / "t.tif", noise((96, 112)))
    (root / "aligned").mkdir()
    write_mrc(root / "aligned" / "a.mrcs", np.stack([noise(seed=n) for n in range(4)]), 2.0)
    (root / "boxes").mkdir()
    (root / "boxes" / "field_0.box").write_text("10\t20\t8\t8\n")
    structure(root / "particle.cif")


def structure(path):
    """Write a ball of carbon, 24 A across and as dense as protein."""
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    places = np.random.default_rng(0).uniform(-12, 12, (800, 3))
    for n, place in enumerate(places[np.hypot.reduce(places, axis=1) < 12]):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "GLY", gemmi.SeqId(n + 1, " ")
        atom.name, atom.element = "CA", gemmi.Element("C")
        atom.pos = gemmi.Position(*place)
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    made = gemmi.Structure()
    made.add_model(model)
    made.setup_entities()
    made.make_mmcif_document().write_file(str(path))


@pytest.mark.parametrize(
    "guide",
    [g for g in GUIDES if commands(g) and g.name not in PROJECTS],
    ids=lambda guide: guide.stem,
)
def test_commands_run(guide, simulated, tmp_path, monkeypatch, capfd):
    # It takes longer than everything else, and has tests of its own.
    monkeypatch.setattr("nt2c.noise.statistics.classifier_auc", lambda *_: FAIR)
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, simulated)
    for command in commands(guide):
        if command in NOT_RUN:
            continue
        words = words_of(command)
        small = SMALL_LIVE if "--live" in words else SMALL.get(words[0], [])
        for part in parts(words):
            code = main([*part, *small])
            assert code == 0, f"{guide.name}: {command}\n{capfd.readouterr().err}"


def parts(words):
    """Return a command; where it does part I of N, as many for all parts."""
    if "--shard" not in words:
        return [words]
    place = words.index("--shard") + 1
    count = int(words[place].split("/")[1])
    return [[*words[:place], f"{n}/{count}", *words[place + 1 :]] for n in range(1, count + 1)]
