"""A micrograph with bright particles is told from one with dark ones, an edge or ice alone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from nt2c.batch.run import denoise_files
from nt2c.denoising.polarity import BRIGHT, polarity_warnings
from nt2c.denoising.settings import BatchOptions
from nt2c.io.inputs import find_inputs
from tests.batch.make import identity_model
from tests.io.make import write_mrc

PIXEL_A = 4.0
SHAPE = (400, 560)


def _particles(seed=0, strength=1.0):
    """Noise of unit variance and bright particles of 100 A."""
    rng = np.random.default_rng(seed)
    places = np.zeros(SHAPE)
    places[rng.integers(0, SHAPE[0], 120), rng.integers(0, SHAPE[1], 120)] = 1
    blobs = gaussian_filter(places, 9)
    image = rng.normal(size=SHAPE) + strength * blobs / blobs.max()
    return image.astype(np.float32)


def _found(image):
    return polarity_warnings(torch.from_numpy(np.ascontiguousarray(image, np.float32)), PIXEL_A)


@pytest.mark.parametrize("seed", range(5))
def test_bright_particles_are_seen(seed):
    assert _found(_particles(seed)) == (BRIGHT,)
    assert _found(-_particles(seed)) == ()


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_evidence(seed):
    assert _found(_particles(seed, 0.0)) == ()


def test_what_fills_but_some_of_the_field_is_no_evidence():
    image = -_particles()
    image[:, -150:] += 5  # a hole in the film
    image[40:90, 40:90] += 5
    assert _found(image) == ()


def test_small_fields_are_not_judged():
    assert _found(_particles()[:200, :300]) == ()


def test_a_batch_warns_of_them(tmp_path):
    write_mrc(tmp_path / "bright.mrc", _particles(), PIXEL_A)
    write_mrc(tmp_path / "dark.mrc", -_particles(), PIXEL_A)
    summary = denoise_files(
        find_inputs([tmp_path]),
        tmp_path / "out",
        identity_model(),
        options=BatchOptions(device="cpu"),
    )
    assert [BRIGHT in result.warnings for result in summary.results] == [True, False]
