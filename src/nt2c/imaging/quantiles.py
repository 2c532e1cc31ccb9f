"""Quantiles of many values: as `torch.quantile` gives them, in a tenth of its time on the CPU."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def ascending(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the values in ascending order; NumPy sorts ten times as fast as torch on the CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


def quantiles(values: Float[Tensor, " n"], *shares: float) -> list[float]:
    """Return quantiles of finite values, interpolated between neighbours as `torch.quantile` does.

    Parameters
    ----------
    values : Tensor, shape (n,)
        Any number from 1; `torch.quantile` takes 16 million at most.
    *shares : float
        From 0 to 1.
    """
    ordered = ascending(values)
    ranks = torch.tensor(shares, dtype=ordered.dtype, device=ordered.device) * (len(ordered) - 1)
    below = ranks.long()
    above = ranks.ceil().long()
    found: list[float] = torch.lerp(ordered[below], ordered[above], ranks - below).tolist()
    return found
