from pathlib import Path

import numpy as np
import pytest

from nt2c.core.random import stream

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture
def rng():
    seed = stream(20260, "test").initial_seed()
    return np.random.default_rng(seed)


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip(f"the shared data folder is absent: {SHARED}")
    return SHARED


def smooth(rng, shape, sigma_px):
    """White noise, blurred with periodic edges and brought to unit variance."""
    ky = np.fft.fftfreq(shape[0])[:, None]
    kx = np.fft.rfftfreq(shape[1])[None, :]
    gain = np.exp(-2 * (np.pi * sigma_px) ** 2 * (ky**2 + kx**2))
    image = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * gain, shape)
    return (image - image.mean()) / image.std()
