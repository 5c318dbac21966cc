"""Moving average of the weights, which is what a training gives in the end."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def move_average(average: dict[str, Tensor], weights: dict[str, Tensor], decay: float) -> None:
    """Move the average, in place, by 1 - `decay` of its way to the weights."""
    for name, value in weights.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
    copy_counts(average, weights)


def copy_counts(average: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Copy the integers, which have no average."""
    for name, value in weights.items():
        if not value.is_floating_point():
            average[name].copy_(value)
