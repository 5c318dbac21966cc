"""Unknown parts of the truth, which have no part in the loss."""

from __future__ import annotations

import torch
from torch import Tensor


def known_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Absolute differences; 0, without a gradient, where the truth is NaN (a velocity)."""
    return (predicted - torch.where(truth.isnan(), predicted.detach(), truth)).abs()


def asked_at(places: Tensor, asked: Tensor | None, everywhere: Tensor) -> Tensor:
    """Tell at which places an object of each class would have been labelled.

    Args:
        places: (P, 2) x and y in cells from the grid's corner; outside of the grid the nearest
            cell counts.
        asked: (K, Y, X) bool; None: all cells.
        everywhere: (K, P) bool, what is given without `asked`.

    Returns:
        (K, P) bool.
    """
    if asked is None:
        return everywhere
    rows, columns = asked.shape[1:]
    cells = places.detach().nan_to_num().floor()
    column = cells[:, 0].clamp(0, columns - 1).long()
    row = cells[:, 1].clamp(0, rows - 1).long()
    return asked[:, row, column]
