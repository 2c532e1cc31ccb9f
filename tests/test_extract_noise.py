import csv
import json
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest

from nt2c.cli.app import main
from nt2c.core.errors import InputError, SettingsError
from nt2c.io.inputs import MicrographInput, find_inputs
from nt2c.io.weights import write_weights
from nt2c.noise.extraction import ExtractionSettings
from nt2c.pipeline.extract import extract_noise
from nt2c.pipeline.options import ExtractOptions
from nt2c.pipeline.window_files import load_windows
from nt2c.report.windows import draw_overlays
from tests.batch.make import identity_model
from tests.io.make import write_mrc

SHAPE = (260, 300)
CENTRES = ((60, 70), (70, 200), (170, 60), (200, 210))
RADIUS = 15


@pytest.fixture(scope="module")
def model():
    """A denoiser that returns a twentieth of its input: noise is far under every limit."""
    model = identity_model()
    model.network.head.weight.data *= 0.05
    return model


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "twentieth.safetensors"
    write_weights(path, *model.to_tensors())
    return str(path)


def write_field(path, seed=0, pixel_size_a=4.0, shape=SHAPE, depth=6.0, centres=CENTRES):
    """White noise of 10 around 100 with dark discs of `depth` standard deviations."""
    image = np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for a, b in centres:
        image[np.hypot(y - a, x - b) <= RADIUS] -= 10 * depth
    path.parent.mkdir(exist_ok=True)
    return write_mrc(path, image, pixel_size_a)


def run(folder, output, model, pixel_size_a=None, masks=None, raw=False, **settings):
    settings = ExtractionSettings(
        **{"windows_a": (96.0,), "least": 10, "faint": (0.0, 0.0), **settings}
    )
    return extract_noise(
        find_inputs([folder]), output, model, settings,
        ExtractOptions(pixel_size_a=pixel_size_a, mask=masks, raw=raw, device="cpu"),
    )  # fmt: skip


