"""Which model a fit starts from, where there are two."""

from collections.abc import Sequence
from dataclasses import replace

from nt2c.core.errors import InputError
from nt2c.denoising.denoiser import Denoiser
from nt2c.io.inputs import MicrographInput
from nt2c.io.micrographs import open_micrograph
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.extract import evenly

_LOOKED_AT = 5
_MOST_NOISE = 0.7
"""Share of noise that the first model may make: more than in denoising, since a fit learns the
noise, and what a start has taken off does not come back (EMPIAR-10146: average precision 0.90 from
`general`, 0.82 from `film`)."""


def starting_model(
    model: DenoiserModel,
    micrographs: Sequence[MicrographInput],
    *,
    pixel_size_a: float | None = None,
    device: str = "auto",
) -> DenoiserModel:
    """Return the first of two models, or the other where that is asked for; of one model, that.

    The other is taken where the first would make mostly noise of most micrographs. Up to five are
    looked at, evenly spread; those that cannot be used do not count.

    Raises
    ------
    SettingsError
        The device does not exist here.
    """
    if model.other is None:
        return model
    first = replace(model, other=None)
    denoiser = Denoiser(first, device=device)
    noisy: list[bool] = []
    for item in evenly(micrographs, _LOOKED_AT):
        try:
            with open_micrograph(item.path, pixel_size_a, item.star_pixel_size_a) as micrograph:
                image, own_a = micrograph.read(), micrograph.pixel_size_a
            scaled = denoiser.prepare(image, own_a).scaled
        except (InputError, OSError):
            continue
        made = denoiser.judged_estimate(scaled, denoiser.measure_noise(scaled))
        noisy.append(made.noise_share > _MOST_NOISE)
    return model.other if 2 * sum(noisy) > len(noisy) else first
