"""Boxes relative to reference boxes, in metres: Plain-DETR's re-parameterised regression for BEV.

A box is (..., 8): x y z (gravity centre), length, width, height, sin yaw, cos yaw; a code is
(..., 8): the centre's offset along the reference's own axes as shares of its size, logarithms of
the size ratios, and the sine and (less 1) cosine of the turn.

Differences from Plain-DETR (`box_ops.bbox2delta`, `delta2bbox`): codes turn with the reference,
so they do not change when the scene is moved or turned; yaw is a product of unit vectors, so zero
is the identity; sizes have one floor on both sides, where theirs adds 0.1 when encoding only,
harmless in pixels but 12 % of a pedestrian in metres; only the centre is kept inside the grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metabev_ros.config.plain_detr import OffsetNorm
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid

BOX_SIZE = CODE_SIZE = 8
SIZE_FLOOR, SIZE_CEILING = 0.2, math.exp(4.0)  # metres; the ceiling is `decode_boxes`'s
RATIO_CLIP = math.log(1000 / 16)  # of one step, as in Plain-DETR


def floored_sizes(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Length, width, height, none below the floor."""
    length, width, height = boxes[..., 3:6].clamp(min=SIZE_FLOOR).unbind(-1)
    return length, width, height


def axis_units(reference: Tensor, norm: OffsetNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Divisors of offsets along the reference's length, width and height."""
    length, width, height = floored_sizes(reference)
    match norm:
        case OffsetNorm.SIDES:
            return length, width, height
        case OffsetNorm.DIAGONAL:
            diagonal = (length**2 + width**2).sqrt()
            return diagonal, diagonal, height
        case _:
            assert_never(norm)


def encode(boxes: Tensor, reference: Tensor, norm: OffsetNorm = OffsetNorm.SIDES) -> Tensor:
    """Codes of boxes (..., 8) relative to references (..., 8); the shapes broadcast."""
    sin, cos = reference[..., 6], reference[..., 7]
    dx, dy, dz = (boxes[..., :3] - reference[..., :3]).unbind(-1)
    unit_u, unit_v, unit_z = axis_units(reference, norm)
    ratios = [
        torch.log(size / old)
        for size, old in zip(floored_sizes(boxes), floored_sizes(reference), strict=True)
    ]
    turn_sin = boxes[..., 6] * cos - boxes[..., 7] * sin
    turn_cos = boxes[..., 7] * cos + boxes[..., 6] * sin
    return torch.stack(
        [
            (cos * dx + sin * dy) / unit_u,
            (cos * dy - sin * dx) / unit_v,
            dz / unit_z,
            *ratios,
            turn_sin,
            turn_cos - 1,
        ],
        -1,
    )


def decode(
    codes: Tensor,
    reference: Tensor,
    norm: OffsetNorm = OffsetNorm.SIDES,
    grid: BevGrid | None = None,
) -> Tensor:
    """Boxes of codes; the inverse of `encode` for sizes between floor and ceiling.

    Args:
        codes, reference: (..., 8).
        grid: centres are kept on it; None: they may lie anywhere.
    """
    sin, cos = reference[..., 6], reference[..., 7]
    unit_u, unit_v, unit_z = axis_units(reference, norm)
    u, v = codes[..., 0] * unit_u, codes[..., 1] * unit_v
    x, y = reference[..., 0] + cos * u - sin * v, reference[..., 1] + sin * u + cos * v
    if grid is not None:
        x, y = x.clamp(grid.x_min, grid.x_max), y.clamp(grid.y_min, grid.y_max)
    ratios = codes[..., 3:6].clamp(-RATIO_CLIP, RATIO_CLIP).exp().unbind(-1)
    sizes = [
        (old * ratio).clamp(SIZE_FLOOR, SIZE_CEILING)
        for old, ratio in zip(floored_sizes(reference), ratios, strict=True)
    ]
    turn_sin, turn_cos = codes[..., 6], codes[..., 7] + 1
    new_sin, new_cos = sin * turn_cos + cos * turn_sin, cos * turn_cos - sin * turn_sin
    length = (new_sin**2 + new_cos**2).clamp(min=1e-8).sqrt()
    return torch.stack(
        [
            x,
            y,
            reference[..., 2] + codes[..., 2] * unit_z,
            *sizes,
            new_sin / length,
            new_cos / length,
        ],
        -1,
    )


def to_channels(boxes: Tensor, velocity: Tensor, grid: BevGrid) -> Tensor:
    """(B, P, 8) boxes and (B, P, 2) m/s -> (B, 10, P) channels as `postprocess` decodes them."""
    x, y = (boxes[..., 0] - grid.x_min) / grid.cell, (boxes[..., 1] - grid.y_min) / grid.cell
    return torch.cat(
        [
            x[..., None],
            y[..., None],
            boxes[..., 2:3],
            boxes[..., 3:6].log(),
            boxes[..., 6:],
            velocity,
        ],
        -1,
    ).transpose(1, 2)


def from_channels(channels: Tensor, grid: BevGrid) -> tuple[Tensor, Tensor]:
    """Decode (..., 10) channels into (..., 8) boxes and (..., 2) velocities.

    x and y are in cells from the grid's corner; the inverse of `to_channels`.
    """
    x, y = channels[..., 0] * grid.cell + grid.x_min, channels[..., 1] * grid.cell + grid.y_min
    boxes = torch.cat(
        [
            x[..., None],
            y[..., None],
            channels[..., 2:3],
            channels[..., 3:6].exp(),
            channels[..., 6:8],
        ],
        -1,
    )
    return boxes, channels[..., 8:10]
