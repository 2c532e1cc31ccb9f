"""Kinds of noise beyond counts: as strong as drawn, and in each half on its own where it should."""

from dataclasses import replace

import pytest
import torch

from nt2c.core.random import stream
from nt2c.imaging.fourier import frequency_grid
from nt2c.simulation import further_noise, micrograph
from nt2c.simulation.further_noise import (
    Blocks,
    Coloured,
    Film,
    Filtered,
    FurtherNoise,
    Lines,
    Modulated,
    Tails,
)
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import NoiseSettings
from tests.simulation.test_micrograph import blob_species, correlation, settings_for

SHAPE = (192, 160)
PIXEL_A = 4.0
CPU = torch.device("cpu")
K = frequency_grid(SHAPE, PIXEL_A)
FILM = Film(
    variance=2.0, rough=False, envelope_a=5.0, length_a=40.0, exponent=2.0, uneven=0.0,
    uneven_a=300.0,
)  # fmt: skip
COLOURED = Coloured(variance=2.0, shape="band", exponent=1.0, centre_per_a=0.03, width=0.3)
LINES = Lines(variance=2.0, direction="rows", parts=1, correlation_px=0.3)
BLOCKS = Blocks(variance=2.0, direction="both", size_px=16.0, gain=0.0)
MODULATED = Modulated(shape="smooth", spread=0.4, length_a=100.0, angle_deg=30.0, edge=0.1)
TAILS = Tails(spread=0.5)
FILTERED = Filtered(shape="cut", cutoff_a=16.0, order=4, dose_e_per_a2=40.0)
DRAWN = {
    "film": FILM, "coloured": COLOURED, "lines": LINES, "blocks": BLOCKS, "modulated": MODULATED,
    "tails": TAILS, "filtered": FILTERED,
}  # fmt: skip


def run(monkeypatch, *, empty=True, seed=1, **drawn):
    """Simulate one field with the kinds of noise given."""
    monkeypatch.setattr(micrograph, "draw_noise", lambda *_, **__: FurtherNoise(**drawn))
    return simulate(
        [blob_species()],
        settings_for(empty=empty, shape=SHAPE),
        1,
        stream(seed, "placement"),
        stream(seed, "noise"),
    )


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("uneven", [0.0, 0.4])
def test_film_is_as_strong_as_drawn(rough, uneven):
    drawn = replace(FILM, rough=rough, uneven=uneven)
    image = further_noise.film(drawn, torch.ones_like(K), K, PIXEL_A, SHAPE, stream(1, "film"))
    assert float(image.var()) == pytest.approx(2, rel=0.25 if uneven else 1e-3)


def test_film_is_seen_through_the_optics():
    transfer = (K < 0.05).float()
    image = further_noise.film(FILM, transfer, K, PIXEL_A, SHAPE, stream(1, "film"))
    power = torch.fft.rfft2(image).abs().square()
    assert float(power[K > 0.055].sum()) < 0.03 * float(power.sum())


@pytest.mark.parametrize("shape", ["power law", "band", "low band"])
def test_coloured_noise_is_as_strong_as_drawn(shape):
    image = further_noise.coloured(
        replace(COLOURED, shape=shape), K, PIXEL_A, SHAPE, stream(1, "noise")
    )
    assert float(image.var()) == pytest.approx(2, rel=1e-3)
    power = torch.fft.rfft2(image).abs().square()
    assert float(power[K < 0.06].mean()) > 2 * float(power[K > 0.08].mean())


@pytest.mark.parametrize("direction", ["rows", "columns", "both"])
@pytest.mark.parametrize("parts", [1, 3])
def test_lines_are_as_strong_as_drawn(direction, parts):
    drawn = replace(LINES, direction=direction, parts=parts)
    image = further_noise.lines(drawn, SHAPE, stream(1, "noise"), CPU)
    assert image.shape == SHAPE
    assert float(image.var()) == pytest.approx(2, rel=1e-3)
    along = {"rows": image.diff(dim=1), "columns": image.diff(dim=0)}.get(direction)
    if along is not None:
        changes = int((along != 0).any(dim=0 if direction == "rows" else 1).sum())
        assert changes == parts - 1


