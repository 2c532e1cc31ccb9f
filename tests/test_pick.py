"""`nt2c pick` from files to lists, on small simulated micrographs with truth."""

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch

from nt2c.cli.app import main
from nt2c.core.random import stream
from nt2c.denoising.denoiser import bundled_models
from nt2c.imaging.fourier import frequency_grid
from nt2c.io.cs import read_cs
from nt2c.io.inputs import MicrographInput
from nt2c.io.micrographs import write_micrograph
from nt2c.io.picks_written import MicrographPicks, coordinates_name
from nt2c.io.star import read_coordinates_star
from nt2c.io.star_text import read_star_text
from nt2c.noise.samplers import ColouredNoise, WhiteNoise
from nt2c.pipeline.fit import FitResult
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.records import NoiseLeftRecord
from nt2c.simulation.bank import procedural_species
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings
from nt2c.training.sampler_files import write_sampler
from nt2c.workflows import fit
from nt2c.workflows.options import FitOptions

PIXEL_A, DIAMETER_A, SHAPE = 2.0, 140.0, (600, 720)
NAMES = ("raw/a.mrc", "raw/sub.1.mrc", "raw/empty.mrc")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with two micrographs with particles and one without, and the true centres."""
    root = tmp_path_factory.mktemp("picking")
    species = procedural_species(DIAMETER_A, PIXEL_A, 8, stream(0, "species"))
    centres = {}
    for i, name in enumerate(NAMES):
        settings = SimulationSettings(
            pixel_size_a=PIXEL_A,
            shape=SHAPE,
            specimen=SpecimenSettings(
                coverage=(0.2, 0.25), empty=float(i == 2), species_per_field=1
            ),
            imaging=ImagingSettings(
                contamination=0, carbon=0, gradient=0, snr=0.1, defocus_um=(1.5, 1.5)
            ),
        )
        batch = simulate([species], settings, 1, stream(0, "p", i), stream(0, "n", i))
        (root / "raw").mkdir(exist_ok=True)
        write_micrograph(root / name, batch.noisy[0].numpy(), PIXEL_A)
        centres[name] = batch.coordinates_px[0].numpy()
    return root, centres


@pytest.fixture(scope="module")
def picked(made: tuple[Path, dict[str, np.ndarray]]) -> Path:
    root, _ = made
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        words = ["--diameter", str(DIAMETER_A), "--masks", "--significance", "--device", "cpu"]
        assert main(["pick", "raw", "-o", "picks", *words]) == 0
    return root / "picks"


def inner(centres: np.ndarray) -> np.ndarray:
    """Centres that are not too near to the border to be picked."""
    margin = DIAMETER_A / PIXEL_A / 2
    return centres[((centres > margin) & (centres < np.array(SHAPE) - margin)).all(1)]


def test_particles_are_picked_and_hardly_anything_else(picked: Path, made) -> None:
    summary = json.loads((picked / "summary.json").read_text())
    by_name = {Path(one["path"]).name: one for one in summary["micrographs"]}
    assert by_name["empty.mrc"]["picks"] <= 1
    assert by_name["empty.mrc"]["reason"] == ("" if by_name["empty.mrc"]["picks"] else "no picks")
    assert summary["expected_noise_picks"] <= 0.05 * summary["picks"]
    assert summary["noise_fields"] >= 24
    assert list(summary["at_rates"].values()) == sorted(summary["at_rates"].values())
    for name in NAMES[:2]:
        found = read_coordinates_star(picked / name.replace(".mrc", "_autopick.star"))
        near = np.linalg.norm(inner(made[1][name])[:, None] - found[None], axis=-1)
        assert np.mean(near.min(1) < 10) > 0.9  # 20 A
        wrong = np.linalg.norm(made[1][name][:, None] - found[None], axis=-1).min(0) > 35
        assert wrong.mean() < 0.15
        assert np.median(near.min(1)) < 5  # 10 A: these particles have no symmetry


def test_all_lists_hold_the_same_picks(picked: Path) -> None:
    listing = read_star_text(picked / "autopick.star").table("rlnMicrographName")
    assert listing is not None
    assert listing.column("rlnMicrographName") == sorted(NAMES)
    files = listing.column("rlnMicrographCoordinates")
    assert files == [f"picks/{name.removesuffix('.mrc')}_autopick.star" for name in sorted(NAMES)]
    cs = read_cs(picked / "cryosparc" / "picks.cs")
    topaz = [line.split("\t") for line in (picked / "topaz/picks.txt").read_text().splitlines()]
    assert len(np.unique(cs["uid"])) == len(cs)
    with (picked / "picks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["micrograph"].encode() for row in rows] == cs["location/micrograph_path"].tolist()
    assert max(float(row["q"]) for row in rows) <= 0.05
    for name, path in zip(sorted(NAMES), files, strict=True):
        stem = Path(name).name.removesuffix(".mrc")
        yx = read_coordinates_star(picked.parent / path)
        assert (yx == yx.round()).all()
        rows = cs[cs["location/micrograph_path"] == name.encode()]
        fractions = [rows[f"location/center_{axis}_frac"] for axis in "yx"]
        assert np.stack(fractions, -1) * SHAPE == pytest.approx(yx, abs=0.51)
        assert [[int(y), int(x)] for s, x, y, _ in topaz[1:] if s == stem] == yx.tolist()
        lines = (picked / f"eman/{stem}.box").read_text().splitlines()
        boxes = np.array([line.split() for line in lines], float).reshape(-1, 4)
        assert (boxes[:, 1::-1] + boxes[:, :1:-1] / 2) == pytest.approx(yx)
        table = read_star_text(picked / f"cryolo/{stem}.cbox").table("CoordinateX")
        assert table is not None
        assert [float(x) for x in table.column("CoordinateX")] == boxes[:, 0].tolist()


def test_masks_and_significance_have_the_field_of_the_micrograph(picked: Path) -> None:
    for name in NAMES:
        with mrcfile.open(picked / "masks" / Path(name).name) as mask:
            assert mask.header.mode == 0
            assert mask.data.shape == SHAPE
            assert mask.voxel_size.x == pytest.approx(PIXEL_A)
            assert mask.data.mean() < 0.05
        with mrcfile.open(picked / "significance" / Path(name).name) as found:
            assert found.data.min() >= 0
            assert found.data.shape[0] * found.voxel_size.x == pytest.approx(SHAPE[0] * PIXEL_A)
            assert (found.data.max() > 4) == (name != NAMES[2])


def test_another_rate_looks_at_nothing_again(picked: Path, monkeypatch) -> None:
    monkeypatch.chdir(picked.parent)
    monkeypatch.setattr(
        "nt2c.denoising.denoiser.Denoiser.estimate", lambda *_: pytest.fail("denoised again")
    )
    before = json.loads((picked / "summary.json").read_text())
    words = ["--diameter", str(DIAMETER_A), "--device", "cpu"]
    assert main(["pick", "raw", "-o", "picks", *words, "--fdr", "0.2"]) == 0
    after = json.loads((picked / "summary.json").read_text())
    assert after["picks"] == before["at_rates"]["0.2"] >= before["picks"]


def test_picks_on_what_was_denoised_before_are_the_same(picked: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(picked.parent)
    words = ["--diameter", str(DIAMETER_A), "--device", "cpu", "--fields", "8"]
    assert main(["denoise", "raw", "-o", "denoised", "--device", "cpu"]) == 0
    assert main(["pick", "raw", "-o", "again", "--denoised", "denoised", *words]) == 0
    said = capsys.readouterr().out
    assert "expected noise picks" in said
    assert "from the raw micrographs" in said
    for name in NAMES[:1]:
        path = name.replace(".mrc", "_autopick.star")
        one, two = (read_coordinates_star(picked.parent / f / path) for f in ("picks", "again"))
        shared = (np.linalg.norm(one[:, None] - two[None], axis=-1) < 2).any(1).mean()
        assert shared > 0.95
    summary = picked.parent / "denoised/summary.json"
    of_another = json.loads(summary.read_text()) | {"model_hash": "other"}
    summary.write_text(json.dumps(of_another))
    assert main(["pick", "raw", "-o", "third", "--denoised", "denoised", *words]) == 2
    assert "another model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--diameter", "400"], "too large for a field of 1440 x 1200 A", 1),
        (["--diameter", "200", "--diameter", "100"], "least diameter comes first", 2),
        (["--diameter", "100", "--fdr", "1.5"], "fdr", 2),
        (["--diameter", "3"], "2 px to a quarter", 1),
        (["--diameter", "140", "--fit", "raw"], "finished nt2c fit", 2),
        (["--diameter", "140", "--denoised", "raw"], "no summary.json", 2),
    ],
)
def test_what_cannot_be_done_is_said(picked: Path, monkeypatch, capsys, words, said, code) -> None:
    monkeypatch.chdir(picked.parent)
    assert main(["pick", "raw/a.mrc", "-o", "bad", "--device", "cpu", *words]) == code
    assert said in capsys.readouterr().err
    assert not Path("bad/autopick.star").exists()


def test_one_empty_micrograph_gives_empty_lists(picked: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(picked.parent)
    words = ["--diameter", "140", "--device", "cpu"]
    assert main(["pick", "raw/empty.mrc", "gone.mrc", "-o", "none", *words]) == 1
    said = capsys.readouterr()
    assert "nothing stands out of the noise" in said.out
    assert "gone.mrc" in said.err
    assert len(read_cs(Path("none/cryosparc/picks.cs"))) == 0
    assert Path("none/raw/empty_autopick.star").is_file()


def test_noise_that_was_learned_stands_for_the_noise(picked: Path, monkeypatch) -> None:
    """Next to fine noise, as is there, particles stand out; next to coarse noise they do not."""
    monkeypatch.chdir(picked.parent)
    k = frequency_grid((64, 64), 1.0)
    fine = torch.fft.irfft2(1 / (1 + (1 / (8 * k.clamp(min=0.01))) ** 4))
    coarse = torch.fft.irfft2(0.02 + torch.exp(-((30 * k) ** 2)) * 40)
    counts = []
    for name, covariance in (("fine", fine), ("coarse", coarse)):
        sampler = ColouredNoise(covariance / covariance[0, 0])
        write_sampler(f"{name}.safetensors", sampler, 4.0)
        words = ["--diameter", "140", "--device", "cpu", "--noise", f"{name}.safetensors"]
        assert main(["pick", "raw/a.mrc", "-o", name, *words, "--fields", "4"]) == 0
        summary = json.loads(Path(name, "summary.json").read_text())
        assert summary["sampler"] != "gaussian"
        counts.append(summary["at_rates"]["0.2"])
    assert counts[0] > 10 > counts[1]


def test_a_run_picks_with_the_model_and_the_noise_of_its_fit(picked: Path, monkeypatch) -> None:
    monkeypatch.chdir(picked.parent)
    job = fit.plan(["raw/a.mrc"], Path("mine"), FitOptions(recipe="quick", device="cpu"))

    def stages(job: FitJob, _: Watch) -> FitResult:
        (job.folder / "noise").mkdir(parents=True)
        shutil.copy(bundled_models()["general"], job.folder / "model.safetensors")
        write_sampler(job.folder / "noise/sampler.safetensors", WhiteNoise(), 4.0)
        left = NoiseLeftRecord(of_noise=0.1, of_output=0.5)
        training = SimpleNamespace(noise_left=left, noise_left_before=left)
        record: Any = SimpleNamespace(training=training)
        return FitResult(job.folder / "model.safetensors", record)

    monkeypatch.setattr("nt2c.workflows.fit.do_stages", stages)
    done = fit.run(job, None, fit.Silent(), DIAMETER_A)
    assert done.picks
    assert done.picks.picks > 10
    assert done.picks.sampler != "gaussian"
    assert Path("mine/picks/raw/a_autopick.star").is_file()


def test_names_in_a_project_lose_their_job(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = np.empty(0)
    for path, name in (
        ("MotionCorr/job002/Movies/a.mrc", "Movies/a_autopick.star"),
        ("raw/b.tif", "raw/b_autopick.star"),
        ("/elsewhere/c.mrc", "c_autopick.star"),
    ):
        item = MicrographInput(Path(path), Path(path).name)
        one = MicrographPicks(item, 1.0, (8, 8), nothing.reshape(0, 2), nothing, nothing, nothing)
        assert coordinates_name(one) == name


def test_the_report_shows_picks_over_the_micrographs(picked: Path, monkeypatch) -> None:
    monkeypatch.chdir(picked.parent)
    assert main(["denoise", "raw", "-o", "shown", "--device", "cpu"]) == 0
    shutil.copytree(picked, "shown/picks")
    assert main(["report", "shown"]) == 0
    page = Path("shown/report.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    summary = json.loads((picked / "summary.json").read_text())
    counts = {item["name"]: len(item["picks"]) for item in data["items"]}
    assert counts == {Path(one["path"]).name: one["picks"] for one in summary["micrographs"]}
    x, y, rx, ry, q = next(item["picks"][0] for item in data["items"] if item["picks"])
    assert rx * SHAPE[1] == pytest.approx(ry * SHAPE[0], rel=0.01)
    assert ry * SHAPE[0] * PIXEL_A * 2 == pytest.approx(DIAMETER_A, rel=0.03)
    assert 0 < x < 1
    assert 0 < y < 1
    assert q <= 0.05
    assert "noise picks to expect" in page
