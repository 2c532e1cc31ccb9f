"""The notebook of the documentation runs from its first cell to its last."""

import csv
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What is known after the last cell, and the folder in which they ran."""
    import matplotlib

    matplotlib.use("Agg")
    folder = tmp_path_factory.mktemp("notebook")
    known = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, cell in enumerate(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number}", "exec"), known)
    known["plt"].close("all")
    return known, folder


def test_micrographs_are_denoised_and_nearer_to_the_truth(ran):
    known, _ = ran
    assert known["summary"].counts == {"done": 3}
    before, after = (known[name].truth.mean["correlation"] for name in ("before", "measured"))
    assert after > before + 0.2


def test_particles_are_picked(ran):
    known, folder = ran
    with (folder / "nt2c-notebook" / "picks" / "picks.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == known["found"].picks > 10
    assert known["picks"]


def test_no_output_is_kept():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
