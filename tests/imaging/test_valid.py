"""Pixels that hold no image are found and filled; what holds an image is left alone."""

import numpy as np
import pytest
import torch

from nt2c.core.errors import InputError
from nt2c.core.random import stream
from nt2c.denoising.denoiser import denoise, load_model, prepare
from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.imaging.valid import find_valid_area, mirror_fill
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings
from tests.batch.make import identity_model

SHAPE = (500, 612)
MEAN, SD = 100.0, 10.0


def grid():
    return torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij")


def noise(seed=0):
    """White noise that a detector has blurred a little."""
    white = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    blurred = gaussian_lowpass(white, 0.5)
    return blurred / blurred.std()


def micrograph():
    spots = torch.zeros(SHAPE)
    spots[30::70, 30::70] = -1
    field = gaussian_lowpass(spots, 12.0)
    return MEAN + SD * (noise() + 0.5 * field / field.abs().max())


def near(mask, distance):
    """Pixels of a mask and those so many pixels from it."""
    side = 2 * distance + 1
    return torch.nn.functional.max_pool2d(mask[None].float(), side, 1, distance)[0] > 0


def border(width):
    _, x = grid()
    return x < width


def areas():
    y, x = grid()
    yield from ((f"border of {width}", border(width)) for width in (2, 3, 10, 35, 60))
    yield "two borders", (y >= SHAPE[0] - 6) | (x >= SHAPE[1] - 9)
    yield "slanted edge", x + 0.3 * y < 140
    yield "corner", x + y < 150
    yield "outside of the beam", torch.hypot(y - 250, x - 300) > 330
    yield "half written", y >= 255
    yield "dead lines", ((y >= 200) & (y < 203)) | (x == 77)
    yield "part of a line", (y == 120) & (x < 153)


AREAS = dict(areas())


@pytest.mark.parametrize("value", [0.0, MEAN, 1000.0], ids=["zero", "mean", "bright"])
@pytest.mark.parametrize("name", AREAS)
def test_areas_of_one_value_are_found(name, value):
    mask = AREAS[name]
    raw = micrograph()
    raw[mask] = value
    found = find_valid_area(raw)
    assert found.empty is not None
    assert bool(found.empty[mask].all())
    assert float(found.empty[~near(mask, 2)].float().mean()) < 2e-3
    assert found.median == pytest.approx(MEAN, abs=0.2 * SD)
    filled = found.filled(raw, 0, SHAPE[0])
    inside = ~near(~found.empty, 1)
    assert torch.equal(filled[inside], torch.full_like(filled[inside], found.median))
    rim = filled[found.empty & ~inside]
    assert float((rim - MEAN).abs().max()) < 5 * SD
    assert torch.equal(filled[~found.empty], raw[~found.empty])


@pytest.mark.parametrize("depth", [1.5, 3, 6])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_dark_first_and_last_lines_are_found(depth, width, last):
    """Sums of a K3 have them; their noise is that of the rest."""
    raw = micrograph()
    mask = border(width).flip(1) if last else border(width)
    raw[mask] -= depth * SD
    for image, where in ((raw, mask), (raw.T.contiguous(), mask.T)):
        found = find_valid_area(image).empty
        assert found is not None
        assert torch.equal(found, where)


def test_a_dark_first_column_leaves_no_line():
    raw = micrograph().numpy()
    model = identity_model()
    plain = denoise(raw, 2.0, model, device="cpu", precision="fp32")
    raw[:, 0] -= 3 * SD
    result = denoise(raw, 2.0, model, device="cpu", precision="fp32")
    line = (result - plain).mean(0)[1:]
    assert np.abs(line).max() < 0.1 * SD


@pytest.mark.parametrize("name", ["border of 60", "slanted edge", "outside of the beam"])
def test_dark_areas_with_little_noise_are_found(name):
    mask = AREAS[name]
    raw = torch.where(mask, 20 + 0.2 * SD * noise(1), micrograph())
    found = find_valid_area(raw)
    assert found.empty is not None
    assert float(found.empty[mask].float().mean()) > 0.99
    assert float(found.empty[~near(mask, 16)].float().mean()) < 1e-3


@pytest.mark.parametrize("depth", [3, 5, 10])
@pytest.mark.parametrize("whole", [False, True], ids=["floats", "integers"])
def test_dead_pixels_get_the_mean_of_their_neighbours(depth, whole):
    raw = micrograph().round() if whole else micrograph()
    dead = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) < 0.02
    broken = torch.where(dead, MEAN - depth * SD, raw)
    found = find_valid_area(broken)
    assert found.empty is None
    filled = found.filled(broken, 0, SHAPE[0])
    assert float((filled[dead] - MEAN).mean()) == pytest.approx(0, abs=0.2 * SD)
    assert float((filled == broken)[dead].float().mean()) < 0.001
    # Whole numbers of live pixels are those of dead ones now and then.
    assert float((filled != raw)[~dead].float().mean()) < (0.005 if whole else 1e-5)


def test_rows_are_filled_some_at_a_time_as_the_whole():
    raw = micrograph()
    raw[border(5)] = 0
    raw[7::31, 11::17] = 0
    found = find_valid_area(raw)
    parts = [found.filled(raw, start, min(start + 64, SHAPE[0])) for start in range(0, 500, 64)]
    assert torch.equal(torch.cat(parts), found.filled(raw, 0, SHAPE[0]))


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_outliers_are_no_lines_and_hide_none(value):
    raw = micrograph()
    where = torch.rand(SHAPE, generator=torch.Generator().manual_seed(4)) < 0.002
    raw[where] = value
    found = find_valid_area(raw)
    assert found.empty is None
    filled = found.filled(raw, 0, SHAPE[0])
    assert float((filled[where] - MEAN).abs().max()) < 5 * SD
    raw[AREAS["dead lines"]] = 0
    empty = find_valid_area(raw).empty
    assert empty is not None
    assert bool(empty[AREAS["dead lines"]].all())


