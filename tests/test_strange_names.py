"""Names of files that are no text, or orders to a terminal or a program: everywhere they are data.

What the commands say of them is tested with `nt2c denoise`.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from nt2c.cli import app
from nt2c.core.words import printable
from nt2c.io.inputs import find_inputs
from nt2c.noise.extraction import ExtractionSettings
from nt2c.pipeline.extract import extract_noise
from nt2c.pipeline.options import ExtractOptions
from nt2c.pipeline.window_files import read_places
from nt2c.report.html import Page, Table, write_page
from nt2c.report.logfile import write_logfile
from nt2c.report.windows import draw_overlays
from tests.batch.make import identity_model
from tests.io.make import write_mrc

NAMES = [os.fsdecode(b"caf\xe9"), "\x1b[2Jgone", "two\nlines", "a$\\frac$b", "<b>&"]


@pytest.mark.parametrize("name", NAMES)
def test_pages_and_logs(tmp_path, name):
    page = tmp_path / "page.html"
    write_page(page, Page(title=name, verdict=name, table=Table(("a",), [(name,)]), comparisons=()))
    page.read_text(encoding="utf-8")
    image = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    write_logfile(tmp_path / "log.pdf", name, [name], [(name, image, image)])
    assert (tmp_path / "log.pdf").read_bytes()[-6:].strip() == b"%%EOF"


def test_windows(tmp_path):
    model = identity_model()
    model.network.head.weight.data *= 0.05
    (tmp_path / "raw").mkdir()
    for seed, name in enumerate(NAMES):
        image = np.random.default_rng(seed).normal(100, 10, (200, 200)).astype(np.float32)
        write_mrc(tmp_path / "raw" / f"{name}.mrc", image, 4.0)
    settings = ExtractionSettings(windows_a=(96.0,), least=10, faint=(0.0, 0.0))
    extract_noise(
        find_inputs([tmp_path / "raw"]), tmp_path, model, settings, ExtractOptions(device="cpu")
    )
    assert {row.micrograph for row in read_places(tmp_path)} == set(NAMES)
    assert len(draw_overlays(tmp_path)) == len(NAMES)


def test_what_is_shown():
    assert printable("a b é 密\n") == "a b é 密\n"
    assert printable("\x1b\x07\t\r\x9b\u202e\udcff") == r"\x1b\x07\t\r\x9b\u202e\udcff"


def test_every_command_speaks_through_what_shows_and_does_not_obey():
    folder = Path(app.__file__).parent
    saying = {
        path.name for path in folder.glob("*.py") if re.search(r"typer\.s?echo", path.read_text())
    }
    # The script of Slurm is no message: its bytes are data.
    assert saying == {"terminal.py", "slurm.py"}
