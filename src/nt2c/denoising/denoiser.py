"""Denoise one micrograph: crop in Fourier space, scale, network, restore, pad back."""

import math
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from nt2c.core.device import choose_device, has_fast_bf16
from nt2c.core.errors import InputError, SettingsError
from nt2c.denoising.network import BF16_TOLERANCE, bf16_deviation, run_network
from nt2c.denoising.noise_share import MOST_NOISE_OF_FIRST, noise_share
from nt2c.denoising.settings import BUNDLED, FILM, GENERAL
from nt2c.imaging.filtered import with_noise_restored
from nt2c.imaging.fourier import resampled_shape, resize, resize_mirrored
from nt2c.imaging.lines import without_lines
from nt2c.imaging.noise_spectrum import NoiseSpectrum, measure_noise
from nt2c.imaging.scale import OUTLIER_SIGMA, Scaling, fit_scaling
from nt2c.imaging.valid import ValidArea, find_valid_area, mirror_fill
from nt2c.io.weights import read_model_file
from nt2c.models.denoiser import DenoiserModel

Precision = Literal["auto", "fp32", "bf16"]

_ROWS_AT_ONCE = 64
_SMALLEST_PX = 4
_MOST_EMPTY = 0.95


def bundled_models() -> dict[str, Path]:
    """Models that come with the package: name -> file."""
    folder = Path(str(resources.files("nt2c") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def load_model(name_or_path: str | Path = BUNDLED) -> DenoiserModel:
    """Load a bundled model by name, or a model file by path.

    "auto" is the bundled model `general`, with `film` as the other one.

    Raises
    ------
    SettingsError
        Neither a bundled model nor a file.
    InputError
        The file is not a readable model.
    """
    if str(name_or_path) == BUNDLED:
        return replace(load_model(GENERAL), other=load_model(FILM))
    known = bundled_models()
    path = known.get(str(name_or_path), Path(str(name_or_path)))
    if not path.is_file():
        raise SettingsError(
            f"model {name_or_path}: neither a bundled model ({', '.join([BUNDLED, *known])}) nor a "
            "file; `nt2c models` lists the bundled ones, or give the path of a model file"
        )
    return DenoiserModel.from_tensors(*read_model_file(path), where=str(path))


def check_precision(precision: Any) -> None:
    """Refuse what is no `Precision`.

    Raises
    ------
    SettingsError
        It is none.
    """
    known = get_args(Precision)
    if precision not in known:
        raise SettingsError(f"precision {precision!r}: use {', '.join(known)}")


@dataclass(frozen=True)
class Estimate:
    """What a network made of a micrograph.

    Attributes
    ----------
    signal : Tensor, shape (v, u)
        In units of the noise, at the working pixel size.
    model : str
        Name of the model that made it.
    noise_share : float
        Share (0 to 1) of it that may be noise; see the function `noise_share`.
    """

    signal: Tensor
    model: str
    noise_share: float


@dataclass(frozen=True)
class Prepared:
    """A micrograph at the working pixel size.

    Attributes
    ----------
    scaled : Tensor, shape (v, u)
        In units of its noise; areas without image are filled with the mirror image of the rest.
    scaling : Scaling
        Leads back to grey values less `centre`.
    centre : float
        Median of the raw micrograph.
    empty : Tensor of bool, shape (y, x), or None
        Pixels of the raw micrograph that hold no image; None where all do.
    warnings : tuple of str
        What the user should know about it.
    """

    scaled: Tensor
    scaling: Scaling
    centre: float
    empty: Tensor | None
    warnings: tuple[str, ...]

    @property
    def valid(self) -> Tensor | None:
        """Pixels of `scaled` that hold an image; None where all do."""
        if self.empty is None:
            return None
        return ~_covered(self.empty, (self.scaled.shape[0], self.scaled.shape[1]))


def prepare(
    image: ArrayLike | Tensor, pixel_size_a: float, working_pixel_size_a: float
) -> Prepared:
    """Clip outliers, resample to the working pixel size and scale to units of the noise.

    Parameters
    ----------
    image : array
        Raw micrograph (y, x). It is not changed.
    pixel_size_a, working_pixel_size_a : float
        Its pixel size, and that of the result, in angstrom.

    Raises
    ------
    InputError
        The image is not two-dimensional, too small, holds values that are not finite, or is
        constant.
    """
    return _prepare(as_image(image), pixel_size_a, working_pixel_size_a)


class Denoiser:
    """A model made ready on a device, to be called with one micrograph after another.

    Parameters
    ----------
    model : DenoiserModel
        From `load_model`.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    precision : str
        "fp32", "bf16", or "auto": bfloat16 if the device multiplies it natively and the result
        differs from float32 by less than 1 % of its standard deviation. That is measured on the
        first micrograph, and holds for all that follow.
    keep_background : bool
        Keep the slow background (ice gradient); else its mean takes its place.
    tile_px : int, optional
        Give the network tiles of at most this side at the working pixel size; by default as much
        as the free memory holds. In float32 the result is the same.
    max_memory_bytes : int, optional
        What the process shall use at most (on a GPU: of its memory); by default what is free.

    Attributes
    ----------
    device : torch.device
        Where it runs.
    precision : str or None
        "fp32" or "bf16" in use; None while it is not decided.
    deviation : float or None
        What was measured: standard deviation of the difference, in that of the result.

    Raises
    ------
    SettingsError
        The device does not exist here, or there is no such precision.
    """

    def __init__(
        self,
        model: DenoiserModel,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        keep_background: bool = False,
        tile_px: int | None = None,
        max_memory_bytes: int | None = None,
    ) -> None:
        check_precision(precision)
        self.device = choose_device(device)
        self.pixel_size_a = model.pixel_size_a
        self.deviation: float | None = None
        self.precision: str | None = precision
        if precision == "auto":
            self.precision = None if has_fast_bf16(self.device) else "fp32"
        self._keep_background = keep_background
        self._tile_px = tile_px
        self._max_memory_bytes = max_memory_bytes
        self._model = model
        for one in filter(None, (model, model.other)):
            one.network.to(self.device)

    def __call__(
        self,
        image: ArrayLike | Tensor,
        pixel_size_a: float,
        output_shape: tuple[int, int] | None = None,
    ) -> Float32[np.ndarray, "y x"]:
        """Denoise a micrograph; see `denoise`.

        Parameters
        ----------
        image : array
            Raw micrograph (y, x). It is not changed.
        pixel_size_a : float
            Its pixel size in angstrom.
        output_shape : tuple of int, optional
            Size (y, x) of the result over the same field of view; by default that of the input.

        Raises
        ------
        InputError
            The image cannot be denoised.
        """
        prepared = self.prepare(image, pixel_size_a)
        rows, columns = np.shape(image)
        estimate = self.estimate(prepared.scaled)
        return self.restore(prepared, estimate, output_shape or (rows, columns))

    def prepare(self, image: ArrayLike | Tensor, pixel_size_a: float) -> Prepared:
        """Scale and resample as the function `prepare` does, for the model and on its device."""
        with torch.inference_mode():
            raw = as_image(image)
            return _prepare(raw.to(self.device), pixel_size_a, self.pixel_size_a)

    def decide_precision(self, scaled: Float32[Tensor, "y x"]) -> None:
        """Decide the precision on what `prepare` gave, if it is not decided yet."""
        if self.precision is None:
            self.deviation = bf16_deviation(self._model.network, scaled)
            self.precision = "bf16" if self.deviation < BF16_TOLERANCE else "fp32"

    def restore(
        self, prepared: Prepared, estimate: Float32[Tensor, "y x"], shape: tuple[int, int]
    ) -> Float32[np.ndarray, "v u"]:
        """Bring the signal, from `estimate`, to `shape` and the grey scale of the raw image.

        Areas without image get the mean.
        """
        with torch.inference_mode():
            grey = prepared.scaling.invert(estimate, background=self._keep_background)
            result = resize_mirrored(grey + prepared.centre, shape)
            if prepared.empty is not None:
                mean = float(prepared.scaling.offset) + prepared.centre
                result.masked_fill_(_nearest(prepared.empty, shape), mean)
            return result.cpu().numpy()

    def measure_noise(self, scaled: Float32[Tensor, "y x"]) -> NoiseSpectrum:
        """Measure the noise of what `prepare` gave, which the network is told."""
        with torch.inference_mode():
            return measure_noise(scaled[None])

    def estimate(
        self,
        scaled: Float32[Tensor, "y x"],
        noise: NoiseSpectrum | None = None,
        by: str | None = None,
    ) -> Float32[Tensor, "y x"]:
        """Run the network on what `prepare` gave: the signal, in units of the noise.

        `noise` is what `measure_noise` gave, where it is known already. Of two models that named
        `by` is taken; by default the one that `judged_estimate` takes.
        """
        model, other = self._model, self._model.other
        if other is not None and by is None:
            return self.judged_estimate(scaled, noise or self.measure_noise(scaled)).signal
        return self._run(other if other is not None and by == other.name else model, scaled, noise)

    def judged_estimate(self, scaled: Float32[Tensor, "y x"], noise: NoiseSpectrum) -> Estimate:
        """Return what the network makes of what `prepare` gave, and how much of it may be noise.

        Where that is more than `MOST_NOISE_OF_FIRST` and there is another model, that one does it.
        """
        made = self._judged(self._model, scaled, noise)
        if self._model.other is None or made.noise_share <= MOST_NOISE_OF_FIRST:
            return made
        return self._judged(self._model.other, scaled, noise)

    def _judged(self, model: DenoiserModel, scaled: Tensor, noise: NoiseSpectrum) -> Estimate:
        signal = self._run(model, scaled, noise)
        with torch.inference_mode():
            share = noise_share(model.network, noise, signal, bf16=self.precision == "bf16")
        return Estimate(signal, model.name, share)

    def _run(self, model: DenoiserModel, scaled: Tensor, noise: NoiseSpectrum | None) -> Tensor:
        self.decide_precision(scaled)
        return run_network(
            model.network,
            scaled,
            noise=noise,
            bf16=self.precision == "bf16",
            tile_px=self._tile_px,
            max_memory_bytes=self._max_memory_bytes,
        )


def denoise(
    image: ArrayLike | Tensor,
    pixel_size_a: float,
    model: DenoiserModel,
    *,
    output_pixel_size_a: float | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    keep_background: bool = False,
    tile_px: int | None = None,
) -> Float32[np.ndarray, "y x"]:
    """Denoise one micrograph.

    Parameters
    ----------
    image : array
        Raw micrograph (y, x), protein dark, any real dtype and any size. It is not changed.
    pixel_size_a : float
        Its pixel size in angstrom.
    model : DenoiserModel
        From `load_model`.
    output_pixel_size_a : float, optional
        Sampling of the result in angstrom, kept to the next even size in pixels; by default the
        grid of the input.
    device, precision, keep_background, tile_px
        As for `Denoiser`, which does the same for many micrographs.

    Returns
    -------
    ndarray
        Denoised micrograph on the grid, grey scale and polarity of the input.

    Raises
    ------
    InputError
        The image is not two-dimensional, too small, holds values that are not finite, or is
        constant.
    SettingsError
        The device does not exist here.
    """
    denoiser = Denoiser(
        model,
        device=device,
        precision=precision,
        keep_background=keep_background,
        tile_px=tile_px,
    )
    raw = as_image(image)
    if output_pixel_size_a is None:
        return denoiser(raw, pixel_size_a)
    rows, columns = raw.shape
    return denoiser(
        raw, pixel_size_a, resampled_shape((rows, columns), pixel_size_a, output_pixel_size_a)
    )


def as_image(image: Any) -> Float32[Tensor, "y x"]:
    """Return a micrograph as torch takes it, whatever holds it; not a copy where none is needed.

    Raises
    ------
    InputError
        It is not a two-dimensional array of real and finite numbers, of at least 2 x 2.
    """
    raw = image if torch.is_tensor(image) else torch.from_numpy(_as_array(image))
    if raw.is_complex() or raw.layout != torch.strided:
        raise InputError(f"a micrograph holds real numbers; these are {raw.dtype}, {raw.layout}")
    if raw.ndim != 2 or min(raw.shape) < 2:
        raise InputError(f"a micrograph is two-dimensional; this has shape {tuple(raw.shape)}")
    raw = raw.float().contiguous()
    if not all(math.isfinite(limit) for limit in map(float, raw.aminmax())):
        raise InputError("holds values that are not finite (NaN or infinity); repair the file")
    return raw


def _as_array(image: Any) -> Float32[np.ndarray, "..."]:
    """Return an array as torch takes it: of float32, not read-only, without steps backwards."""
    try:
        array = np.asarray(image)
        if array.dtype.kind not in "biuf":
            raise InputError(f"a micrograph holds real numbers; these are {array.dtype}")
        if np.ma.is_masked(image):
            raise InputError("has masked pixels; fill them first, such as with the mean")
        with np.errstate(over="ignore"):  # then it is not finite
            array = np.asarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"a micrograph is an array of real numbers, not this: {error}") from None
    return np.ascontiguousarray(array) if array.flags.writeable else array.copy()


def _prepare(raw: Tensor, pixel_size_a: float, working_pixel_size_a: float) -> Prepared:
    shape = (raw.shape[0], raw.shape[1])
    working = resampled_shape(shape, pixel_size_a, working_pixel_size_a)
    if min(working) < _SMALLEST_PX:
        raise InputError(
            f"{shape[0]} x {shape[1]} pixels of {pixel_size_a:g} A are too small: less than "
            f"{_SMALLEST_PX} pixels of {working_pixel_size_a:g} A, at which the model works"
        )
    area = find_valid_area(raw)
    share = area.empty_share
    if share > _MOST_EMPTY:
        raise InputError(f"{100 * share:.0f} % of it hold no image: nothing to denoise")
    small = _crop(raw, area, working)
    if area.empty is None:
        small = without_lines(small[None], working_pixel_size_a)[0]
    else:
        # What is filled repeats itself, as offsets do: they are looked for in the rest.
        empty = _covered(area.empty, working)
        small = mirror_fill(small, empty)
        rows, columns = _bounds(~empty)
        small[rows, columns] = without_lines(small[None, rows, columns], working_pixel_size_a)[0]
        small = mirror_fill(small, empty)
    small, filtered = with_noise_restored(small, working_pixel_size_a)
    scaling = fit_scaling(small, working_pixel_size_a)
    if not float(scaling.sigma) > 0:
        raise InputError("is constant or holds no noise: nothing to denoise")
    scaled = scaling.apply(small)
    warnings = []
    if share:
        warnings.append(
            f"{100 * share:.1f} % of it hold no image (borders, bars, dead lines): filled with the "
            "mean"
        )
    if filtered and pixel_size_a < working_pixel_size_a:
        warnings.append(
            "lacks noise at fine periods: it was low-pass filtered, enlarged or denoised; it is "
            "restored for the network, but the raw micrograph gives better results"
        )
    return Prepared(scaled, scaling, area.median, area.empty, tuple(warnings))


def _crop(raw: Tensor, area: ValidArea, shape: tuple[int, int]) -> Tensor:
    """Fill what holds no image, clip outliers, centre on the median and resample to `shape`.

    Goes through the rows some at a time, so that no second full-size image is made.
    """
    low, high = area.limits(OUTLIER_SIGMA)
    rows = []
    for start in range(0, raw.shape[0], _ROWS_AT_ONCE):
        part = area.filled(raw, start, min(start + _ROWS_AT_ONCE, raw.shape[0]))
        part = part.clamp_(low, high).sub_(area.median)
        rows.append(resize(part, (part.shape[0], shape[1])))
    return resize(torch.cat(rows), shape)


def _covered(empty: Tensor, shape: tuple[int, int]) -> Tensor:
    """Pixels of a grid of `shape` that are empty for the greater part."""
    return functional.adaptive_avg_pool2d(empty[None].float(), shape)[0] > 0.5


def _bounds(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns between the outermost pixels of a mask; all where it has none."""
    rows, columns = (torch.nonzero(mask.any(dim)).flatten().tolist() for dim in (1, 0))
    if not rows:
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _nearest(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """Mask on a grid of `shape` over the same field."""
    if tuple(mask.shape) == shape:
        return mask
    y, x = (
        (torch.arange(new, device=mask.device) * old).div(new, rounding_mode="floor")
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[y][:, x]
