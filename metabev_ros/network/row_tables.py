"""Rows by tables: the look-ups of encoders that know only occupied cells, with cheap gradients.

A table names a row by its number; the number of rows names none, and reads as zeros. The gradient
of a plain look-up adds up row by row, which is slow on a CPU. Each function here knows more of its
table than that, and its gradient is again a look-up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from metabev_ros.network.weighted_rows import weighted_sums


def with_zeros(x: Tensor) -> Tensor:
    """(V, C) -> (V + 1, C), the last row zero."""
    return torch.cat([x, x.new_zeros(1, x.shape[1])])


def moved_tables(tables: list[Tensor], counts: list[int]) -> list[Tensor]:
    """Tables of samples with `counts` input rows as tables into the rows of all of them."""
    total, start, moved = sum(counts), 0, []
    for table, count in zip(tables, counts, strict=True):
        moved.append(torch.where(table == count, total, table + start))
        start += count
    return moved


def look_up(x: Tensor, table: Tensor, spare: int = 0) -> Tensor:
    """(V, C) rows and a table (V', K) -> (V' + spare, K C), the spare rows zero."""
    index = table.reshape(-1)
    if spare:
        index = torch.cat([index, index.new_full((spare * table.shape[1],), x.shape[0])])
    # No len(): to an export that is a number, and the size one of the sample that is traced.
    return with_zeros(x).index_select(0, index).reshape(table.shape[0] + spare, -1)


def look_up_once(x: Tensor, table: Tensor, spare: int = 0) -> Tensor:
    """`look_up` with a table in which every row is named once at most.

    Args:
        x: (V, C).
        table: (V', K) int32.
        spare: rows of zeros behind the result.
    """
    return _LookUpOnce.apply(x, table, spare) if _learns(x) else look_up(x, table, spare)


def look_around(x: Tensor, neighbours: Tensor, spare: int = 0) -> Tensor:
    """`look_up` with a table of neighbours, which is symmetric.

    Args:
        x: (V, C).
        neighbours: (V, K) int32: where row v names u in column k, row u names v in column
            K - 1 - k.
        spare: rows of zeros behind the result.
    """
    return _LookAround.apply(x, neighbours, spare) if _learns(x) else look_up(x, neighbours, spare)


def spare_rows(x: Tensor, count: int) -> int:
    """Rows that make `count` a number that comes again, an eighth of it at most.

    oneDNN makes code for every size of a matrix product and keeps that of a thousand: with a size
    of its own for every batch, gigabytes of a training's memory. 0 where nothing learns.
    """
    return -count % (1 << max(0, count.bit_length() - 4)) if _learns(x) else 0


def sums_of_rows(x: Tensor, table: Tensor) -> Tensor:
    """Sum of the rows that a table names: (V, C) and (V', K) -> (V', C).

    Args:
        table: int32, names every row once at most.
    """
    if _learns(x) and x.device.type == 'cpu' and x.dtype in (torch.float32, torch.float64):
        return weighted_sums(with_zeros(x), table, x.new_ones(table.shape))
    return look_up_once(x, table).reshape(*table.shape, -1).sum(1)


def largest(x: Tensor, table: Tensor) -> Tensor:
    """Largest value over the rows that a table names: (P, C) and (V, S) -> (V, C).

    Args:
        table: int32, names no row in two places, but one again in the same place.
    """
    if _learns(x):
        return _Largest.apply(x, table)
    return x.index_select(0, table.reshape(-1)).reshape(*table.shape, -1).amax(1)


def _learns(x: Tensor) -> bool:
    """Tell whether a gradient is wanted; an export takes the plain operators."""
    return torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_exporting()


def weighted_row_sums(
    depth: Tensor, pixels: Tensor, depth_table: Tensor, pixel_table: Tensor
) -> Tensor:
    """Rows of lift-splat's tables: each sums probability x context of its points.

    Args:
        depth: (N, D, P) probabilities of every view, depth bin and feature pixel.
        pixels: (N P, C) context.
        depth_table, pixel_table: (R, S) int32, as `preprocess.lift_splat` makes them: no
            probability is named twice, N D P is none.

    Returns:
        (R, C).
    """
    if _learns(depth) and _learns(pixels):
        if depth.device.type == 'cpu' and depth.dtype == pixels.dtype:
            return weighted_sums(
                pixels, pixel_table, look_up_once(depth.reshape(-1, 1), depth_table)
            )
        return _WeightedRowSums.apply(depth, pixels, depth_table, pixel_table)
    return row_sums(depth, pixels, depth_table, pixel_table)


def row_sums(depth: Tensor, pixels: Tensor, depth_table: Tensor, pixel_table: Tensor) -> Tensor:
    """`weighted_row_sums` for any tables."""
    width, channels = depth_table.shape[1], pixels.shape[1]
    weights = torch.cat([depth.reshape(-1), depth.new_zeros(1)])  # last = padding
    weight = weights.index_select(0, depth_table.reshape(-1))
    feature = pixels.index_select(0, pixel_table.reshape(-1))
    return (weight.reshape(-1, 1, width) @ feature.reshape(-1, width, channels))[:, 0]


class _WeightedRowSums(Function):
    """Its gradient looks up, for every point of every pixel, the one row that the point is in."""

    @staticmethod
    def forward(
        ctx: Any, depth: Tensor, pixels: Tensor, depth_table: Tensor, pixel_table: Tensor
    ) -> Tensor:
        ctx.save_for_backward(depth, pixels, depth_table)
        with torch.autocast(depth.device.type, enabled=False):
            return row_sums(depth, pixels, depth_table, pixel_table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        depth, pixels, table = ctx.saved_tensors
        views, bins, count = depth.shape
        row = torch.arange(len(table), dtype=torch.int32, device=table.device)
        row_of_point = torch.full_like(row[:1], len(table)).repeat(depth.numel() + 1)
        row_of_point[table.reshape(-1).long()] = row.repeat_interleave(table.shape[1])
        by_pixel = row_of_point[:-1].reshape(views, bins, count).transpose(1, 2).reshape(-1, bins)
        rows = look_up(gradient, by_pixel).reshape(views * count, bins, -1)
        weight = depth.transpose(1, 2).reshape(views * count, 1, bins)
        with torch.autocast(depth.device.type, enabled=False):
            to_depth = (rows @ pixels[:, :, None])[..., 0].reshape(views, count, bins)
            to_pixels = (weight @ rows)[:, 0]
        return to_depth.transpose(1, 2), to_pixels, None, None


class _LookUpOnce(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, spare: int) -> Tensor:
        ctx.save_for_backward(table)
        ctx.shape = x.shape
        return look_up(x, table, spare)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (table,) = ctx.saved_tensors
        rows, channels = ctx.shape
        result = gradient.new_zeros(rows + 1, channels)
        parts = gradient[: len(table)].reshape(-1, channels)
        result.index_copy_(0, table.reshape(-1).long(), parts)
        return result[:-1], None, None


class _LookAround(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbours: Tensor, spare: int) -> Tensor:
        ctx.save_for_backward(neighbours)
        return look_up(x, neighbours, spare)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (neighbours,) = ctx.saved_tensors
        count, width = neighbours.shape
        parts = gradient[:count].reshape(count * width, -1)
        column = torch.arange(width - 1, -1, -1, device=gradient.device, dtype=torch.int32)
        # What `count` names begins behind the last part, whatever its column.
        places = (neighbours * width + column).clamp(max=count * width)
        return look_up(parts, places).reshape(count, width, -1).sum(1), None, None


class _Largest(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor) -> Tensor:
        values = x.index_select(0, table.reshape(-1)).reshape(*table.shape, -1)
        values, slot = values.max(1)
        ctx.save_for_backward(table.long().gather(1, slot))
        ctx.shape = x.shape
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).scatter_(0, rows, gradient), None