@pytest.mark.parametrize("direction", ["rows", "columns", "both"])
@pytest.mark.parametrize("size_px", [16.0, 250.0])
def test_blocks_are_as_strong_as_drawn(direction, size_px):
    drawn = replace(BLOCKS, direction=direction, size_px=size_px, gain=0.1)
    offset, gain = further_noise.blocks(drawn, SHAPE, stream(2, "noise"), CPU)
    assert offset.shape == gain.shape == SHAPE
    assert float(offset.var()) <= 2.001
    if size_px < 100:
        assert float(offset.var()) == pytest.approx(2, rel=1e-3)
        assert float(gain.std()) == pytest.approx(0.1, rel=0.5)
    assert ((gain >= 0.5) & (gain <= 1.5)).all()


@pytest.mark.parametrize("shape", ["smooth", "wedge", "step"])
def test_modulation_keeps_the_power(shape):
    drawn = replace(MODULATED, shape=shape)
    strength = further_noise.modulation(drawn, PIXEL_A, SHAPE, stream(1, "noise"), CPU)
    assert float(strength.square().mean()) == pytest.approx(1, abs=1e-5)
    assert (strength > 0).all()
    assert float(strength.std()) > 0.1


def test_tails_keep_the_power():
    strength = further_noise.tails(TAILS, SHAPE, stream(1, "noise"), CPU)
    assert float(strength.square().mean()) == pytest.approx(1, abs=1e-5)
    noise = torch.randn(SHAPE, generator=stream(2, "noise")) * strength
    assert float((noise / noise.std()).pow(4).mean()) > 5  # normal: 3


@pytest.mark.parametrize("shape", ["gaussian", "butterworth", "cut", "dose weights"])
def test_filters_weaken_fine_frequencies_alone(shape):
    response = further_noise.response(replace(FILTERED, shape=shape), K, 300.0)
    order = K.flatten().argsort()
    assert float(response[0, 0]) == pytest.approx(1, abs=1e-4)
    assert (response.flatten()[order].diff() <= 1e-6).all()
    assert float(response.min()) < 0.5


@pytest.mark.parametrize("kind", ["film", "coloured", "lines", "blocks"])
def test_micrographs_have_the_variance_drawn(kind, monkeypatch):
    plain = float(run(monkeypatch).noisy.var())
    more = float(run(monkeypatch, **{kind: DRAWN[kind]}).noisy.var())
    # Of the simulated field, which is larger, a part is returned; blocks and films are few.
    assert more / plain == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("kind", ["modulated", "tails"])
def test_local_strength_adds_no_power(kind, monkeypatch):
    plain = float(run(monkeypatch).noisy.var())
    more = float(run(monkeypatch, **{kind: DRAWN[kind]}).noisy.var())
    assert more == pytest.approx(plain, rel=0.15)  # a part of the simulated field is returned


@pytest.mark.parametrize("kind", DRAWN)
def test_halves_share_films_and_blocks_alone(kind, monkeypatch):
    batch = run(monkeypatch, **{kind: DRAWN[kind]})
    assert torch.allclose(batch.even + batch.odd, batch.noisy, atol=1e-3)
    shared = correlation(batch.even, batch.odd)
    if kind == "film":
        # Of each half the film has 2 of 4 parts: a quarter of 2 over half of 1.
        assert shared == pytest.approx(0.5, abs=0.1)
    elif kind == "blocks":
        assert shared == pytest.approx(0.5, abs=0.15)
    else:
        # Coloured noise and lines have fewer independent values than pixels.
        few = {"lines": SHAPE[0], "coloured": 2000, "filtered": SHAPE[0] * SHAPE[1] / 5}
        limit = 4 / few.get(kind, SHAPE[0] * SHAPE[1]) ** 0.5
        assert abs(shared) < limit


