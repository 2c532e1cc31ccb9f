"""The command `nt2c evaluate` on small files: what it compares, prints, writes and refuses."""

import json

import numpy as np
import pytest

from nt2c.cli.app import main
from nt2c.core.errors import InputError
from nt2c.evaluation.filters import gaussian
from nt2c.evaluation.halves import crossed_score, halves_score
from nt2c.evaluation.noise_only import variance_ratio
from nt2c.evaluation.pairs import pair_score
from nt2c.evaluation.truth import truth_score
from nt2c.io.matching import image_files, labels, partner
from nt2c.io.micrographs import write_micrograph
from tests.evaluation.conftest import smooth

PIXEL_A = 3.0


@pytest.fixture
def images(rng):
    """Two fields of every kind; "even" and "odd" halves average to "noisy"."""
    fields = {}
    for name in ("field.01", "field.02"):
        clean = smooth(rng, (160, 144), 4)
        even, odd = (clean + 2 * rng.standard_normal(clean.shape) for _ in range(2))
        fields[name] = {
            "clean": clean,
            "even": even,
            "odd": odd,
            "noisy": (even + odd) / 2,
            "independent": clean + 5 * rng.standard_normal(clean.shape),
            "noise": (even + odd) / 2 - clean,
        }
    return fields


@pytest.fixture
def write(tmp_path, images):
    def write(folder, kind, ending="", change=lambda image: image):
        for name, field in images.items():
            path = tmp_path / folder / f"{name}{ending}.mrc"
            path.parent.mkdir(exist_ok=True)
            write_micrograph(path, np.float32(change(field[kind])), PIXEL_A)
        return str(tmp_path / folder)

    return write


def blur(image):
    return gaussian(image, 4)


def test_truth_figures_reach_the_table_and_the_json(write, images, tmp_path, capsys):
    denoised = write("denoised", "noisy", "_noisy", blur)
    both = write("truth", "clean", "_clean")
    write("truth", "noisy", "_noisy")  # a folder of truths may also hold the noisy ones
    out = tmp_path / "out.json"
    assert main(["evaluate", denoised, "--truth", both, "--json", str(out)]) == 0
    result = json.loads(out.read_text())["truth"]
    field = images["field.01"]
    expected = truth_score(np.float32(blur(field["noisy"])), np.float32(field["clean"]), PIXEL_A)
    measured = result["fields"]["field.01_noisy"]
    assert measured["correlation"] == pytest.approx(expected.correlation)
    assert measured["frc05_a"] == pytest.approx(expected.frc05_a)
    both_fields = [f["correlation"] for f in result["fields"].values()]
    assert result["mean"]["correlation"] == pytest.approx(np.mean(both_fields))
    printed = capsys.readouterr().out
    assert f"{expected.correlation:.4g}" in printed
    assert "field.02_noisy" in printed


def test_a_crossing_at_nyquist_is_not_one_that_never_was(write, images, tmp_path, rng, capsys):
    out, truth = tmp_path / "out.json", write("truth", "noise")

    def score(name, change):
        arguments = [write(name, "noise", "", change), "--truth", truth, "--json", str(out)]
        assert main(["evaluate", *arguments]) == 0
        return json.loads(out.read_text())["truth"]

    perfect = score("perfect", lambda image: image + 1e-6 * rng.standard_normal(image.shape))
    for row in (*perfect["fields"].values(), perfect["mean"]):
        assert row["frc05_a"] == row["frc0143_a"] == pytest.approx(2 * PIXEL_A)
    assert "6" in capsys.readouterr().out.splitlines()[-2].split()
    useless = score("useless", lambda image: rng.standard_normal(image.shape))
    assert [row["frc05_a"] for row in useless["fields"].values()] == [None, None]
    assert useless["mean"]["frc05_a"] is None
    assert "none" in capsys.readouterr().out.splitlines()[-2].split()


