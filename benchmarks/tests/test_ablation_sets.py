"""The data sets of the ablation benchmark hold what they say, and their noise is what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.ablation.noises import NOISES, PIXEL_A, Scene
from benchmarks.ablation.sets import DESIGNS, simulate_set, write_set
from torch import Tensor

from nt2c.core.random import stream
from nt2c.evaluation.truth import correlation
from nt2c.imaging.fourier import radial_power
from nt2c.io.micrographs import open_micrograph
from nt2c.io.star import read_coordinates_star
from nt2c.simulation.bank import procedural_species

SHAPE = (240, 256)
DESIGN = replace(
    DESIGNS["modulated"], shape=(192, 224), micrographs=2, diameters_a=(90.0,), views=4
)


def draw(name: str, index: int, camera: int = 0) -> Tensor:
    transfer = torch.full((SHAPE[0], SHAPE[1] // 2 + 1), 2e-3)
    return NOISES[name](Scene(SHAPE, transfer, camera), stream(5, name, index))


def kurtosis(image: Tensor) -> float:
    centred = image - image.mean()
    return float(centred.pow(4).mean() / centred.square().mean() ** 2)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_repeatable_and_its_draws_are_not_copies(name: str) -> None:
    first, second = draw(name, 0), draw(name, 1, camera=9)
    assert torch.equal(first, draw(name, 0))
    # Independent white fields: 5 sigma are 5 / sqrt(61440) = 0.02; colour widens that.
    assert abs(correlation(first.numpy(), second.numpy())) < 0.06
    assert abs(correlation(first.numpy(), first.flip(0).flip(1).numpy())) < 0.06
    assert abs(float(first.mean())) < 0.3 * float(first.std())


def test_detector_noise_falls_with_frequency() -> None:
    _, power = radial_power(draw("detector", 0), PIXEL_A, 8)
    assert (power[1:] < power[:-1]).all()
    assert power[0] > 5 * power[-1]


def test_ice_is_stronger_than_counting() -> None:
    _, power = radial_power(draw("ice", 0), PIXEL_A, 8)
    assert power[0] > 1.2 * power[-1]


def test_modulated_noise_has_heavy_tails_and_uneven_variance() -> None:
    image = draw("modulated", 0)
    assert kurtosis(image) > 3.5  # Gaussian: 3, here with an error of sqrt(24 / 61440) = 0.02
    blocks = image.unfold(0, 60, 60).unfold(1, 64, 64).flatten(2).var(-1)
    assert blocks.max() > 1.6 * blocks.min()  # stationary white noise: 1.1


def test_pattern_is_shared_by_a_camera_and_anisotropic() -> None:
    first, second = draw("pattern", 0, camera=1).numpy(), draw("pattern", 1, camera=1).numpy()
    assert correlation(first, second) > 0.05
    beside = correlation(first[:, :-1], first[:, 1:])
    below = correlation(first[:-1], first[1:])
    assert beside > below + 0.3


def test_set_holds_truth_noise_and_independent_fields() -> None:
    bank = [procedural_species(90.0, PIXEL_A, 4, stream(1, "test species"))]
    micrographs, about = simulate_set(DESIGN, bank)
    again, _ = simulate_set(DESIGN, bank)
    for m, same in zip(micrographs, again, strict=True):
        torch.testing.assert_close(m.noisy, m.truth + m.noise, rtol=0, atol=1e-3)
        assert torch.equal(m.noisy, same.noisy)
        assert torch.equal(m.empty, same.empty)
        assert abs(correlation(m.noise.numpy(), m.empty.numpy())) < 0.05
        assert float(m.truth[m.mask].mean()) < float(m.truth[~m.mask].mean())  # dark particles
    snr = [m.facts["snr"] for m in micrographs]
    assert sum(snr) / 2 == pytest.approx(DESIGN.snr, rel=0.1)
    assert about["micrographs"].keys() == {"modulated_01", "modulated_02"}


def test_set_is_written_whole(tmp_path: Path) -> None:
    bank = [procedural_species(90.0, PIXEL_A, 4, stream(1, "test species"))]
    micrographs, about = simulate_set(DESIGN, bank)
    write_set(tmp_path, micrographs, about)
    for place in ("micrographs", "truth", "noise", "fields", "mask"):
        with open_micrograph(tmp_path / place / "modulated_02.mrc") as file:
            assert file.read().shape == DESIGN.shape
            assert file.pixel_size_a == PIXEL_A
    centres = read_coordinates_star(tmp_path / "coordinates" / "modulated_02.star")
    assert len(centres) == micrographs[1].facts["particles"] > 0
    assert (tmp_path / "micrographs.star").read_text().count("micrographs/modulated") == 2
    assert (tmp_path / "set.json").is_file()
