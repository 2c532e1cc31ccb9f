"""Which model a fit starts from, where there are two."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nt2c.core.errors import InputError
from nt2c.denoising.denoiser import Denoiser
from nt2c.io.inputs import MicrographInput
from nt2c.io.micrographs import open_micrograph
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.extract import evenly

_LOOKED_AT = 5


def starting_model(
    model: DenoiserModel,
    micrographs: Sequence[MicrographInput],
    *,
    pixel_size_a: float | None = None,
    device: str = "auto",
) -> DenoiserModel:
    """Return the one of two models that denoises most of the micrographs; of one model, that.

    Up to five are looked at, evenly spread; those that cannot be used do not count.

    Raises
    ------
    SettingsError
        The device does not exist here.
    """
    if model.other is None:
        return model
    denoiser = Denoiser(model, device=device)
    chosen: Counter[str] = Counter()
    for item in evenly(micrographs, _LOOKED_AT):
        try:
            with open_micrograph(item.path, pixel_size_a, item.star_pixel_size_a) as micrograph:
                image, own_a = micrograph.read(), micrograph.pixel_size_a
            scaled = denoiser.prepare(image, own_a).scaled
        except (InputError, OSError):
            continue
        chosen[denoiser.judged_estimate(scaled, denoiser.measure_noise(scaled)).model] += 1
    is_other = 2 * chosen[model.other.name] > chosen.total()
    return model.other if is_other else replace(model, other=None)
