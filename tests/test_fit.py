"""`nt2c fit` and `nt2c run` with tiny settings: every stage, resumed, changed, refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch

from nt2c.cli.app import main
from nt2c.cli.watch import ConsoleWatch
from nt2c.core.errors import InputError, SettingsError
from nt2c.core.random import stream
from nt2c.denoising.denoiser import load_model
from nt2c.imaging.fourier import resize
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import open_micrograph, write_micrograph
from nt2c.io.recipes import read_settings, recipe_folder
from nt2c.io.star import Defocus, Optics, StarOptics, write_micrographs_star
from nt2c.io.weights import read_weights
from nt2c.noise.resampling import Measure
from nt2c.pipeline.choosing import FITTED
from nt2c.pipeline.fit import FitResult, fit
from nt2c.pipeline.job import FitJob
from nt2c.pipeline.learning import Split, split_windows, untrained_kind
from nt2c.pipeline.records import ChoiceRecord, FitRecord
from nt2c.pipeline.settings import FIT_RECIPES, FitRecipe, read_fit_recipe
from nt2c.pipeline.stages import STAMP, locked
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings
from nt2c.training.denoiser import Pace
from nt2c.training.digest import digest
from nt2c.training.processes import Team
from nt2c.training.settings import RecorruptedSettings
from nt2c.workflows.fit import plan
from nt2c.workflows.options import FitOptions

PIXEL_A = 4.0
OPTICS = Optics(PIXEL_A, 300.0, 2.7, 0.1)
TINY_FIELDS = """
[simulation]
shape = [96, 96]

[simulation.specimen]
species = 2
views = 3
diameter_a = [90.0, 120.0]

[network]
widths = [4, 6]
blocks = [1, 1]

[pairs]
crop_px = 32
batch = 2
pool = 2
validation_fields = 2
"""
TINY = f"""
name = "tiny"
noise = "coloured"

[extraction]
windows_a = [64.0]
count = 60

[synthesizer]
crop_px = 16
batch = 4
critic_steps = 1
least_windows = 4

[synthesizer.optimizer]
steps = 3
warmup_steps = 1
validate_every = 3
bf16 = false

[transfer]
clean_fields = 2
band_a = [12.0, 100.0]
{TINY_FIELDS}
[recorrupted]
weight = 0.3
batch = 2

