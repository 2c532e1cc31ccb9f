"""Checks of arrays before they are judged."""

import numpy as np

from nt2c.core.errors import InputError
from nt2c.evaluation.spectral import Image


def same_shape(**images: Image) -> tuple[int, int]:
    """Return the common shape (y, x) of images, given by the names to use in messages.

    Raises
    ------
    InputError
        One is not two-dimensional, holds NaN or infinity, or differs in shape.
    """
    for name, image in images.items():
        if image.ndim != 2:
            raise InputError(f"{name}: expected an image (y, x), got shape {image.shape}")
        if not np.isfinite(image).all():
            raise InputError(f"{name}: holds NaN or infinity; replace those pixels first")
    shapes = {name: image.shape for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"images to compare differ in shape: {listed}")
    first = next(iter(images.values()))
    return first.shape[0], first.shape[1]
