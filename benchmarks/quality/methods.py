"""The methods side by side: each takes a data set and gives a denoised image for every shot.

Reference filters are set with the truth or the independent exposure in hand, which a user has not:
they are upper bounds of what their kind can do.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from benchmarks.quality.fields import Array, DataSet, Images, Shot
from benchmarks.quality.scores import headline

from nt2c.evaluation.filters import best_gaussian, gaussian, radial_wiener, wiener_gain

SIGMAS_PX = (0.5, 1.0, 1.5, *np.arange(2, 9.01, 0.5).tolist())
WAVELET_STRENGTHS = (0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.4, 2.0)
TV_WEIGHTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
TV_STEPS = 50
TRIED_ON = 3  # fields of a set, for the slow filters

Run = Callable[[DataSet], tuple[Images, Mapping[str, Any]]]
"""Denoise all shots of a set; also returns what was chosen for it."""


@dataclass(frozen=True)
class Method:
    """A method of the benchmark.

    `settings` decide its images, with the images given and the code. `only` names the data set
    that a method was made for. A method that `keeps_images` needs no one else to keep them.
    """

    name: str
    run: Run
    settings: Mapping[str, Any] = field(default_factory=dict)
    only: str | None = None
    keeps_images: bool = False

    def key(self, data: DataSet) -> str:
        """Hash of what decides its images of a set, besides the code."""
        what = [self.name, dict(self.settings), data.name, data.key]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def raw(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
    return {shot.name: shot.image for shot in data.shots}, {}


def gaussian_blur(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
    """One width for a set with exposures, the best; with truth, the best of each field."""
    if data.judge == "exposure":
        return best_strength(
            data, "sigma_px", SIGMAS_PX, lambda s, sigma: gaussian(s.image, sigma), tried_on=None
        )
    sigmas = {f.name: best_gaussian(f.image, f.reference, SIGMAS_PX)[0] for f in data.fields}
    images = {s.name: gaussian(s.image, sigmas[s.field.name]) for s in data.shots}
    return images, {"sigma_px": sigmas}


def wiener(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
    """One radial filter for a set with exposures; with truth, one for each field."""
    if data.judge == "exposure":
        gain = wiener_gain([f.image for f in data.fields], [f.reference for f in data.fields])
        gains = {f.name: gain for f in data.fields}
    else:
        gains = {f.name: wiener_gain([f.image], [f.reference]) for f in data.fields}
    return {s.name: radial_wiener(s.image, gains[s.field.name]) for s in data.shots}, {}


def wavelet(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
    """Soft thresholding (db4), the threshold a share of the universal one."""
    from skimage.restoration import denoise_wavelet

    def denoise(shot: Shot, strength: float) -> Array:
        return on_unit_noise(
            shot.image,
            lambda unit: denoise_wavelet(
                unit, sigma=strength, wavelet="db4", method="VisuShrink", rescale_sigma=False
            ),
        )

    return best_strength(data, "strength", WAVELET_STRENGTHS, denoise)


def total_variation(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
    """Chambolle's total variation with at most `TV_STEPS` steps."""
    from skimage.restoration import denoise_tv_chambolle

    def denoise(shot: Shot, weight: float) -> Array:
        return on_unit_noise(
            shot.image,
            lambda unit: denoise_tv_chambolle(unit, weight=weight, max_num_iter=TV_STEPS),
        )

    return best_strength(data, "weight", TV_WEIGHTS, denoise)


def best_strength(
    data: DataSet,
    name: str,
    strengths: tuple[float, ...],
    denoise: Callable[[Shot, float], Array],
    tried_on: int | None = TRIED_ON,
) -> tuple[Images, Mapping[str, Any]]:
    """Give all shots the strength with the best headline score, on some fields or (None) on all."""
    step = max(1, len(data.fields) // (tried_on or len(data.fields)))
    part = replace(data, fields=data.fields[::step][:tried_on])
    scores = {}
    for strength in strengths:
        images = {s.name: denoise(s, strength) for s in part.shots[: len(part.fields)]}
        scores[strength] = headline(part, images)
    best = max(scores, key=lambda s: scores[s])
    return {s.name: denoise(s, best) for s in data.shots}, {name: best}


def on_unit_noise(image: Array, denoise: Callable[[Array], Array]) -> Array:
    """Denoise an image scaled to a standard deviation of 1, which at this SNR is its noise."""
    centre, sd = float(np.median(image)), float(np.std(image, dtype=np.float64))
    return np.asarray(denoise((np.float32(image) - centre) / sd), np.float32) * sd + centre


def nt2c(name: str, models: Sequence[str], only: str | None = None) -> Method:
    """A bundled model or a model file, in float32 on the CPU.

    Of n models, number i denoises the fields i, i + n, i + 2 n ..., which it was trained without.
    """
    from nt2c.batch.stamps import model_fingerprint
    from nt2c.denoising.denoiser import Denoiser, load_model

    loaded = [load_model(model) for model in models]
    denoisers = [Denoiser(model, device="cpu", precision="fp32") for model in loaded]

    def run(data: DataSet) -> tuple[Images, Mapping[str, Any]]:
        place = {f.name: i % len(denoisers) for i, f in enumerate(data.fields)}
        return {
            s.name: denoisers[place[s.field.name]](np.float32(s.image), s.field.pixel_size_a)
            for s in data.shots
        }, {}

    settings = {
        "model": ", ".join(str(model.metadata.get("name")) for model in loaded),
        "weights": ", ".join(map(model_fingerprint, loaded)),
    }
    return Method(name, run, settings, only)


FILTERS = {
    "raw": Method("raw", raw, keeps_images=True),
    "gaussian": Method("gaussian", gaussian_blur, {"sigmas_px": SIGMAS_PX}),
    "wiener": Method("wiener", wiener),
    "wavelet": Method("wavelet", wavelet, {"wavelet": "db4", "strengths": WAVELET_STRENGTHS}),
    "tv": Method("tv", total_variation, {"weights": TV_WEIGHTS, "steps": TV_STEPS}),
}
