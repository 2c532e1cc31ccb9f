"""Settings of a denoising run: what decides the values of the result, and nothing else."""

from typing import Literal

from pydantic import Field

from nt2c.core.settings import Settings


class DenoiseSettings(Settings):
    """How micrographs are denoised; two runs with equal settings give equal results.

    Attributes
    ----------
    pixel_size_a : float or None
        The user's pixel size, angstrom; counts before that of STAR file and header.
    output_pixel_size_a : float or None
        Sampling of the result, angstrom; that of the input by default.
    precision : str
        "fp32", "bf16", or "auto": bf16 where the device is built for it and the result agrees.
    keep_background : bool
        Keep the slow background (ice gradient) instead of its mean.
    float16 : bool
        Write half-precision files.
    sum_frames : bool
        A file with several images is a movie, of which the sum of the frames is denoised.
    tiff_top_first : bool
        Row 0 of the result is the first row of a TIFF, as CryoSPARC has it; by default the last, as
        RELION and IMOD have it.
    """

    pixel_size_a: float | None = Field(None, gt=0)
    output_pixel_size_a: float | None = Field(None, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    keep_background: bool = False
    float16: bool = False
    sum_frames: bool = False
    tiff_top_first: bool = False
