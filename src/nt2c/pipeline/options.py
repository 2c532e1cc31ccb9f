"""How an extraction of noise is done, beside which windows are taken."""

from pydantic import Field

from nt2c.core.options import PIXEL_SIZE, Device, Folder, PixelSizeA
from nt2c.core.settings import Settings


class ExtractOptions(Settings):
    """What the user knows of the micrographs, and where and how it is done."""

    pixel_size_a: PixelSizeA | None = Field(None, description=PIXEL_SIZE)
    mask: Folder | None = Field(
        None,
        title="DIR",
        description="Folder of masks (MRC or TIFF) named as the micrographs, of any size; no "
        "window is taken where a mask is not 0.",
    )
    raw: bool = Field(
        False,
        description="Also write the windows at the pixel size of the files: DIR/raw/NAME.npy.",
    )
    device: Device = Field("auto", description="auto, cpu, cuda or cuda:N.")
    seed: int = 0
    """Of the random choice between acceptable windows."""
