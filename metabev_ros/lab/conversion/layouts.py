"""Tensors of other projects in our layout and frame.

Theirs is nuScenes' LiDAR frame (x right, y forward), ours the ego frame (x forward, y left):
x = y_lidar, y = -x_lidar, up to the LiDAR's place on the vehicle. Their BEV maps are
(C, x_lidar, y_lidar) in BEVFusion ("x-first") or (C, y_lidar, x_lidar) in mmdetection3d
("y-first"); ours are (C, y, x). Row r of N of ours is therefore x_lidar cell N - 1 - r, and our
column is the y_lidar cell.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def merging_from_unfold(tensor: Tensor) -> Tensor:
    """Last axis of mmdetection's patch merging (channel, row, column) -> (column, row, channel).

    Args:
        tensor: (..., 4 C): the norm's weight or bias, or the reduction's weight.
    """
    channels = tensor.shape[-1] // 4
    return tensor.unflatten(-1, (channels, 2, 2)).transpose(-1, -3).flatten(-3)


def kernel_from_x_first(kernel: Tensor) -> Tensor:
    """(.., .., kx_lidar, ky_lidar) -> (.., .., ky, kx)."""
    return kernel.flip(2)


def kernel_from_y_first(kernel: Tensor) -> Tensor:
    """(.., .., ky_lidar, kx_lidar) -> (.., .., ky, kx)."""
    return kernel.transpose(2, 3).flip(2)


def _is_spconv1(kernel: Tensor) -> bool:
    """(k, k, k, in, out) rather than spconv 2's (out, k, k, k, in); k is 1 or 3."""
    return max(kernel.shape[:3]) <= 3


def sparse_from_x_first(kernel: Tensor) -> Tensor:
    """BEVFusion's sparse kernels, axes x y z -> (out, z, y, x, in) of `network.sparse_encoder`.

    Its y axis counts rightwards, as x_lidar does, so nothing is mirrored here.
    """
    return kernel.permute(4, 2, 0, 1, 3) if _is_spconv1(kernel) else kernel.permute(0, 3, 1, 2, 4)


def sparse_from_y_first(kernel: Tensor) -> Tensor:
    """mmdetection3d's sparse kernels, axes z y x -> (out, z, y, x, in)."""
    return kernel.permute(4, 0, 2, 1, 3) if _is_spconv1(kernel) else kernel.permute(0, 1, 3, 2, 4)


def sparse_input(kernel_of: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Of the first sparse layer: its input features x and y are in the LiDAR frame too."""

    def change(kernel: Tensor) -> Tensor:
        kernel = kernel_of(kernel)
        x_lidar, y_lidar = kernel[..., :1], kernel[..., 1:2]
        return torch.cat([y_lidar, -x_lidar, kernel[..., 2:]], -1)

    return change


def vector_rows(tensor: Tensor) -> Tensor:
    """Rows of a layer that gives (x_lidar, y_lidar) -> (x, y) = (y_lidar, -x_lidar).

    For TransFusion's centre offset and for velocities; weight or bias.
    """
    return torch.stack([tensor[1], -tensor[0]])


def cell_offset_weight(tensor: Tensor) -> Tensor:
    """CenterPoint's place in the cell, 0 to 1: the mirrored axis turns t into 1 - t."""
    return vector_rows(tensor)


def cell_offset_bias(tensor: Tensor) -> Tensor:
    """See `cell_offset_weight`."""
    return torch.stack([tensor[1], 1 - tensor[0]])


def rotation_rows_old(tensor: Tensor) -> Tensor:
    """(sin, cos) of mmdetection3d before 1.0, whose yaw is -heading - pi / 2 -> of ours.

    With heading h from x_lidar: sin(yaw_old) = -cos h, cos(yaw_old) = -sin h; in the ego frame
    the heading is h - pi / 2, so sin = -cos h = sin(yaw_old) and cos = sin h = -cos(yaw_old).
    """
    return torch.stack([tensor[0], -tensor[1]])


def rotation_rows(tensor: Tensor) -> Tensor:
    """(sin, cos) of the heading h in the LiDAR frame (mmdetection3d from 1.0) -> of ours."""
    return torch.stack([-tensor[1], tensor[0]])


def size_rows_old(tensor: Tensor) -> Tensor:
    """(width, length, height) of mmdetection3d before 1.0 -> (length, width, height)."""
    return tensor[[1, 0, 2]]


def raised(metres: float) -> Callable[[Tensor], Tensor]:
    """Bias of a layer that gives a height over the LiDAR -> over the ground."""
    return lambda bias: bias + metres


def position_weight(weight: Tensor) -> Tensor:
    """Input columns (x_lidar, y_lidar) in cells -> (x, y), for weights (out, 2, 1)."""
    return torch.stack([weight[:, 1], -weight[:, 0]], 1)


def position_bias(rows: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Bias beside `position_weight`: x_lidar = rows - y in cells. Takes bias and old weight."""
    return lambda bias, weight: bias + rows * weight[:, 0, 0]
