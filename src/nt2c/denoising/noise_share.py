"""How much of a denoised micrograph may be noise, as the model's answer to noise alone says."""

from jaxtyping import Float32
from torch import Tensor

from nt2c.core.random import stream
from nt2c.denoising.network import run_network
from nt2c.denoising.settings import BUNDLED, GENERAL
from nt2c.imaging.noise_spectrum import NoiseSpectrum
from nt2c.models.network import DenoisingNetwork

MOST_NOISE = 0.25
"""Share of noise above which a warning is given."""

MOST_NOISE_OF_FIRST = 0.45
"""Share of noise above which another model is taken, where there is one."""

_SIDE_PX = 256  # of the field of noise


def noise_share(
    network: DenoisingNetwork, noise: NoiseSpectrum, estimate: Float32[Tensor, "y x"], *, bf16: bool
) -> float:
    """Share of a denoised micrograph that the network makes of noise like this alone, 0 to 1.

    A particle-free field is drawn with the measured spectrum and denoised as if it were the
    micrograph, told the same noise. What is left of it, as a variance, is divided by the variance
    of the denoised micrograph: small where the network tells particles from this noise, 1 where it
    found nothing else. The field is always the same, so that the share of a file is too.

    Parameters
    ----------
    network : DenoisingNetwork
        On the device of `noise`.
    noise : NoiseSpectrum
        Measured on the micrograph, in the units in which the network had it.
    estimate : Tensor
        What the network made of the micrograph.
    bf16 : bool
        Compute in bfloat16.
    """
    field = noise.draw((_SIDE_PX, _SIDE_PX), stream(0, "noise share"))[0]
    left = run_network(network, field, noise=noise, bf16=bf16).var()
    return min(1.0, float(left) / max(float(estimate.var()), 1e-12))


def noise_warnings(share: float, model: str = GENERAL) -> tuple[str, ...]:
    """Return a warning when much of what the model of a name made of a micrograph may be noise."""
    if share <= MOST_NOISE:
        return ()
    other = f"try the default model {BUNDLED}, or "
    return (
        f"up to {share:.0%} of what the denoised micrograph shows may be noise: of noise like its "
        "own alone the model makes as much. Either it holds hardly any particles, or its noise is "
        f"unlike what the model was trained on: {other if model == GENERAL else ''}train one on "
        "the micrographs (nt2c run)",
    )
