"""A trained denoiser: the network with all that is needed to use it."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.models.network import DenoisingNetwork
from nt2c.models.unet import UNetSettings

FORMAT = 2

NetworkSettings = UNetSettings
"""Settings of any network that recipes and files may hold: a union, `UNetSettings | ...`."""


class _Description(BaseModel):
    """What a model file must say; what else it says is kept as it is."""

    name: str
    network: NetworkSettings
    pixel_size_a: float = Field(gt=0, allow_inf_nan=False)


@dataclass(frozen=True)
class DenoiserModel:
    """Network, working pixel size and the record of how it was made.

    `metadata` holds at least `name`; `recipe`, `seed`, `figures` and the like are free. `other`, at
    the same pixel size, is for micrographs of which this model would make too much noise; a model
    file holds one model alone.
    """

    network: DenoisingNetwork
    pixel_size_a: float
    metadata: dict[str, Any]
    other: "DenoiserModel | None" = None

    @property
    def name(self) -> str:
        """Of this model alone."""
        return str(self.metadata.get("name", "unnamed"))

    @property
    def names(self) -> str:
        """Of this model and of the other, for people."""
        return f"{self.name} or {self.other.name}" if self.other else self.name

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Half-precision tensors and metadata for a model file."""
        tensors = {k: v.to(torch.float16) for k, v in self.network.state_dict().items()}
        own = {
            "format": FORMAT,
            "kind": "denoiser",
            "network": self.network.settings.model_dump(mode="json"),
            "pixel_size_a": self.pixel_size_a,
            "stride": self.network.stride,
            "receptive_field_px": self.network.receptive_field_px,
        }
        return tensors, {**self.metadata, **own}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], metadata: dict[str, Any], where: str
    ) -> "DenoiserModel":
        """Build the model held by a file named `where`.

        Raises
        ------
        InputError
            When the file holds something else, a newer format, or is damaged.
        """
        if metadata.get("kind") != "denoiser":
            raise InputError(
                f"{where}: not a denoiser model; give a file that nt2c train wrote as its result"
            )
        if metadata.get("format") != FORMAT:
            raise InputError(
                f"{where}: model format {metadata.get('format')} is not {FORMAT}; use the version "
                "of nt2c that made it, or fit a new model"
            )
        try:
            head = _Description.model_validate(metadata)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{where}: damaged description: '{key}': {first['msg']}; fetch or train it again"
            ) from None
        with torch.device("meta"):  # takes no memory: what the file says may be wrong
            network = head.network.build()
        try:
            network.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
        except RuntimeError as error:
            raise InputError(f"{where}: weights do not fit the network: {error}") from None
        network.eval().requires_grad_(False)
        return cls(network, head.pixel_size_a, metadata)
