"""`nt2c simulate` from end to end, tiny."""

import hashlib
import re

import mrcfile
import numpy as np
import pytest
import torch

from nt2c.cli.app import main
from nt2c.core.errors import SettingsError
from nt2c.io.recipes import read_settings
from nt2c.io.records import read_records
from nt2c.io.star import read_coordinates_star, read_micrographs_star
from nt2c.simulation.settings import SimulationSettings
from nt2c.workflows.options import GOOD_MICROGRAPHS, SimulateOptions

TINY = """\
pixel_size_a = 8.0
shape = [64, 96]

[specimen]
species = 1
views = 2
diameter_a = [90.0, 90.0]
coverage = [0.2, 0.2]
empty = 0.0

[imaging]
ice_gain = [0.0, 0.0]
carbon = 0.0
contamination = 0.0
gradient = 0.0
hot_pixels = 0.0
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def image(path):
    with mrcfile.open(path) as opened:
        assert float(opened.voxel_size.x) == pytest.approx(8.0)
        return opened.data.copy()


def test_a_data_set(tmp_path, tiny):
    out = tmp_path / "set"
    command = ["simulate", "-o", str(out), "--settings", str(tiny), "--count", "2", "--seed", "3"]
    assert main(command) == 0
    written = digests(out)
    assert set(written) == {"micrographs.star", "settings.toml", "metadata.jsonl"} | {
        name.format(f"sim_{i:04d}")
        for i in (1, 2)
        for name in (
            "{}.mrc", "clean/{}_clean.mrc", "halves/even/{}.mrc", "halves/odd/{}.mrc",
            "coordinates/{}.star",
        )
    }  # fmt: skip

    listed = read_micrographs_star(out / "micrographs.star")
    records = read_records(out / "metadata.jsonl")
    for entry, record in zip(listed, records, strict=True):
        name = record["name"]
        assert entry.path == out / f"{name}.mrc"
        assert entry.pixel_size_a == pytest.approx(8.0)
        noisy, clean = image(entry.path), image(out / f"clean/{name}_clean.mrc")
        even, odd = (image(out / f"halves/{half}/{name}.mrc") for half in ("even", "odd"))
        assert noisy.shape == clean.shape == (64, 96)
        assert np.allclose(even + odd, noisy, rtol=1e-5)
        centres = read_coordinates_star(out / f"coordinates/{name}.star")
        assert len(centres) == record["particles"] > 0
        at = clean[tuple(np.floor(centres).astype(int).T)]
        # Protein is dark, and where it is said to be: darker than three quarters of the field.
        assert at.max() < np.quantile(clean, 0.25)
        for key in ("defocus_um", "dose_e_per_a2", "detector", "ice_thickness_a", "species"):
            assert key in record
    star = (out / "micrographs.star").read_text()
    row = next(line.split() for line in star.splitlines() if line.startswith("sim_0001.mrc"))
    mean_defocus_um = (float(row[2]) + float(row[3])) / 2e4
    assert mean_defocus_um == pytest.approx(records[0]["defocus_um"], abs=1e-6)

    # Not silently over itself; the same again on request; fewer leave nothing of the others.
    assert main(command) == 2
    assert digests(out) == written
    assert main([*command, "--overwrite"]) == 0
    assert digests(out) == written
    fewer = [*command[:-3], "1", *command[-2:]]
    assert main([*fewer, "--overwrite"]) == 0
    assert digests(out)["sim_0001.mrc"] == written["sim_0001.mrc"]
    assert not list(out.rglob("*0002*"))

    # The settings that it wrote give the same files; another seed gives others.
    again = tmp_path / "again"
    same = ["--settings", str(out / "settings.toml"), "--count", "1"]
    assert main(["simulate", "-o", str(again), *same, "--seed", "3"]) == 0
    assert digests(again)["sim_0001.mrc"] == written["sim_0001.mrc"]
    other = tmp_path / "other"
    assert main(["simulate", "-o", str(other), *same, "--seed", "4"]) == 0
    assert digests(other)["sim_0001.mrc"] != written["sim_0001.mrc"]


def test_known_structures_and_maps(tmp_path, tiny):
    atoms = [
        f"ATOM  {i:5d}  CA  UNL A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 10.00           C"
        for i, (x, y, z) in enumerate(np.random.default_rng(0).uniform(-25, 25, (900, 3)), 1)
    ]
    model = tmp_path / "lump.pdb"
    model.write_text("\n".join([*atoms, "END\n"]))
    density = tmp_path / "ball.mrc"
    axis = np.arange(24) - 12
    r2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    with mrcfile.new(density) as made:
        made.set_data((r2 < 49).astype(np.float32))
        made.voxel_size = 5.0
    out = tmp_path / "set"
    given = ["--structure", str(model), "--structure", str(density)]
    options = ["--settings", str(tiny), "--count", "1", "--coverage", "0.3", "--snr", "0.5"]
    assert main(["simulate", "-o", str(out), *options, *given]) == 0
    (record,) = read_records(out / "metadata.jsonl")
    assert record["structures"] == ["lump.pdb", "ball.mrc"]
    assert set(record["species"]) <= {"lump.pdb", "ball.mrc"}
    assert record["particles"] > 0
    settings = read_settings(out / "settings.toml", SimulationSettings)
    assert settings.specimen.coverage == (0.3, 0.3)
    assert settings.imaging.snr == 0.5


def test_bad_structure_is_named(tmp_path, tiny, capsys):
    bad = tmp_path / "bad.pdb"
    bad.write_text("nothing\n")
    options = ["--settings", str(tiny), "--structure", str(bad)]
    assert main(["simulate", "-o", str(tmp_path / "set"), *options]) == 1
    assert "bad.pdb" in re.sub(r"\s", "", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"pixel_size_a": 1.0}, {"pixel_size_a": 1.0}),
        ({"shape": (200, 300)}, {"shape": (200, 300)}),
        (
            {"dose_e_per_a2": 25.0},
            {"imaging.dose_e_per_a2": (25.0, 25.0), "imaging.snr": None},
        ),
        ({"dose_e_per_a2": 25.0, "snr": 0.02}, {"imaging.snr": 0.02}),
        (
            {"defocus_min_um": 1.0},
            {"imaging.defocus_um": (1.0, GOOD_MICROGRAPHS.imaging.defocus_um[1])},
        ),
        ({"defocus_min_um": 4.0}, {"imaging.defocus_um": (4.0, 4.0)}),
        ({"defocus_max_um": 0.5}, {"imaging.defocus_um": (0.5, 0.5)}),
        ({"defocus_min_um": 1.0, "defocus_max_um": 1.2}, {"imaging.defocus_um": (1.0, 1.2)}),
        ({"snr": 0.05}, {"imaging.snr": 0.05}),
        ({"coverage": 0.0}, {"specimen.coverage": (0.0, 0.0)}),
    ],
)
def test_each_option_changes_what_it_says(options, expected):
    resolved = SimulateOptions(**options).applied_to(GOOD_MICROGRAPHS)
    for key, value in expected.items():
        found = resolved
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value
    untouched = {"pixel_size_a", "shape"} - set(options)
    assert all(getattr(resolved, key) == getattr(GOOD_MICROGRAPHS, key) for key in untouched)
    assert resolved.imaging.camera_pixel_size_a[1] <= resolved.pixel_size_a


@pytest.mark.parametrize(
    "options",
    [
        {"defocus_min_um": 2.0, "defocus_max_um": 1.0},
        {"defocus_max_um": float("inf")},
        {"defocus_min_um": float("nan")},
        {"dose_e_per_a2": 0.0},
        {"coverage": 1.5},
        {"shape": (10, 500)},
        {"pixel_size_a": -1.0},
        {"snr": 0.0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(SettingsError):
        SimulateOptions.parse(options).applied_to(GOOD_MICROGRAPHS)


@pytest.mark.parametrize("size_a", [0.0, -1.0, float("inf")])
def test_an_impossible_pixel_size_is_refused_by_its_option(tmp_path, capsys, size_a):
    words = ["simulate", "-o", str(tmp_path / "set"), "--pixel-size", str(size_a)]
    assert main(words) == 2
    assert f"--pixel-size {size_a:g}: must be " in capsys.readouterr().err


@pytest.fixture(autouse=True, scope="module")
def _generators_are_passed():
    """The command draws nothing from torch's global stream."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