def dark_discs():
    y, x = grid()
    raw = micrograph()
    for centre_y, centre_x, radius in ((100, 120, 30), (300, 400, 60), (420, 90, 20)):
        raw -= 7 * SD * (torch.hypot(y - centre_y, x - centre_x) < radius)
    return raw


def half_carbon():
    y, x = grid()
    return micrograph() - 8 * SD * torch.sigmoid((x + 0.2 * y - 350) / 2)


def modulated():
    _, x = grid()
    return MEAN + SD * torch.exp(torch.sin(x / 90)) * noise(5)  # by a factor of 7


def counts():
    generator = torch.Generator().manual_seed(6)
    return torch.poisson(torch.full(SHAPE, 0.5), generator=generator)


def simulated(**imaging):
    settings = SimulationSettings(
        pixel_size_a=4.0, shape=(384, 384), imaging=ImagingSettings(**imaging)
    )
    bank = procedural_bank(2, 4.0, 4, (150.0, 250.0), stream(2, "species"))
    return simulate(bank, settings, 1, stream(2, "placement"), stream(2, "noise"))


@pytest.mark.parametrize(
    "make",
    [
        micrograph,
        dark_discs,
        half_carbon,
        modulated,
        counts,
        lambda: simulated(carbon=1.0, contamination=1.0).noisy[0],
    ],
    ids=["plain", "contamination", "carbon", "modulated", "counts", "simulated"],
)
def test_what_holds_an_image_is_kept(make):
    raw = make()
    found = find_valid_area(raw)
    assert found.empty is None
    filled = found.filled(raw, 0, raw.shape[0])
    assert float((filled != raw).float().mean()) < 1e-4


def test_sparse_counts_are_not_clipped_to_nothing():
    generator = torch.Generator().manual_seed(7)
    raw = torch.poisson(torch.full(SHAPE, 0.04), generator=generator)
    low, high = find_valid_area(raw).limits(8)
    assert low <= 0
    assert high >= 2


def test_the_result_holds_the_mean_where_there_is_no_image():
    raw = micrograph().numpy()
    raw[:, :40] = 0
    result = denoise(raw, 4.0, identity_model(), device="cpu", precision="fp32")
    assert np.ptp(result[:, :40]) == 0
    assert result[0, 0] == pytest.approx(raw[:, 80:].mean(), abs=0.1 * SD)
    plain = denoise(micrograph().numpy(), 4.0, identity_model(), device="cpu", precision="fp32")
    assert result[:, 100:].std() == pytest.approx(plain[:, 100:].std(), rel=0.03)


def test_areas_without_image_do_not_change_the_rest():
    batch = simulated(contrast_gain=(2.0, 2.0), carbon=0.0, contamination=0.0)
    whole = batch.noisy[0].numpy()
    y, x = np.indices(whole.shape)
    broken = np.where((x < 24) | (y > 370) | (x + y < 120), 0, whole)
    rng = np.random.default_rng(8)
    broken[rng.random(whole.shape) < 0.005] = 0
    model = load_model()
    far = (x > 60) & (y < 340) & (x + y > 180)
    found = []
    for image in (whole, broken):
        result = denoise(image.astype(np.float32), 4.0, model, device="cpu", precision="fp32")
        found.append(np.corrcoef(result[far], batch.clean[0].numpy()[far])[0, 1])
    assert found[0] > 0.5
    assert found[1] > found[0] - 0.01


@pytest.mark.parametrize(
    ("box", "lines"),
    [
        ((slice(0, 254), slice(None)), False),
        ((slice(None), slice(60, None)), False),
        ((slice(None), slice(None)), True),
    ],
    ids=["half written", "border", "dead lines"],
)
def test_what_holds_an_image_is_scaled_as_it_would_be_alone(box, lines):
    """Up to its rim; and what fills the rest is taken for neither offsets of lines nor noise."""
    whole = simulated(contrast_gain=(2.0, 2.0), carbon=0.0, contamination=0.0).noisy[0]
    mask = torch.ones(384, 384, dtype=torch.bool)
    mask[box] = False
    if lines:
        mask[200:203] = True
    broken = prepare(torch.where(mask, 0, whole), 4.0, 4.0).scaled[box]
    alone = prepare(whole[box], 4.0, 4.0).scaled
    kept = ~near(mask, 2)[box]
    assert float((broken - alone)[kept].std()) < 0.02


@pytest.mark.parametrize("kept", [0, 20])
def test_a_micrograph_without_image_is_refused(kept):
    raw = np.zeros(SHAPE, np.float32)
    raw[:, :kept] = micrograph().numpy()[:, :kept]
    with pytest.raises(InputError, match="nothing to denoise"):
        denoise(raw, 4.0, identity_model(), device="cpu", precision="fp32")


def test_the_mirror_image_continues_what_is_there():
    image = torch.arange(6.0).expand(4, 6).clone()
    empty = torch.zeros(4, 6, dtype=torch.bool)
    empty[:, :2] = True
    assert mirror_fill(image, empty)[0].tolist() == [4, 3, 2, 3, 4, 5]
    nothing = torch.ones(4, 6, dtype=torch.bool)
    assert torch.equal(mirror_fill(image, nothing), image)
