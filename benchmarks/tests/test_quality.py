"""Data sets, methods and measures of the quality benchmark do what the tables say they do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.quality import images as kept_images
from benchmarks.quality.fields import NOISE, DataSet, Field, partners
from benchmarks.quality.methods import FILTERS, Method, best_strength
from benchmarks.quality.peers import topaz
from benchmarks.quality.region import disc, region_snr_db, regions
from benchmarks.quality.scores import score

SHAPE = (96, 112)


def make_set(count: int = 2, *, judge: str = "truth") -> DataSet:
    """Dark discs on noise; with truth, or each with a partner exposure."""
    fields = []
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for i in range(count):
        rng = np.random.default_rng(i)
        centres = np.array([[30.0, 30.0], [60.0, 75.0]])
        discs = zip(centres, (2.0, 2.5), strict=True)
        clean = -sum((np.hypot(rows - y, columns - x) < 8) * s for (y, x), s in discs)
        noisy, other, empty = (rng.standard_normal(SHAPE) for _ in range(3))
        if judge == "exposure":
            first = Field(f"f{i}", clean + noisy, clean, 2.0)
            fields += partners(first, replace(first, name=f"g{i}", image=clean + other))
        else:
            fields.append(Field(f"f{i}_a", clean + noisy, clean, 2.0, noise_only=empty,
                                diameter_a=32.0, centres_px=centres))  # fmt: skip
    return DataSet("some", judge, tuple(fields))


def test_shots_are_the_fields_and_then_the_empty_ones() -> None:
    data = make_set()
    assert [s.name for s in data.shots] == ["f0_a", "f1_a", "f0_a" + NOISE, "f1_a" + NOISE]


def test_the_key_of_a_set_tells_images_apart_but_not_their_last_bits() -> None:
    data = make_set()
    first = data.fields[0]

    def key(image: np.ndarray) -> str:
        return DataSet("some", "truth", (replace(first, image=image), *data.fields[1:])).key

    assert key(first.image * (1 + 1e-9)) == data.key
    assert key(first.image * 1.1) != data.key


def test_the_key_of_a_method_tells_settings_and_sets_apart() -> None:
    data = make_set()
    method = FILTERS["tv"]
    keys = {
        method.key(data),
        replace(method, settings={**method.settings, "steps": 7}).key(data),
        replace(method, name="other").key(data),
        method.key(make_set(3)),
    }
    assert len(keys) == 4


@pytest.mark.parametrize("judge", ["truth", "exposure"])
@pytest.mark.parametrize("name", ["gaussian", "wiener"])
def test_filters_give_every_shot_and_beat_the_raw_image(name: str, judge: str) -> None:
    data = make_set(judge=judge)
    made, _ = FILTERS[name].run(data)
    assert made.keys() == {s.name for s in data.shots}
    raw, _ = FILTERS["raw"].run(data)
    assert score(data, made)[data.headline] > score(data, raw)[data.headline]


def test_total_variation_beats_the_raw_image() -> None:
    pytest.importorskip("skimage")
    data = make_set(1)
    made, chosen = FILTERS["tv"].run(data)
    assert chosen["weight"] in FILTERS["tv"].settings["weights"]
    raw, _ = FILTERS["raw"].run(data)
    assert score(data, made)["correlation"] > score(data, raw)["correlation"]


def test_the_best_strength_is_the_one_with_the_best_score() -> None:
    data = make_set()
    truth = {f.name: f.reference for f in data.fields}
    made, chosen = best_strength(
        data, "share", (0.0, 1.0, 0.5),
        lambda shot, s: s * truth[shot.field.name] + (1 - s) * shot.image,
    )  # fmt: skip
    assert chosen == {"share": 1.0}
    assert np.array_equal(made["f0_a"], truth["f0_a"])


def test_scores_of_the_truth_itself_and_of_halves() -> None:
    data = make_set()
    truth = {f.name: f.reference for f in data.fields}
    scores = score(data, truth | {f.name + NOISE: 0 * f.image for f in data.fields})
    assert scores["correlation"] == pytest.approx(1)
    assert scores["noise_left"] == 0
    pairs = make_set(judge="exposure")
    raw = score(pairs, {f.name: f.image for f in pairs.fields})
    # The raw halves have no bias, and all their noise, variance 1, is left.
    signal = raw["halves"]["f0"]["signal"]
    assert raw["bias"] == pytest.approx(0, abs=1e-12)
    assert raw["halves"]["f0"]["noise_left"] == pytest.approx(1, abs=0.1)
    assert raw["halves_noise"] == pytest.approx(1 / signal, rel=0.3)


def test_a_constant_image_is_scored_as_a_failure_and_not_as_perfect_silence() -> None:
    data = make_set(1)
    flat = {s.name: np.zeros(SHAPE) for s in data.shots}
    scores = score(data, flat)
    assert scores["noise_left"] is None
    assert scores["correlation"] == 0


def test_backgrounds_are_free_of_particles_and_the_nearest_such_places() -> None:
    centres = np.array([[30.0, 30.0], [60.0, 75.0], [1.0, 1.0]])
    inside, free = regions(SHAPE, centres, 16.0)
    assert inside.tolist() == centres[:2].tolist()  # the third is too near the border
    gaps = np.hypot(*(free[:, None] - centres[None]).transpose(2, 0, 1))
    assert (gaps >= 16).all()
    assert (gaps.min(1) < 24).all()


def test_no_place_for_a_background_means_no_regions() -> None:
    everywhere = np.stack(np.meshgrid(range(0, 96, 8), range(0, 112, 8)), -1).reshape(-1, 2)
    particles, backgrounds = regions(SHAPE, everywhere, 16.0)
    assert len(particles) == len(backgrounds) == 0


def test_region_snr_by_hand() -> None:
    """Signal 3 below a background of variance 4: 10 log10(9 / 4)."""
    rows, columns = np.mgrid[:60, :60]
    image = np.where((rows + columns) % 2, 2.0, -2.0)
    particle, background = np.array([15.0, 15.0]), np.array([40.0, 40.0])
    radius = 0.8 * 20 / 2
    level = disc(image, background, radius).mean() - 3
    image[np.hypot(rows - 15, columns - 15) <= radius] = level
    variance = disc(image, background, radius).var()
    assert region_snr_db(image, particle[None], background[None], 20.0) == pytest.approx(
        [10 * np.log10(9 / variance)]
    )


def test_images_are_made_once_and_read_back(tmp_path: Path) -> None:
    data, calls = make_set(1), []

    def run(given: DataSet) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        calls.append(given.name)
        return {s.name: np.float32(2 * s.image) for s in given.shots}, {"gain": 2.0}

    method = Method("double", run)
    first = kept_images.denoised(method, data, tmp_path)
    second = kept_images.denoised(method, data, tmp_path)
    assert calls == ["some"]
    assert second.chosen == {"gain": 2.0}
    assert all(np.array_equal(first.images[n], second.images[n]) for n in first.images)
    kept_images.denoised(method, data, tmp_path, again=True)
    assert len(calls) == 2
    kept_images.denoised(replace(method, settings={"new": 1}), data, tmp_path)
    assert len(calls) == 3


def test_topaz_without_its_program_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="give --topaz"):
        topaz("unet", None, tmp_path, 1).run(make_set(1))


def test_topaz_runs_only_for_images_that_are_missing(tmp_path: Path) -> None:
    """A stand-in for the program copies its inputs and counts them."""
    program = tmp_path / "topaz"
    program.write_text(
        "#!/bin/sh\nout=; for a; do case $prev in -o) out=$a;; esac; prev=$a; done\n"
        f"mkdir -p $out; for a; do case $a in *.mrc) cp $a $out; echo $a >> {tmp_path}/log;; esac; "
        "done\n"
    )
    program.chmod(0o755)
    data = make_set(4)
    method = topaz("unet", program, tmp_path / "made", 1)
    made, _ = method.run(data)
    assert np.allclose(made["f2_a"], data.fields[2].image, atol=1e-5)
    (tmp_path / "made/some/topaz-unet" / data.key / "f2_a.mrc").unlink()
    method.run(data)
    assert len((tmp_path / "log").read_text().splitlines()) == 8 + 1
