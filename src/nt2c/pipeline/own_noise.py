"""Which micrographs a training may use themselves, with noise that is as their own."""

from pathlib import Path

from torch import Tensor

from nt2c.core.words import plural
from nt2c.io.weights import read_model_file, write_weights
from nt2c.noise.own import OwnNoise
from nt2c.pipeline.learning import Split
from nt2c.pipeline.window_files import load_prepared, prepared_paths
from nt2c.training.digest import digest
from nt2c.training.recorrupted import NoisyMicrograph, excess_kurtosis, is_gaussian

OWN_NOISE = "own_noise.safetensors"
TAUGHT = 0.8
"""Share of a micrograph's rows, from the top, that is trained on; the rest only judges, as the
windows there do."""
_MOST_UNKNOWN = 0.05
"""Of the power of the noise; what lacks counts as signal. Where the noise of all stood for that of
micrographs whose ice differs by 0.09, it cost 0.08 of correlation."""


def keep_own_noise(split: Split, folder: Path) -> str:
    """Leave the noise of each micrograph in `folder`, unless it is there; or say why not.

    It is kept: fitted again elsewhere it would differ in its last bits, and a run that goes on must
    be the same.
    """
    kurtosis = excess_kurtosis(split.learn, split.learn_groups)
    if not is_gaussian(kurtosis):
        return f"their noise is not Gaussian (excess kurtosis {kurtosis:.1f})"
    if not (folder / OWN_NOISE).exists():
        own = OwnNoise.fit(split.learn, split.learn_groups)
        write_weights(folder / OWN_NOISE, *own.to_tensors())
    return ""


def noisy_micrographs(
    windows: Path, split: Split, folder: Path
) -> tuple[list[NoisyMicrograph], str]:
    """Micrographs whose noise is known, and in words how many are left out and why.

    Parameters
    ----------
    windows : Path
        Folder of the extraction, which kept the micrographs.
    split : Split
        Its windows.
    folder : Path
        Where `keep_own_noise` left the noise.
    """
    tensors, metadata = read_model_file(folder / OWN_NOISE)
    own = OwnNoise.from_tensors(tensors, metadata)
    source = digest(tensors.values())
    found, unknown = [], 0
    for path in prepared_paths(windows):
        number = split.names.index(path.stem) if path.stem in split.names else -1
        if own.unknown(number) > _MOST_UNKNOWN:
            unknown += 1
            continue
        sampler, sd = own.of(number)
        found.append(NoisyMicrograph(load_prepared(path), sampler, sd, source))
    if not unknown:
        return found, ""
    return found, (
        f"the power of the noise differs between micrographs by {100 * own.spread:.0f} %, and "
        f"{plural(unknown, 'micrograph')} of {unknown + len(found)} have too few windows to tell "
        "theirs"
    )


def taught(image: Tensor) -> Tensor:
    """Rows of a micrograph (y, x) that are trained on."""
    return image[: round(TAUGHT * len(image))]


def judged(image: Tensor) -> Tensor:
    """Rows of a micrograph, or of an image of it (..., y, x), that only judge."""
    return image[..., round(TAUGHT * image.shape[-2]) :, :]


def prepared_micrographs(windows: Path) -> list[Tensor]:
    """Micrographs (y, x) that the extraction kept, in units of their noise."""
    return [load_prepared(path) for path in prepared_paths(windows)]