[optimizer]
steps = 4
warmup_steps = 1
validate_every = 4
log_every = 1
bf16 = false
checkpoint_minutes = 1e-9
"""


class Silent:
    """Hears everything, and stops the run at a step of a stage if told to."""

    def __init__(self, stop_in: str = "", at: int = 1) -> None:
        self.stop_in, self.at = stop_in, at
        self.stage = ""
        self.totals: dict[str, int | None] = {}
        self.verdicts: dict[str, str] = {}
        self.reused: list[str] = []
        self.warnings: list[str] = []

    def begin(self, stage: str, total: int | None) -> None:
        self.stage = stage
        self.totals[stage] = total

    def expect(self, total: int) -> None:
        self.totals[self.stage] = total

    def advance(self, done: int, note: str = "", loss: float | None = None) -> None:
        if self.stage == self.stop_in and done >= self.at:
            raise KilledError

    def verdict(self, stage: str, text: str, seconds: float, *, reused: bool) -> None:
        self.verdicts[stage] = text
        self.reused += [stage] if reused else []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class KilledError(Exception):
    pass


def make_micrographs(
    folder: Path, count: int = 2, coverage: float = 0.05, role: str = "noise"
) -> Path:
    """Simulated micrographs with few particles, of 4 A/px; another role is another exposure."""
    settings = SimulationSettings(
        pixel_size_a=PIXEL_A,
        shape=(208, 192),
        specimen=SpecimenSettings(coverage=(coverage, coverage), empty=0.0),
        imaging=ImagingSettings(carbon=0.0, contamination=0.0, contrast_gain=(1.5, 1.5)),
    )
    bank = procedural_bank(1, PIXEL_A, 4, (120.0, 120.0), stream(3, "particle"))
    for index in range(count):
        batch = simulate(bank, settings, 1, stream(3, "place", index), stream(3, role, index))
        write_micrograph(folder / f"field_{index}.mrc", batch.noisy[0].numpy(), PIXEL_A)
    return folder


@pytest.fixture(autouse=True, scope="module")
def small_data() -> Iterator[None]:
    """The two-sample classifier takes longer than everything else, and has tests of its own; and
    of two fields as small as these the power of the noise is hardly known.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nt2c.pipeline.own_noise._MOST_UNKNOWN", 1.0)
        fair = Measure(0.5, 0.4, 0.6, 0.4, 0.6)
        patch.setattr("nt2c.noise.statistics.classifier_auc", lambda *_: fair)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_micrographs(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return path


def job(data: Path, folder: Path, recipe: Path, **changes: Any) -> FitJob:
    chosen = read_settings(recipe, FitRecipe)
    own = {k: changes.pop(k) for k in list(changes) if k in FitRecipe.model_fields}
    return FitJob(
        inputs=tuple(find_inputs([data])),
        folder=folder,
        recipe=chosen.replace(**own),
        coarse=load_model("general"),
        device="cpu",
        **changes,
    )


@pytest.fixture(scope="module")
def done(data: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Silent]:
    """A finished fit, not to be changed."""
    folder, watch = tmp_path_factory.mktemp("fit") / "out", Silent()
    fit(job(data, folder, recipe), watch)
    return folder, watch


def told(result: FitResult) -> dict[str, Any]:
    """All that stands in `fit.json`; what was returned is a part of it."""
    record: dict[str, Any] = json.loads((result.model.parent / "fit.json").read_text())
    assert FitRecord.model_validate(record) == result.record
    return record


def test_leaves_a_model_and_says_how_it_came_about(
    done: tuple[Path, Silent], data: Path, recipe: Path
) -> None:
    folder, watch = done
    model = load_model(folder / "model.safetensors")
    assert model.metadata["name"] == "tiny"
    assert model.pixel_size_a == PIXEL_A
    record = json.loads((folder / "fit.json").read_text())
    assert list(record["stages"]) == ["windows", "contrast", "noise", "training"]
    for name, stage in record["stages"].items():
        assert stage["verdict"] == watch.verdicts[name]
        assert stage["seconds"] > 0
    assert record["stages"]["contrast"]["k1"] > 0
    assert record["recipe"]["noise"] == "coloured"
    assert watch.reused == []
    assert re.match(r"\d+ windows of \d+ A from 2 micrographs", watch.verdicts["windows"])
    assert "AUC" in watch.verdicts["noise"]
    assert "judged by only" in watch.verdicts["noise"]
    assert "times as strong as the simulated" in watch.verdicts["contrast"]
    assert "noise left in empty windows" in watch.verdicts["training"]


def test_again_does_nothing(done: tuple[Path, Silent], data: Path, recipe: Path) -> None:
    folder, _ = done
    before = (folder / "model.safetensors").read_bytes()
    watch = Silent()
    fit(job(data, folder, recipe), watch)
    assert watch.reused == ["windows", "contrast", "noise", "training"]
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(("stage", "at"), [("windows", 1), ("training", 2)])
def test_stopped_and_continued_gives_the_same_model(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path, stage: str, at: int
) -> None:
    with pytest.raises(KilledError):
        fit(job(data, tmp_path, recipe), Silent(stage, at))
    assert not (tmp_path / "model.safetensors").exists()
    watch = Silent()
    fit(job(data, tmp_path, recipe), watch)
    before = {"windows": [], "training": ["windows", "contrast", "noise"]}[stage]
    assert watch.reused == before
    for name in ("model.safetensors", "windows/windows.npy", "noise/sampler.safetensors"):
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes()


def test_a_first_round_gives_the_model_that_finds_the_windows(
    done: tuple[Path, Silent],
    data: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Three steps are worse than none.
    forced = ChoiceRecord(taken=FITTED, why="forced", errors={})
    monkeypatch.setattr("nt2c.pipeline.training.choose", lambda *_: forced)
    own = job(data, tmp_path, recipe, first_steps=3, noise="white")
    record = told(fit(own, Silent()))
    rounds = ["windows", "contrast", "noise", "training"]
    assert list(record["stages"]) == [f"first {name}" for name in rounds] + rounds
    assert record["stages"]["first noise"]["noise"] == "coloured"
    assert record["stages"]["noise"]["noise"] == "white"
    found = (tmp_path / "first/windows/windows.npy").read_bytes()
    assert found == (done[0] / "windows/windows.npy").read_bytes()
    assert found != (tmp_path / "windows/windows.npy").read_bytes()
    watch = Silent()
    fit(own, watch)
    assert watch.reused == list(record["stages"])


def test_a_batch_that_processes_cannot_share_is_refused_at_once(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nt2c.pipeline.fit.join", lambda device: Team(1, 4))
    chosen = read_settings(recipe, FitRecipe)
    four = chosen.pairs.replace(batch=4)
    for own, named in (({}, "pairs.batch"), ({"pairs": four}, "recorrupted.batch")):
        with pytest.raises(SettingsError, match=f"{named}.* cannot be shared"):
            fit(job(data, tmp_path / "out", recipe, **own), Silent())
    assert not (tmp_path / "out").exists()


def test_the_first_round_knows_nothing_of_how_the_micrographs_are_trained_on() -> None:
    chosen = read_fit_recipe("fit")
    other = chosen.replace(recorrupted=RecorruptedSettings(weight=0.1, strength=0.7, batch=8))
    assert chosen.first_round().recorrupted.weight == 0
    assert chosen.first_round() == other.first_round()


def test_a_change_redoes_only_what_depends_on_it(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    watch = Silent()
    fit(job(data, tmp_path / "out", recipe, noise="white"), watch)
    assert watch.reused == ["windows", "contrast"]
    model, other = (f / "model.safetensors" for f in (tmp_path / "out", done[0]))
    assert model.read_bytes() != other.read_bytes()


def judged_as(patch: pytest.MonkeyPatch, wgan: float, coloured: float) -> None:
    """Let few windows judge, and the classifier find that."""
    patch.setattr("nt2c.pipeline.learning.FEW", 1)
    given = iter([wgan, coloured] * 9)

    def auc(*_: Any) -> Measure:
        value = next(given)
        return Measure(value, value - 0.1, value + 0.1, 0.4, 0.6)

    patch.setattr("nt2c.noise.statistics.classifier_auc", auc)


@pytest.mark.parametrize("judges", ["few", "against it"])
def test_a_wgan_that_is_not_known_to_be_better_makes_place_for_coloured_noise(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, judges: str,
) -> None:  # fmt: skip
    if judges == "against it":
        judged_as(monkeypatch, 0.55, 0.6)  # better, but by less than chance
    shutil.copytree(done[0] / "windows", tmp_path / "windows")
    watch = Silent()
    record = told(fit(job(data, tmp_path, recipe, noise="wgan"), watch))["stages"]["noise"]
    said = {"few": "too few to judge a WGAN by", "against it": "the WGAN is no better"}[judges]
    assert f"coloured noise is taken, since {record['instead']}" in watch.verdicts["noise"]
    assert said in record["instead"]
    assert (record["noise"], record["asked"]) == ("coloured", "wgan")
    assert (tmp_path / "noise" / "log.jsonl").exists() == (judges == "against it")
    kept, other = (f / "noise/sampler.safetensors" for f in (tmp_path, done[0]))
    assert kept.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("tails", "kind"), [(0.0, "coloured"), (0.5, "bootstrap")])
def test_noise_that_is_not_gaussian_is_not_drawn_as_such(tails: float, kind: str) -> None:
    random = stream(0, "tails")
    windows = torch.randn(40, 24, 24, generator=random)
    windows *= torch.exp(tails * torch.randn(40, 24, 24, generator=random))
    groups = torch.arange(4).repeat_interleave(10)
    assert untrained_kind(Split(windows, windows, groups, groups, 4.0)) == kind


def test_wgan_is_trained_and_resumed(
    done: tuple[Path, Silent],
    data: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged_as(monkeypatch, 0.6, 0.9)
    for name in ("whole", "broken"):
        shutil.copytree(done[0] / "windows", tmp_path / name / "windows")
    watch = Silent()
    fit(job(data, tmp_path / "whole", recipe, noise="wgan"), watch)
    assert "wgan: " in watch.verdicts["noise"]
    assert "(coloured Gaussian 0.90)" in watch.verdicts["noise"]
    with pytest.raises(KilledError):
        fit(job(data, tmp_path / "broken", recipe, noise="wgan"), Silent("noise", 2))
    again = Silent()
    fit(job(data, tmp_path / "broken", recipe, noise="wgan"), again)
    assert again.reused == ["windows", "contrast"]
    whole, broken = (tmp_path / run / "model.safetensors" for run in ("whole", "broken"))
    assert whole.read_bytes() == broken.read_bytes()


def test_structure_is_learned_with_a_warning(
    data: Path, recipe: Path, done: tuple[Path, Silent], tmp_path: Path
) -> None:
    line = torch.arange(24) - 12.0
    ball = torch.exp(-(line[:, None, None] ** 2 + line[:, None] ** 2 + line**2) / 40)
    with mrcfile.new(tmp_path / "ball.mrc", ball.numpy()) as file:
        file.voxel_size = PIXEL_A
    shutil.copytree(done[0], tmp_path / "out")
    watch = Silent()
    fit(job(data, tmp_path / "out", recipe, structures=(tmp_path / "ball.mrc",)), watch)
    assert "reference bias" in watch.warnings[0]
    assert watch.reused == ["windows", "noise"]
    given = load_model(tmp_path / "out" / "model.safetensors").metadata["given"]
    assert list(given["species"]) == ["ball.mrc"]


def test_the_micrographs_are_trained_on_too(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path
) -> None:
    given = load_model(done[0] / "model.safetensors").metadata["given"]
    assert [kind.split()[0] for kind in given["real"]["noise"]] == ["coloured"] * 2
    windows = split_windows(done[0] / "windows").learn
    assert given["real"]["noise_sd"] == pytest.approx([float(windows.std())] * 2, rel=0.1)
    shutil.copytree(done[0], tmp_path / "out")
    watch = Silent()
    off = RecorruptedSettings(weight=0.0, batch=2)
    fit(job(data, tmp_path / "out", recipe, recorrupted=off), watch)
    assert watch.reused == ["windows", "contrast", "noise"]
    plain = load_model(tmp_path / "out" / "model.safetensors")
    assert "real" not in plain.metadata["given"]
    assert not any("micrographs themselves" in text for text in watch.warnings)


def test_noise_kept_with_a_stopped_training_is_not_given_up_when_damaged(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        fit(job(data, tmp_path, recipe), Silent("training", 2))
    kept = tmp_path / "training" / "own_noise.safetensors"
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(InputError, match=r"own_noise\.safetensors"):
        fit(job(data, tmp_path, recipe), Silent())
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("rate", [0.03, 3.0])
def test_a_training_that_does_harm_is_not_taken(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path, rate: float
) -> None:
    """Learning rates that are far too high, also such that nothing finite is left."""
    shutil.copytree(done[0] / "windows", tmp_path / "windows")
    chosen = read_settings(recipe, FitRecipe)
    fast = chosen.optimizer.replace(learning_rate=rate, clip_norm=1e3)
    own = job(data, tmp_path, recipe, network=None, optimizer=fast, noise="white")
    watch = Silent()
    choice = told(fit(own, watch))["stages"]["training"]["choice"]
    assert set(choice["errors"]) == {"fields", "micrographs"}
    for errors in choice["errors"].values():
        assert set(errors) == {"fitted", "half", "start"}
        assert errors["fitted"] is None or errors["fitted"] > errors["start"] + 0.01
    assert choice["taken"] == "start"
    assert "the model that the training started from is taken" in watch.verdicts["training"]
    assert "the fitted one is worse on held-out" in watch.verdicts["training"]
    kept = load_model(tmp_path / "model.safetensors").network.state_dict()
    for name, value in own.coarse.network.state_dict().items():
        assert torch.equal(kept[name], value.half().float()), name


def test_micrographs_that_cannot_be_trained_on_are_left_to_the_rest(
    done: tuple[Path, Silent], data: Path, recipe: Path, tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "small")
    watch = Silent()
    chosen = read_settings(recipe, FitRecipe)
    large = {"pairs": chosen.pairs.replace(crop_px=208)}
    large["simulation"] = chosen.simulation.replace(shape=(208, 208))
    fit(job(data, tmp_path / "small", recipe, **large), watch)
    assert any("as large as a training crop of 208 pixels" in text for text in watch.warnings)

    tails = tmp_path / "tails"
    for path in data.iterdir():
        with open_micrograph(path) as micrograph:
            image = micrograph.read()
        random = np.random.default_rng(1)
        tailed = (image - image.mean()) * np.exp(0.5 * random.standard_normal(image.shape))
        write_micrograph(tails / path.name, tailed.astype(np.float32), PIXEL_A)
    watch = Silent()
    record = told(fit(job(tails, tmp_path / "out", recipe), watch))
    assert any("noise is not Gaussian (excess kurtosis " in text for text in watch.warnings)
    assert record["stages"]["training"]["warnings"] == watch.warnings[-1:]
    assert not record["stages"]["training"]["on_micrographs"]
    metadata = load_model(tmp_path / "out" / "model.safetensors").metadata
    assert "real" not in metadata["given"]
    made = metadata["recipe"]
    assert made["recorrupted"]["weight"] == 0
    batches = chosen.pairs.batch, chosen.recorrupted.batch
    assert made["pairs"]["batch"] == sum(batches)  # a step sees as many crops as with theirs


def test_run_denoises_measures_and_writes_a_page(
    done: tuple[Path, Silent],
    data: Path,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    second = make_micrographs(tmp_path / "second", role="second noise")
    command = ["run", str(data), "-o", str(out), "--recipe", str(recipe), "--device", "cpu"]
    command += ["--model", "general"]
    assert main([*command, "--independent", str(second)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("(done before)") == 4
    assert "recovered share of the signal" in shown
    for index in range(2):
        assert (out / "denoised" / f"field_{index}.mrc").exists()
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert set(evaluation["independent"]["fraction"]) == {"raw", "coarse", "fitted"}
    assert evaluation["noise_left"]["of_noise"] < 0.5
    html = (out / "report.html").read_text()
    assert re.findall(r"https?://", html) == []
    shown = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])["items"]
    assert sum(len(item["frames"]) for item in shown) == len(
        np.load(out / "windows" / "windows.npy")
    )
    assert re.search(r'class="verdict">The fit(ted model is| found no model) ', html)
    assert "of the noise, the model that its training started from" in html
    for title in ("Training", "Noise", "Where the noise was taken", "noise windows"):
        assert title in html
    assert "learned from: random assemblies, your micrographs" in html
    for text in ("classifier: AUC", "Recovered signal", "field_1.mrc", "seed 0"):
        assert text in html


def test_what_an_earlier_run_did_of_a_stage_is_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = ConsoleWatch()
    for stage, first in (("noise", 1), ("training", 4)):
        watch.begin(stage, 10)
        for done in range(first, 7):
            watch.advance(done, loss=0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "goes on" in line]
    assert lines == ["training goes on from 3/10"]


def test_a_fit_alone_is_reported_from_any_folder(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    out = tmp_path / "out"
    assert main(["fit", "field_0.mrc", "field_1.mrc", "-o", str(out), "--recipe", str(recipe)]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["report", "out"]) == 0  # 1 where a micrograph cannot be found
    assert "field_1.mrc" in (out / "report.html").read_text()


def test_fit_command_names_a_bad_file_and_goes_on(
    data: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(data, raw)
    (raw / "cut.mrc").write_bytes((raw / "field_0.mrc").read_bytes()[:2000])
    command = ["fit", str(raw), "-o", str(tmp_path / "out"), "--recipe", str(recipe)]
    command += ["--device", "cpu", "--noise", "white"]
    for _ in range(2):  # also when nothing is left to do
        assert main(command) == 1
        shown = capsys.readouterr()
        assert "cut.mrc" in shown.err
        assert "1 input could not be used" in shown.out
    assert (tmp_path / "out" / "model.safetensors").exists()
    with locked(tmp_path / "out"):
        assert main(command) == 2
    assert "another run is at work there" in capsys.readouterr().err


def test_other_sizes_and_a_mask(data: Path, recipe: Path, tmp_path: Path) -> None:
    raw, masks = tmp_path / "raw", tmp_path / "masks"
    shutil.copytree(data, raw)
    with open_micrograph(raw / "field_1.mrc") as opened:
        fine = resize(torch.from_numpy(opened.read()), (312, 288))
    write_micrograph(raw / "field_1.mrc", fine.numpy(), PIXEL_A * 2 / 3)
    write_micrograph(raw / "field_2.mrc", fine[:300, :200].numpy(), PIXEL_A * 2 / 3)
    mask = np.zeros((104, 96), np.float32)
    mask[:, :48] = 1  # the left half of field_0
    write_micrograph(masks / "field_0.mrc", mask, 1.0)
    watch = Silent()
    fit(job(raw, tmp_path / "out", recipe, noise="white", masks=masks), watch)
    assert "from 3 micrographs" in watch.verdicts["windows"]
    with (tmp_path / "out" / "windows" / "windows.csv").open() as file:
        places = [(row["micrograph"], int(row["x_px"])) for row in csv.DictReader(file)]
    assert min(x for name, x in places if name == "field_0") >= 96
    assert min(x for name, x in places if name == "field_1") < 96


def test_one_micrograph_is_enough(data: Path, recipe: Path, tmp_path: Path) -> None:
    watch = Silent()
    fit(job(data / "field_0.mrc", tmp_path, recipe), watch)
    assert "from 1 micrograph" in watch.verdicts["windows"]
    assert "between micrographs" not in watch.verdicts["contrast"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "quik"], "neither one of quick, fit, paper nor a file"),
        (["--noise", "pink"], "--noise pink: use wgan, coloured, bootstrap, white or auto"),
        (["--mask", "nowhere"], "--mask nowhere: no such folder"),
        (["--structure", "no.cif"], "--structure no.cif: no such file"),
        (["--device", "tpu"], "--device tpu"),
        (["--model", "none"], "neither a bundled model"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["fit", str(data), "-o", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_crowded_micrographs_are_refused_with_a_remedy(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowded = make_micrographs(tmp_path / "raw", 3, coverage=0.9)
    wanted = tmp_path / "large.toml"
    wanted.write_text(TINY.replace("[64.0]", "[512.0]"))
    command = ["fit", str(crowded), "-o", str(tmp_path / "out"), "--recipe", str(wanted)]
    assert main([*command, "--device", "cpu"]) == 1
    assert "too few windows without particles in 3 micrographs" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_recipes_come_with_the_package() -> None:
    for name in FIT_RECIPES:
        assert read_fit_recipe(name).name == name
        assert (recipe_folder() / f"{name}.toml").is_file()


def test_a_time_decides_the_steps_once(
    done: tuple[Path, Silent],
    data: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def paced(step_s: float) -> None:
        pace = Pace(step_s, 0.0, 0.0)
        monkeypatch.setattr("nt2c.pipeline.training.measure_pace", lambda *_, **__: pace)

    for stage in ("windows", "noise", "contrast"):
        shutil.copytree(done[0] / stage, tmp_path / stage)
    paced(100.0)
    own = job(data, tmp_path, recipe, time_s=1e4)
    with pytest.raises(KilledError):
        fit(own, seen := Silent("training", 2))
    steps = json.loads((tmp_path / "training" / "steps.json").read_text())["steps"]
    assert 20 <= steps < 100  # less what the stages before took, and judging will
    assert seen.totals["training"] == steps  # not the recipe's
    paced(1.0)
    record = told(fit(own, Silent()))
    assert record["stages"]["training"]["steps"] == record["stages"]["training"]["step"] == steps
    assert record["time_s"] == 1e4


def test_recipe_for_training_is_refused_for_a_fit(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(TINY.replace("validation_fields", "validation_field"))
    with pytest.raises(SettingsError, match=r"did you mean 'pairs\.validation_fields'"):
        read_fit_recipe(str(wrong))
    wrong.write_text(TINY.replace("crop_px = 32", "crop_px = 34"))
    with pytest.raises(SettingsError, match="stride 4"):
        read_fit_recipe(str(wrong))


def test_defocus_of_a_star_file_counts_unless_the_recipe_has_one(recipe: Path) -> None:
    chosen = read_settings(recipe, FitRecipe)
    told = chosen.imaged_as(StarOptics((1.0, 2.0), 200.0, None), "a.star")
    assert told.transfer.defocus_um == (1.0, 2.0)
    assert told.simulation.imaging.voltage_kv == 200.0
    assert told.simulation.imaging.cs_mm == chosen.simulation.imaging.cs_mm
    own = told.imaged_as(StarOptics((3.0, 4.0), None, None), "a.star")
    assert own.transfer.defocus_um == (1.0, 2.0)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (StarOptics(None, 0.0, None), "voltage_kv' = 0.0"),
        (StarOptics(None, 300.0, -5.0), "cs_mm' = -5.0"),
    ],
)
def test_what_a_star_file_tells_is_checked_as_a_recipe_is(
    recipe: Path, told: StarOptics, named: str
) -> None:
    with pytest.raises(SettingsError, match=rf"bad\.star.*{named}.*correct the list"):
        read_settings(recipe, FitRecipe).imaged_as(told, "bad.star")


def test_failed_fits_of_the_ctf_are_left_out_and_told(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in data.iterdir())
    listed = {name: Defocus(1.0 + i, 1.0 + i) for i, name in enumerate(names)}
    star = data.parent / f"{tmp_path.name}.star"
    write_micrographs_star(star, {f"{data.name}/{n}": d for n, d in listed.items()}, OPTICS)
    star.write_text(star.read_text().replace("10000.000000", "nan"))
    options = FitOptions(recipe=str(recipe), device="cpu")
    given = plan([str(star)], tmp_path / "out", options)
    assert given.recipe.transfer.defocus_um == (2.0, 2.0)
    assert given.notes == (f"{star}: defocus from 2.00 to 2.00 um, without 1 of 2 CTF fits "
                           "(1 no number)",)  # fmt: skip
    watch = Silent("windows", 1)
    with pytest.raises(KilledError):
        fit(given, watch)
    assert watch.warnings == list(given.notes)


def test_another_pixel_size_than_the_models_is_refused(
    data: Path, recipe: Path, tmp_path: Path
) -> None:
    chosen = read_settings(recipe, FitRecipe).simulation.replace(pixel_size_a=2.0)
    with pytest.raises(SettingsError, match=r"pixel_size_a = 2 is not that of the model"):
        fit(job(data, tmp_path, recipe, simulation=chosen), Silent())
    same = read_settings(recipe, FitRecipe).simulation.replace(pixel_size_a=PIXEL_A)
    with pytest.raises(KilledError):
        fit(job(data, tmp_path, recipe, simulation=same), Silent("windows"))


def test_one_seed_decides_all(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(TINY.replace("[extraction]", "[extraction]\nseed = 1"))
    with pytest.raises(SettingsError, match=r"unknown key 'extraction\.seed'"):
        read_fit_recipe(str(wrong))


def test_options_count_before_the_recipe(data: Path, recipe: Path, tmp_path: Path) -> None:
    options = FitOptions(recipe=str(recipe), pixel_size_a=3.0, noise="white", device="cpu", seed=7)
    given = plan([str(data)], tmp_path, options)
    assert (given.recipe.noise, given.recipe.seed) == ("white", 7)
    assert given.pixel_size_a == 3.0
    assert given.recipe.optimizer == read_settings(recipe, FitRecipe).optimizer


def test_windows_are_split_within_every_micrograph(done: tuple[Path, Silent]) -> None:
    split = split_windows(done[0] / "windows")
    assert len(split.judge) >= 8
    assert len(split.learn) + len(split.judge) == 60
    assert set(split.judge_groups.tolist()) == set(split.learn_groups.tolist())


KILLS = {
    "windows": "windows/prepared/field_0.npy",
    "contrast": "contrast/begun.json",
    "noise": "noise/checkpoint.safetensors",
    "training": "training/checkpoint.safetensors",
}
"""When each stage is killed: as soon as this file is there."""


@pytest.mark.slow
def test_kill_9_at_each_stage_loses_nothing_that_was_done(data: Path, tmp_path: Path) -> None:
    """Set NT2C_KILL_DATA and NT2C_KILL_RECIPE to try it on other micrographs."""
    raw = os.environ.get("NT2C_KILL_DATA", str(data))
    (tmp_path / "tiny.toml").write_text(TINY.replace("steps = 4", "steps = 40"))
    wanted = os.environ.get("NT2C_KILL_RECIPE", str(tmp_path / "tiny.toml"))

    def command(out: Path) -> list[str]:
        words = ["fit", raw, "-o", str(out), "--recipe", wanted, "--noise", "wgan"]
        return [sys.executable, "-c", "import sys; from nt2c.cli.app import main; sys.exit(main())",
                *words, "--device", "cpu"]  # fmt: skip

    subprocess.run(command(tmp_path / "whole"), check=True)
    out = tmp_path / "broken"
    done: list[str] = []
    samplers = []
    for stage, name in KILLS.items():
        wait_for = out / name
        victim = subprocess.Popen(command(out), stdout=subprocess.PIPE, text=True)
        while victim.poll() is None and not (
            wait_for.exists() or (stage == "windows" and any(out.glob("windows/prepared/*.npy")))
        ):
            time.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
        shown = victim.communicate()[0]
        assert victim.returncode == -signal.SIGKILL
        assert not (out / stage / STAMP).exists()
        assert [line.split()[0] for line in shown.splitlines() if "(done before)" in line] == done
        done = list(KILLS)[: list(KILLS).index(stage)]
        assert [name for name in KILLS if (out / name / STAMP).exists()] == done
    last = subprocess.run(command(out), check=True, capture_output=True, text=True).stdout
    assert last.count("(done before)") == 3
    for name in ("model.safetensors", "contrast/contrast.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for folder in (out, tmp_path / "whole"):
        tensors, metadata = read_weights(folder / "noise" / "sampler.safetensors")
        samplers.append((digest(tensors[name] for name in sorted(tensors)), metadata))
    assert samplers[0] == samplers[1]
