"""Weighted sums of rows that tables name, with gradients that are cheap on a CPU.

A bilinear sample is such a sum: of the four cells round a place. torch's GridSample goes channel
by channel on a CPU; here a row is all channels of a cell, and is read and written at once.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def weighted_sums(rows: Tensor, table: Tensor, weights: Tensor) -> Tensor:
    """Sum, for every row of a table, the rows that it names; on a CPU.

    Args:
        rows: (V, C), float32 or float64.
        table: (R, S) int32 numbers of rows, each in 0..V - 1.
        weights: (R, S) in the dtype of the rows.

    Returns:
        (R, C).
    """
    return _WeightedSums.apply(rows, table, weights)


class _WeightedSums(Function):
    """The table and the weights are a sparse matrix (R, V); its products are the gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor, weights: Tensor) -> Tensor:
        rows, weights = rows.contiguous(), weights.contiguous()
        ctx.save_for_backward(rows, table, weights)
        return F.embedding_bag(table, rows, per_sample_weights=weights, mode='sum')

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        rows, table, weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_rows = to_weights = None
        if ctx.needs_input_grad[0]:
            to_rows = _scattered(gradient, table, weights, len(rows))
        if ctx.needs_input_grad[2]:
            to_weights = _products(gradient, table, rows).reshape(weights.shape)
        return to_rows, None, to_weights


def _scattered(gradient: Tensor, table: Tensor, weights: Tensor, count: int) -> Tensor:
    """Transposed product (count, C): each row of (R, C) goes to the rows that it came from."""
    from scipy.sparse import csr_matrix  # inference needs torch alone

    first = np.arange(0, table.numel() + 1, table.shape[1], dtype=np.int32)
    matrix = csr_matrix(
        (weights.reshape(-1).numpy(), table.reshape(-1).numpy(), first),
        shape=(len(table), count),
    )
    return torch.from_numpy(matrix.T @ gradient.numpy())


def _products(gradient: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Inner product of every row's gradient (R, C) with each row that it sums, flat (R S)."""
    width = table.shape[1]
    first = torch.arange(0, table.numel() + 1, width, dtype=torch.int32)
    # torch wants no more entries in a row than it has columns.
    rows = F.pad(rows, (0, 0, 0, max(0, width - len(rows))))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in beta')
        pattern = torch.sparse_csr_tensor(
            first,
            table.reshape(-1),
            gradient.new_zeros(table.numel()),
            (len(table), len(rows)),
            check_invariants=False,
        )
    return torch.sparse.sampled_addmm(pattern, gradient, rows.t(), beta=0.0).values()


def bilinear_shares(
    where: Tensor, weight: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The four cells round every place, and their shares of a weighted bilinear sample.

    Args:
        where: (..., 2) as (x, y), 0 and 1 at the map's outer borders; float32 or float64.
        weight: (...), of each sample.

    Returns:
        cells (..., 4) int32 y * width + x, and shares (..., 4), zero for a corner outside the map.
    """
    return _BilinearShares.apply(where, weight, height, width)


class _BilinearShares(Function):
    @staticmethod
    def forward(
        ctx: Any, where: Tensor, weight: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        xs, x_cells = _axis(where[..., 0], width)
        ys, y_cells = _axis(where[..., 1], height)
        ctx.save_for_backward(*xs, *ys, weight)
        ctx.size = height, width
        cells = torch.stack([y * width + x for y in y_cells for x in x_cells], -1)
        shares = torch.stack([y * x for y in (ys[0] * weight, ys[1] * weight) for x in xs[:2]], -1)
        ctx.mark_non_differentiable(cells)
        return cells, shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x_low, x_high, x_from, x_to, y_low, y_high, y_from, y_to, weight = ctx.saved_tensors
        height, width = ctx.size
        low_low, low_high, high_low, high_high = gradient.unbind(-1)
        # Each row's part in the sample, and how fast it grows with x.
        low, high = low_low * x_low + low_high * x_high, high_low * x_low + high_high * x_high
        slope = (low_high * x_to - low_low * x_from) * y_low
        slope += (high_high * x_to - high_low * x_from) * y_high
        to_x = slope * weight * width
        to_y = (high * y_to - low * y_from) * weight * height
        return torch.stack([to_x, to_y], -1), low * y_low + high * y_high, None, None


def _axis(
    where: Tensor, size: int
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Shares of the lower and the upper cell, their slopes' sizes, and the cells, of one axis."""
    place = where * size - 0.5
    low = place.floor()
    above = place - low
    # The slope is one where a cell is in the map and zero outside.
    has_low = ((low >= 0) & (low < size)).to(place.dtype)
    has_high = ((low >= -1) & (low < size - 1)).to(place.dtype)
    shares = (1 - above) * has_low, above * has_high
    # Clamped as integers too: whatever a place is, NaN too, no look-up leaves the map.
    first = low.clamp(-1, size).to(torch.int32)
    cells = first.clamp(0, size - 1), (first + 1).clamp(0, size - 1)
    return (*shares, has_low, has_high), cells
