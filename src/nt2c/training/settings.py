"""Settings of a training run: one recipe file describes it whole."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from nt2c.core.settings import Settings
from nt2c.models.denoiser import NetworkSettings
from nt2c.models.unet import UNetSettings
from nt2c.simulation.settings import SimulationSettings

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """One pass of the loop: AdamW, warm-up, cosine decay, clipped gradients, averaged weights."""

    steps: int = Field(20000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), description="decay of Adam's running mean and mean square of the gradient"
    )
    warmup_steps: int = Field(300, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    bf16: bool = Field(
        True,
        description="run the network in bfloat16, its weights in float32, on devices that multiply "
        "it natively; all others, and false, mean float32",
    )
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    checkpoint_minutes: float = Field(3.0, gt=0)

    def scaled_to(self, steps: int) -> Self:
        """The same schedule in other steps: warm-up and averaging keep their shares of it.

        An average that reaches back to the first of few steps would hardly be a trained network.
        """
        ratio = steps / self.steps
        return self.replace(
            steps=steps,
            warmup_steps=round(ratio * self.warmup_steps),
            ema_decay=max(0.0, 1 - (1 - self.ema_decay) / ratio),
        )


class PairSettings(Settings):
    """How simulated fields become batches."""

    crop_px: int = Field(128, ge=32)
    batch: int = Field(16, ge=1)
    fields: int = Field(1, ge=1, description="fields simulated at a time")
    steps_per_fields: int = Field(3, ge=1, description="steps after which new ones are simulated")
    pool: int = Field(64, ge=1, description="fields kept, from which crops are drawn")
    species_life: int = Field(8, ge=1, description="draws of fields until a species is replaced")
    loss_floor: float = Field(0.02, gt=0, description="signal power at which errors count fully")
    weight_by_correlation: bool = Field(
        False, description="the error of a crop counts as its correlation would: faint ones more"
    )
    validation_fields: int = Field(12, ge=1)


class RecorruptedSettings(Settings):
    """Share of the loss that real micrographs have, where they are given.

    Recorrupted pairs need no clean image (Pang et al. 2021, Recorrupted-to-Recorrupted).
    """

    weight: float = Field(
        0.0, ge=0, description="of the error on recorrupted pairs, beside simulated ones; 0: off"
    )
    strength: float = Field(
        0.5, gt=0, description="standard deviation of the noise added, in that of the noise"
    )
    batch: int = Field(4, ge=1, description="real crops in a step")


class Recipe(Settings):
    """A denoiser: what it sees, what it is, how it is trained."""

    name: str
    seed: int = Field(0, ge=0)
    simulation: SimulationSettings = SimulationSettings()
    network: NetworkSettings = UNetSettings()
    pairs: PairSettings = PairSettings()
    recorrupted: RecorruptedSettings = RecorruptedSettings()
    optimizer: OptimizerSettings = OptimizerSettings()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        stride = self.network.stride
        if self.pairs.crop_px % stride:
            raise ValueError(f"pairs.crop_px must be a multiple of the network's stride {stride}")
        if self.pairs.crop_px > min(self.simulation.shape):
            raise ValueError("pairs.crop_px is larger than simulation.shape")
        return self
