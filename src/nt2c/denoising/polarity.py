"""Whether particles look bright, where the model expects them dark."""

from jaxtyping import Float
from torch import Tensor

from nt2c.imaging.fourier import gaussian_lowpass
from nt2c.imaging.quantiles import quantiles

_FINE_A, _COARSE_A = 10.0, 100.0  # standard deviations of the blurs between which particles show
_SQUARE_A = 512.0  # some particles fit into it
_FEWEST_SQUARES = 8
_MEDIAN, _LOWER_QUARTER = 0.2, 0.08

BRIGHT = (
    "particles look bright on darker ice, and the model expects them dark: is the contrast "
    "inverted, or are the pixels of another integer type than the file says?"
)


def polarity_warnings(scaled: Float[Tensor, "y x"], pixel_size_a: float) -> tuple[str, ...]:
    """Return a warning when there is evidence that the contrast of a micrograph is inverted.

    Particles take up little of the area and lie all to one side of the grey value of the ice, so
    grey values at their scale are skewed to that side. The skewness is taken in squares, of which
    three quarters must be bright: a film edge or contamination fills but some.

    Parameters
    ----------
    scaled : Tensor
        From `prepare`: the micrograph in units of its noise.
    pixel_size_a : float
        Its pixel size, angstrom.
    """
    side = round(_SQUARE_A / pixel_size_a)
    if (scaled.shape[0] // side) * (scaled.shape[1] // side) < _FEWEST_SQUARES:
        return ()
    band = gaussian_lowpass(scaled, _FINE_A / pixel_size_a)
    band = band - gaussian_lowpass(scaled, _COARSE_A / pixel_size_a)
    squares = band.unfold(0, side, side).unfold(1, side, side).flatten(0, 1).flatten(1)
    centred = squares - squares.mean(1, keepdim=True)
    skewness = centred.pow(3).mean(1) / centred.square().mean(1).clamp_min(1e-12).pow(1.5)
    lower, median = quantiles(skewness, 0.25, 0.5).tolist()
    return (BRIGHT,) if lower > _LOWER_QUARTER and median > _MEDIAN else ()
