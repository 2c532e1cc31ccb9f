"""What the widgets do with the images of a layer, without napari."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nt2c.core.errors import InputError

_LEAST = 8  # windows of one micrograph; a fit gathers them over many


@dataclass(frozen=True)
class Frames:
    """Windows in an image.

    Attributes
    ----------
    corners : array, shape (n, 4, 2)
        Corners (y, x) of each, px of the image; the middle of the first pixel is 0.
    evidence : array, shape (n,)
        Strongest signal that the denoiser sees in each, in noise variances.
    side_a : float
        Angstrom.
    """

    corners: NDArray[np.float64]
    evidence: NDArray[np.float64]
    side_a: float


def denoise_images(
    images: NDArray[np.float32], pixel_size_a: float, model: str
) -> NDArray[np.float32]:
    """Denoise micrographs (n, y, x), each for itself.

    Raises
    ------
    InputError
        An image cannot be denoised, or the file is no model.
    SettingsError
        The pixel size is not a positive number, or there is no such model.
    """
    from nt2c.denoising.denoiser import Denoiser, load_model
    from nt2c.io.pixel_size import check_pixel_size

    check_pixel_size("pixel size", pixel_size_a)
    denoiser = Denoiser(load_model(model))
    return np.stack([denoiser(image, pixel_size_a) for image in images])


def noise_frames(image: NDArray[np.float32], pixel_size_a: float, model: str) -> Frames:
    """Find windows without particles in one micrograph (y, x), as `nt2c fit` does.

    Raises
    ------
    InputError
        The image cannot be used, or less than 8 windows are found.
    SettingsError
        The pixel size is not a positive number, or there is no such model.
    """
    from nt2c.denoising.denoiser import Denoiser, load_model
    from nt2c.io.pixel_size import check_pixel_size
    from nt2c.noise.extraction import ExtractionSettings
    from nt2c.pipeline.extract import search

    check_pixel_size("pixel size", pixel_size_a)
    settings = ExtractionSettings()
    denoiser = Denoiser(load_model(model), precision="fp32")
    scaled = denoiser.prepare(image, pixel_size_a).scaled
    found = search(denoiser, scaled, settings).windows.values()  # strict and large ones first
    enough = [windows for windows in found if len(windows) >= _LEAST]
    if not enough:
        raise InputError(
            "no places without particles: nt2c fit would find little noise here; try an emptier "
            "micrograph, and see whether the pixel size is right"
        )
    windows = enough[0]
    places = np.stack([windows.y_px, windows.x_px], axis=-1)[:, None]
    square = windows.size_px * np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
    growth = np.array(image.shape) / np.array(scaled.shape)
    side_a = windows.size_px * denoiser.pixel_size_a
    return Frames((places + square) * growth - 0.5, windows.evidence, side_a)