def rows(output):
    with (output / "windows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_windows_are_cut_from_the_prepared_micrographs(tmp_path, model):
    for index in range(2):
        write_field(tmp_path / "in" / f"m.{index}.mrc", index)
    summary = run(tmp_path / "in", tmp_path / "out", model)
    windows, pixel_size_a = load_windows(tmp_path / "out")
    table = rows(tmp_path / "out")
    assert windows.shape == (len(table), 24, 24)
    assert summary.windows == len(table)
    assert (summary.micrographs, summary.size_px, pixel_size_a) == (2, 24, 4.0)
    assert {row["micrograph"] for row in table} == {"m.0", "m.1"}
    for window, row in zip(windows.numpy(), table, strict=True):
        prepared = np.load(tmp_path / "out" / "prepared" / f"{row['micrograph']}.npy")
        assert prepared.dtype == np.float16
        y, x = int(row["y_px"]), int(row["x_px"])
        assert np.array_equal(window, prepared[y : y + 24, x : x + 24].astype(np.float32))
        assert float(row["y_a"]) == pytest.approx(4 * (y + 12), abs=0.1)
        near = [max(abs(a - y - 12), abs(b - x - 12)) for a, b in CENTRES]
        assert min(near) > 12 + RADIUS / 2
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["windows"] == len(table)


def test_only_what_an_extraction_made_is_removed(tmp_path, model):
    """The folder may be the one in which raw/ holds the micrographs."""
    field = write_field(tmp_path / "raw" / "m.mrc")
    before = field.read_bytes()
    for _ in range(2):
        run(tmp_path / "raw", tmp_path, model, raw=True)
        draw_overlays(tmp_path)
        assert field.read_bytes() == before
        assert (tmp_path / "raw" / "m.npy").is_file()
    write_field(tmp_path / "raw" / "n.mrc", 1)
    (tmp_path / "overlays" / "mine.png").touch()
    run(tmp_path / "raw" / "n.mrc", tmp_path, model)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert left == {"raw/m.mrc", "raw/n.mrc", "prepared/n.npy", "overlays/mine.png"}
    (tmp_path / "summary.json").write_text('{"format": 1, "results": []}')
    with pytest.raises(SettingsError, match=r"summary\.json: is not of an extraction"):
        run(tmp_path / "raw", tmp_path, model)
    assert (tmp_path / "prepared" / "n.npy").is_file()


def test_names_in_the_folder_are_distinct(tmp_path, model):
    names = ["a.mrc", "a.mrcs", "a_1.mrc", "b__c.mrc", "b/c.mrc", "b__c_4.mrc"]
    found = [MicrographInput(write_field(tmp_path / n), n) for n in ["x.mrc"]]
    items = [replace(found[0], output_name=name) for name in names]
    extract_noise(
        items, tmp_path / "out", model,
        ExtractionSettings(windows_a=(96.0,), least=10, faint=(0.0, 0.0)),
        ExtractOptions(device="cpu"),
    )  # fmt: skip
    assert len(list((tmp_path / "out" / "prepared").glob("*.npy"))) == len(names)


def test_windows_of_white_noise_have_variance_one_and_a_flat_spectrum(tmp_path, model):
    write_field(tmp_path / "in" / "m.mrc", centres=())
    summary = run(tmp_path / "in", tmp_path / "out", model)
    # 24^2 values in each window; the noise of the whole field has variance 1 by the scaling.
    error = (2 / (summary.windows * 24**2)) ** 0.5
    assert summary.variance == pytest.approx(1, abs=5 * error + 0.02)
    power = np.array(summary.spectrum.power)
    assert power.mean() == pytest.approx(1, abs=0.05)
    assert np.all(np.abs(power - 1) < 0.35)


def test_sizes_and_pixel_sizes_may_differ(tmp_path, model):
    write_field(tmp_path / "in" / "a.mrc", 0)
    write_field(tmp_path / "in" / "b.mrc", 1, 2.5, (400, 360), centres=((100, 100),))
    run(tmp_path / "in", tmp_path / "out", model)
    prepared = np.load(tmp_path / "out" / "prepared" / "b.npy")
    assert prepared.shape == (250, 224)  # even sizes nearest to 400 * 2.5 / 4 and 360 * 2.5 / 4
    own = [row for row in rows(tmp_path / "out") if row["micrograph"] == "b"]
    assert own
    assert all(
        abs(float(row["y_a"]) - 250) > 37 or abs(float(row["x_a"]) - 250) > 37 for row in own
    )


def test_windows_at_the_pixel_size_of_the_files(tmp_path, model):
    write_field(tmp_path / "in" / "coarse.mrc", 0)
    fine = np.random.default_rng(1).normal(100, 10, SHAPE).astype(np.float32)
    write_mrc(tmp_path / "in" / "fine.mrc", fine.repeat(2, 0).repeat(2, 1), 2.0)
    run(tmp_path / "in", tmp_path / "out", model, raw=True)
    places = rows(tmp_path / "out")
    windows, _ = load_windows(tmp_path / "out")
    for name, factor in (("coarse", 1), ("fine", 2)):
        cut = np.load(tmp_path / "out" / "raw" / f"{name}.npy")
        own = windows.numpy()[[row["micrograph"] == name for row in places]]
        assert cut.shape == (len(own), 24 * factor, 24 * factor)
        assert cut.mean() == pytest.approx(100, abs=1)  # grey values of the file
        binned = cut.reshape(len(own), 24, factor, 24, factor).mean((2, 4))
        for a, b in zip(binned, own, strict=True):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.75
    run(tmp_path / "in", tmp_path / "out", model)
    assert not (tmp_path / "out" / "raw").exists()


def test_one_micrograph_and_its_pixel_size(tmp_path, model):
    write_field(tmp_path / "in" / "m.mrc", pixel_size_a=1.0)
    with pytest.raises(InputError, match="too few windows"):
        run(tmp_path / "in", tmp_path / "out", model)
    assert run(tmp_path / "in", tmp_path / "out", model, pixel_size_a=4.0).micrographs == 1


def test_smaller_windows_are_taken_where_large_ones_are_few(tmp_path, model):
    write_field(tmp_path / "in" / "m.mrc")
    sizes = {"windows_a": (800.0, 192.0, 96.0)}
    assert run(tmp_path / "in", tmp_path / "out", model, **sizes, least=1).size_px == 48
    assert run(tmp_path / "in", tmp_path / "out", model, **sizes, least=15).size_px == 24


def test_a_crowded_micrograph_gives_windows_only_at_a_lenient_level(tmp_path, model):
    # Discs of 0.3 noise variances of evidence everywhere, 6^2 / 20^2 / 0.3 at their rims.
    crowd = [(y, x) for y in range(20, 260, 34) for x in range(20, 300, 34)]
    write_field(tmp_path / "in" / "m.mrc", centres=crowd)
    strict = {"levels": ((0.008, 24.0),), "least": 10}
    with pytest.raises(InputError, match=r"0 of 96 A; at least 10 are needed.*--window"):
        run(tmp_path / "in", tmp_path / "out", model, **strict)
    lenient = {"levels": ((0.008, 24.0), (10.0, 0.0)), "least": 10}
    summary = run(tmp_path / "in", tmp_path / "out", model, **lenient, drift=5.0, variance=9.0)
    assert summary.evidence_limit == 10.0
    assert any("few places are free" in text for text in summary.warnings)


def test_no_micrograph_dominates(tmp_path, model):
    narrow = np.ones((130, 150), np.int16)
    narrow[:, :20] = 0
    (tmp_path / "masks").mkdir()
    for index in range(5):
        write_field(tmp_path / "in" / f"m{index}.mrc", index, centres=())
        if index:
            write_mrc(tmp_path / "masks" / f"m{index}.mrc", narrow, 8.0)
    summary = run(tmp_path / "in", tmp_path / "out", model, masks=tmp_path / "masks")
    counts = [one.windows for one in summary.per_micrograph]
    assert min(counts) > 0
    assert max(counts) <= 3 * sum(counts) / 5
    alone = run(tmp_path / "in" / "m0.mrc", tmp_path / "alone", model)
    assert alone.windows > max(counts)


def test_the_total_is_limited_evenly(tmp_path, model):
    for index in range(2):
        write_field(tmp_path / "in" / f"m{index}.mrc", index)
    summary = run(tmp_path / "in", tmp_path / "out", model, count=12)
    assert [one.windows for one in summary.per_micrograph] == [6, 6]


def test_a_faint_micrograph_waits_for_the_others_to_be_too_few(tmp_path, model):
    write_field(tmp_path / "in" / "clear.mrc", 0, centres=())
    write_field(tmp_path / "in" / "faint.mrc", 1, depth=8.0)
    settings = {"faint": (0.01, 9.0)}
    first = run(tmp_path / "in", tmp_path / "out", model, **settings)
    assert {one.name: one.windows > 0 for one in first.per_micrograph} == {
        "clear": True,
        "faint": False,
    }
    assert not first.warnings
    both = run(tmp_path / "in", tmp_path / "out", model, **settings, least=first.windows + 5)
    assert any("faint" in text for text in both.warnings)
    assert both.micrographs == 2


def test_evenly_spaced_micrographs_are_used(tmp_path, model):
    for index in range(6):
        write_field(tmp_path / "in" / f"m{index}.mrc", index)
    run(tmp_path / "in", tmp_path / "out", model, micrographs=2)
    kept = sorted(path.name for path in (tmp_path / "out" / "prepared").iterdir())
    assert kept == ["m1.npy", "m4.npy"]


def test_no_window_where_a_mask_is_not_zero(tmp_path, model):
    write_field(tmp_path / "in" / "m.mrc", centres=())
    mask = np.zeros((130, 150), np.int16)  # half the size, the same field of view
    mask[:, :75] = 1
    (tmp_path / "masks").mkdir()
    write_mrc(tmp_path / "masks" / "m.mrc", mask, 8.0)
    run(tmp_path / "in", tmp_path / "out", model, masks=tmp_path / "masks")
    assert min(int(row["x_px"]) for row in rows(tmp_path / "out")) >= 150
    write_mrc(tmp_path / "masks" / "m.mrc", mask[:60], 8.0)
    with pytest.raises(InputError, match="not the field of view"):
        run(tmp_path / "in", tmp_path / "out", model, masks=tmp_path / "masks")
    (tmp_path / "masks" / "m.mrc").rename(tmp_path / "masks" / "other.mrc")
    with pytest.raises(SettingsError, match="no mask has the name"):
        run(tmp_path / "in", tmp_path / "out", model, masks=tmp_path / "masks")


def test_an_earlier_extraction_is_replaced(tmp_path, model):
    write_field(tmp_path / "in" / "a.mrc", 0)
    run(tmp_path / "in", tmp_path / "out", model)
    (tmp_path / "in" / "a.mrc").rename(tmp_path / "in" / "b.mrc")
    run(tmp_path / "in", tmp_path / "out", model)
    assert [path.name for path in (tmp_path / "out" / "prepared").iterdir()] == ["b.npy"]
    with pytest.raises(InputError):
        run(tmp_path / "in", tmp_path / "out", model, least=1000)
    with pytest.raises(InputError, match="no finished extraction"):
        load_windows(tmp_path / "out")


def test_the_command_names_bad_files_and_draws_the_windows(tmp_path, model_file, capsys):
    write_field(tmp_path / "in" / "good.mrc")
    (tmp_path / "in" / "bad.mrc").write_bytes(b"nothing like a micrograph")
    words = ["extract-noise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model",
             model_file, "--window", "96", "--count", "12", "--device", "cpu"]  # fmt: skip
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "12 windows of 96 A (24 px of 4 A) from 1 micrograph" in shown.out
    assert str(tmp_path / "in" / "bad.mrc") in shown.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [one["path"] for one in summary["skipped"]] == [str(tmp_path / "in" / "bad.mrc")]
    picture = imagecodecs.png_decode((tmp_path / "out" / "overlays" / "good.png").read_bytes())
    coloured = np.ptp(picture[..., :3].astype(int), axis=-1) > 40
    assert 0.002 < coloured.mean() < 0.2
    assert main([*words, "--window", "800"]) == 1
    assert "too few windows" in capsys.readouterr().err
    assert main([*words, "--pixel-size", "-1"]) == 2