def test_files_of_one_name_in_two_folders_are_scored_apart(write, tmp_path, capsys):
    good, bad = write("good", "noisy", "", blur), write("bad", "noisy")
    out, truth = tmp_path / "out.json", write("truth", "clean")
    extra = str(tmp_path / "bad" / "field.01.mrc")  # given twice, scored once
    assert main(["evaluate", good, bad, extra, "--truth", truth, "--json", str(out)]) == 0
    result = json.loads(out.read_text())["truth"]
    names = [f"{folder}/field.0{i}.mrc" for folder in ("good", "bad") for i in (1, 2)]
    assert list(result["fields"]) == names
    scores = [row["correlation"] for row in result["fields"].values()]
    assert min(scores[:2]) > max(scores[2:])
    assert result["mean"]["correlation"] == pytest.approx(np.mean(scores))
    assert "good/field.01.mrc" in capsys.readouterr().out


def test_labels_are_short_where_they_can_be(tmp_path):
    paths = [
        tmp_path / name for name in ("a/x.mrc", "a/x.tif", "b/c/y.mrc", "b/d/y.mrc", "z.1.mrc")
    ]
    assert labels(paths[2:]) == ["c/y.mrc", "d/y.mrc", "z.1"]
    assert labels(paths[:2]) == ["x.mrc", "x.tif"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert image_files([tmp_path / "a", paths[0]]) == paths[:2]


def test_independent_exposures_need_only_two_folders(write, images, tmp_path, capsys):
    out = tmp_path / "out.json"
    arguments = [write("denoised", "noisy", "", blur), "--raw", write("raw", "noisy")]
    arguments += ["--independent", write("independent", "independent"), "--json", str(out)]
    assert main(["evaluate", *arguments]) == 0
    result = json.loads(out.read_text())["independent"]
    scores = [
        pair_score(blur(f["noisy"]), f["independent"], f["noisy"], pixel_size_a=PIXEL_A)
        for f in images.values()
    ]
    pooled = sum(s.recovered for s in scores) / sum(s.signal for s in scores)
    assert result["fraction"] == pytest.approx(pooled, rel=1e-4)
    assert len(result["bands"]) == 8
    assert "20-15 A" in capsys.readouterr().out


def test_a_scale_file_sets_the_unit_and_pixel_size_the_bands(write, tmp_path, capsys):
    out, scale = tmp_path / "out.json", tmp_path / "scale.csv"
    arguments = ["evaluate", write("denoised", "noisy", "", blur), "--raw", write("raw", "noisy")]
    arguments += ["--independent", write("independent", "independent"), "--json", str(out)]
    results = []
    for extra in ([], ["--scale", str(scale)], ["--pixel-size", "10"]):
        scale.write_text("name,noise_sd_micrograph\nfield.01,2\nfield.02,2\n")
        assert main([*arguments, *extra]) == 0
        results.append(json.loads(out.read_text())["independent"])
    default, scaled, coarse = results
    ratio = default["fields"]["field.01"]["signal"] / scaled["fields"]["field.01"]["signal"]
    assert ratio == pytest.approx(2, rel=0.05)  # the noise variance is 2, the scale says 4
    assert len(coarse["bands"]) == 7
    scale.write_text("name,noise_sd_micrograph\nfield.01,2\n")
    assert main([*arguments, "--scale", str(scale)]) == 1
    assert "scale.csv has no row named field.02" in capsys.readouterr().err
    scale.write_text("name,noise\nfield.01,2\n")
    assert main([*arguments, "--scale", str(scale)]) == 2


def test_halves_take_the_denoised_halves_as_inputs(write, images, tmp_path):
    out = tmp_path / "out.json"
    denoised = [write("de", "even", "_EVN", blur), write("do", "odd", "_ODD", blur)]
    raw = [write("re", "even", "_EVN"), write("ro", "odd", "_ODD")]
    assert main(["evaluate", *denoised, "--halves", *raw, "--json", str(out)]) == 0
    field = images["field.02"]
    even, odd = field["even"], field["odd"]
    expected = halves_score(even, odd, blur(even), blur(odd))
    measured = json.loads(out.read_text())["halves"]["fields"]["field.02_EVN"]
    assert measured["bias"] == pytest.approx(expected.bias, rel=1e-3)
    assert measured["noise_left"] == pytest.approx(expected.noise_left, rel=1e-3)
    assert main(["evaluate", denoised[0], "--halves", *raw]) == 2


@pytest.mark.parametrize("kind", ["EVN", "warp", "warp without sums"])
def test_halves_beside_each_other_are_recognised(write, images, tmp_path, kind, capsys):
    """As RELION and MotionCor name them, or as Warp lays them in folders; sums do not disturb."""
    out, folders = tmp_path / "out.json", []
    (tmp_path / "average").mkdir()
    (tmp_path / "denoised").mkdir()
    for folder, change in (("average", np.asarray), ("denoised", blur)):
        if kind != "warp without sums":
            write(folder, "noisy", "", change)
        for half, ending in (("even", "_EVN"), ("odd", "_ODD")):
            write(
                *((folder, half, ending) if kind == "EVN" else (f"{folder}/{half}", half)),
                change=change,
            )
        folders.append(str(tmp_path / folder))
    raw, denoised = folders
    assert main(["evaluate", denoised, "--halves-in", raw, "--json", str(out)]) == 0
    fields = json.loads(out.read_text())["halves"]["fields"]
    name = "field.02_EVN" if kind == "EVN" else "field.02"
    even, odd = images["field.02"]["even"], images["field.02"]["odd"]
    expected = halves_score(even, odd, blur(even), blur(odd))
    crossed = crossed_score(even, odd, blur(even), blur(odd), pixel_size_a=PIXEL_A)
    assert fields.keys() == {name, name.replace("2", "1")}
    assert fields[name]["bias"] == pytest.approx(expected.bias, rel=1e-3)
    assert fields[name]["noise_left"] == pytest.approx(expected.noise_left, rel=1e-3)
    assert fields[name]["fraction"] == pytest.approx(crossed.fraction, rel=1e-3)
    assert fields[name]["frc_crossed_a"] == pytest.approx(crossed.frc_crossed_a)
    assert f"{crossed.fraction:.4g}" in capsys.readouterr().out


def test_halves_that_are_not_there(write, tmp_path, capsys):
    raw, both = write("raw", "even", "_EVN"), write("both", "even", "_EVN")
    write("both", "odd", "_ODD")
    assert main(["evaluate", both, "--halves-in", raw]) == 2
    assert "holds no halves" in capsys.readouterr().err
    write("raw", "odd", "_ODD")
    assert main(["evaluate", both, raw, "--halves-in", raw]) == 2
    assert main(["evaluate", both, "--halves-in", raw, "--halves", raw, raw]) == 2
    (tmp_path / "raw" / "field.01_EVN.mrc").unlink()
    assert main(["evaluate", both, "--halves-in", raw]) == 1
    assert "no raw halves named field.01" in capsys.readouterr().err


def test_noise_only_compares_with_the_field_of_that_name(write, images, tmp_path, capsys):
    out = tmp_path / "out.json"
    arguments = [write("denoised", "noisy", "_noisy", blur)]
    arguments += ["--noise-only", write("noise", "noise", "", blur), "--json", str(out)]
    assert main(["evaluate", *arguments]) == 0
    measured = json.loads(out.read_text())["noise_only"]["fields"]["field.01_noisy"]
    field = images["field.01"]
    expected = variance_ratio(blur(field["noise"]), blur(field["noisy"]))
    assert measured == {"variance_ratio": pytest.approx(expected, rel=1e-4)}
    assert "blobs" not in capsys.readouterr().out
    assert main(["evaluate", *arguments, "--diameter", "40"]) == 0
    assert "blobs_in_noise" in json.loads(out.read_text())["noise_only"]["fields"]["field.01_noisy"]
    assert "blobs in noise" in capsys.readouterr().out


def test_a_bad_file_is_named_and_the_others_are_done(write, tmp_path, capsys):
    denoised = write("denoised", "noisy", "", blur)
    (tmp_path / "denoised" / "a_broken.mrc").write_bytes(b"not an image")
    truth = write("truth", "clean")
    (tmp_path / "truth" / "field.02.mrc").unlink()
    out = tmp_path / "out.json"
    assert main(["evaluate", denoised, "--truth", truth, "--json", str(out)]) == 1
    printed = capsys.readouterr()
    assert "a_broken.mrc" in printed.err
    assert "holds no partner named field.02" in printed.err
    result = json.loads(out.read_text())
    assert list(result["truth"]["fields"]) == ["field.01"]
    assert len(result["failed"]) == 2


def test_a_file_is_never_its_own_truth(write, capsys):
    denoised = write("denoised", "noisy")
    assert main(["evaluate", denoised, "--truth", denoised]) == 1
    shown = capsys.readouterr()
    assert "no partner" in shown.err
    assert shown.out == ""  # no table without figures


def test_a_stack_is_refused(tmp_path, capsys):
    for name in ("stack.mrcs", "stack_clean.mrcs"):
        write_micrograph(tmp_path / name, np.eye(64, dtype=np.float32)[None].repeat(2, 0), PIXEL_A)
    arguments = [str(tmp_path / "stack.mrcs"), "--truth", str(tmp_path / "stack_clean.mrcs")]
    assert main(["evaluate", *arguments]) == 1
    assert "stack.mrcs: a stack of 2 images" in capsys.readouterr().err


def test_partners_are_found_by_field_and_preferred_by_role(tmp_path):
    for name in (
        "a.1_noisy.mrc",
        "a.1_clean.mrc",
        "a.1_mask.mrc",
        "a.mrc",
        "b_ODD.mrc.gz",
        "a.1.txt",
    ):
        (tmp_path / name).touch()
    denoised = tmp_path.parent / f"{tmp_path.name}_denoised"
    denoised.mkdir()
    for name, roles, expected in [
        ("a.1_noisy.mrc", ("_clean",), "a.1_clean.mrc"),
        ("a.1_noisy.mrc", (), "a.1_noisy.mrc"),
        ("a.1.tif", ("_truth", "_clean"), "a.1_clean.mrc"),
        ("a_denoised.mrc", ("_clean",), "a.mrc"),
        ("b_EVN.mrc", (), "b_ODD.mrc.gz"),
    ]:
        (denoised / name).touch()
        assert partner(denoised / name, tmp_path, roles).name == expected
    with pytest.raises(InputError, match="no partner named c"):
        partner(denoised / "c.mrc", tmp_path)
    (denoised / "a.1_denoised.mrc").touch()
    with pytest.raises(InputError, match=r"holds a\.1_clean\.mrc and a\.1_noisy\.mrc"):
        partner(denoised / "a.1_denoised.mrc", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare with"),
        (["--independent", "."], "also needs --raw"),
        (["--truth", "nowhere"], "no such file or folder"),
        (["--truth", ".", "--raw", "."], "--raw and --scale belong to --independent"),
        (["--truth", ".", "--scale", "s.csv"], "--raw and --scale belong to --independent"),
        (["--truth", ".", "--diameter", "100"], "--diameter belongs to --noise-only"),
        (["--independent", ".", "--raw", ".", "--scale", "s.csv"], "s.csv: cannot be read"),
    ],
)
def test_wrong_usage_says_what_is_missing(write, capsys, arguments, message):
    denoised = write("denoised", "noisy")
    assert main(["evaluate", denoised, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--truth", str(tmp_path)]) == 2
    assert "holds no image file" in capsys.readouterr().err