def test_a_filter_acts_on_signal_surroundings_and_noise(monkeypatch):
    plain = run(monkeypatch, empty=False)
    drawn = replace(FILTERED, shape="gaussian", cutoff_a=20.0)
    filtered = run(monkeypatch, filtered=drawn, empty=False)
    assert plain.coordinates_px[0].equal(filtered.coordinates_px[0])
    response = further_noise.response(drawn, K, 300.0)
    inner = (slice(30, -30), slice(30, -30))
    for name in ("clean", "noisy"):
        image, now = getattr(plain, name)[0], getattr(filtered, name)[0]
        expected = torch.fft.irfft2(torch.fft.rfft2(image) * response, s=SHAPE)[inner]
        error = float((now[inner] - expected).std() / expected.std())
        assert error < 0.02, name
    assert float(filtered.noisy.std()) < 0.7 * float(plain.noisy.std())
    torch.testing.assert_close(filtered.surroundings, plain.surroundings)


def test_gains_of_blocks_act_on_the_micrograph_and_not_on_the_truth(monkeypatch):
    plain = run(monkeypatch, empty=False)
    blocks = run(monkeypatch, blocks=replace(BLOCKS, gain=0.1), empty=False)
    torch.testing.assert_close(blocks.clean / blocks.parameters[0].contrast_gain,
                               plain.clean / plain.parameters[0].contrast_gain,
                               atol=1e-3, rtol=1e-4)  # fmt: skip


def test_without_a_share_nothing_is_drawn():
    generator = stream(1, "draw")
    assert all(
        further_noise.draw_noise(NoiseSettings(), generator) == FurtherNoise() for _ in range(20)
    )


def test_each_kind_is_drawn_within_its_limits():
    settings = NoiseSettings(share=1.0)
    generator = stream(1, "draw")
    draws = [further_noise.draw_noise(settings, generator) for _ in range(200)]
    assert {len(one.kinds) for one in draws} == {1, 2, 3}
    assert set(settings.kinds) == {kind for one in draws for kind in one.kinds}
    assert all(0.1 <= d.film.variance <= 5 for d in draws if d.film)
    assert all(8 <= d.filtered.cutoff_a <= 25 for d in draws if d.filtered)
    some = NoiseSettings(share=0.5, kinds=("film", "tails"))
    few = [further_noise.draw_noise(some, generator) for _ in range(200)]
    assert 60 < sum(bool(one.kinds) for one in few) < 140
    assert {kind for one in few for kind in one.kinds} == {"film", "tails"}


def test_each_kind_makes_a_finite_micrograph_of_any_draw():
    bank = [blob_species()]
    for kind in DRAWN:
        noise = NoiseSettings(share=1.0, kinds=(kind,))
        settings = settings_for(shape=(64, 96)).replace(noise=noise)
        batch = simulate(bank, settings, 3, stream(3, "placement"), stream(3, "noise"))
        for image in (batch.even, batch.odd, batch.clean, batch.surroundings):
            assert bool(image.isfinite().all()), kind
        assert all(p.noise.kinds == (kind,) for p in batch.parameters)


def test_carbon_of_an_edge_is_a_film_of_its_own_and_the_hole_is_free_of_it():
    carbon = torch.zeros(SHAPE)
    carbon[:, SHAPE[1] // 2 :] = 1.0
    drawn = FurtherNoise(carbon=replace(FILM, variance=9.0))
    ones = torch.ones_like(K)
    noise = further_noise.FieldNoise(drawn, K, ones, PIXEL_A, 300.0, carbon, stream(1, "noise"))
    hole, film = noise.film.tensor_split(2, 1)
    assert bool((hole == 0).all())
    assert float(film.var()) == pytest.approx(9, rel=0.1)
    assert drawn.added_variance == 0  # there are no particles on it


def test_carbon_is_a_film_where_there_is_further_noise_at_all():
    generator = stream(1, "draw")
    plain, further = NoiseSettings(), NoiseSettings(share=0.5, kinds=("tails",))
    assert further_noise.draw_noise(plain, generator, carbon=True) == FurtherNoise()
    draws = [further_noise.draw_noise(further, generator, carbon=True) for _ in range(50)]
    assert all(drawn.carbon for drawn in draws)
    assert {bool(drawn.tails) for drawn in draws} == {True, False}
