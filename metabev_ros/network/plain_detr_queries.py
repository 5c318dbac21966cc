"""Queries of the Plain-DETR head: mixed selection from the BEV heatmap, and position codes.

Plain-DETR scores anchors of four scales with a binary class; on a BEV map objects have metric
size, so the class heatmap of the centre heads takes that place (TransFusion's proposals): local
maxima over classes and cells, the best first; a reference box is the cell's centre with the mean
size of its class, standing on the ground, heading along x.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.geometry import BevGrid
from metabev_ros.network.box_coding import BOX_SIZE
from metabev_ros.network.boxrpb import cell_axes
from metabev_ros.network.transfusion import SMALL_CLASSES

SUPPRESSED = 1e4  # taken off the logit of a cell that is no peak: it comes after all peaks
TEMPERATURE = 1e4
Z_SPAN, SIZE_SPAN = 10.0, 20.0  # metres that the position codes of heights and sizes resolve


class HeatmapSelection(nn.Module):
    """(B, K, Y, X) logits -> the best classes and cells and their reference boxes."""

    def __init__(self, classes: tuple[str, ...], grid: BevGrid) -> None:
        super().__init__()
        self.cells = grid.rows * grid.columns
        small = torch.tensor([name in SMALL_CLASSES for name in classes])[None, :, None, None]
        self.register_buffer('every_cell', small, persistent=False)
        self.register_buffer(
            'sizes', torch.tensor([MEAN_SIZES[name] for name in classes]), persistent=False
        )
        x, y = cell_axes(grid)
        centres = torch.stack([x.repeat(grid.rows), y.repeat_interleave(grid.columns)], -1)
        self.register_buffer('centres', centres, persistent=False)  # (Y X, 2)

    def forward(self, heatmap: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the best peaks of the heatmap.

        Peaks are cells that no neighbour of their class exceeds (pedestrians and cones: every
        cell, they stand closer than that). When there are too few, the best other cells follow.

        Returns:
            classes and flat cells row * X + column (B, count) int64, boxes (B, count, 8).
        """
        logits = heatmap.detach()
        peak = (logits == F.max_pool2d(logits, 3, 1, 1)) | self.every_cell
        ranked = torch.where(peak, logits, logits - SUPPRESSED).flatten(1)
        flat = ranked.topk(count, -1).indices
        labels, cells = flat // self.cells, flat % self.cells
        return labels, cells, self.references(labels, cells)

    def references(self, labels: Tensor, cells: Tensor) -> Tensor:
        """(B, P, 8) boxes at cells."""
        sizes, centres = self.sizes[labels], self.centres[cells]
        zero = torch.zeros_like(centres[..., :1])
        return torch.cat([centres, sizes[..., 2:] / 2, sizes, zero, zero + 1], -1)


def sine_code(values: Tensor, channels: int) -> Tensor:
    """(...,) angles -> (..., channels), even: sines, then cosines, of falling frequency."""
    order = torch.arange(channels // 2, device=values.device, dtype=values.dtype)
    angle = values[..., None] / TEMPERATURE ** (2 * order / channels)
    return torch.cat([angle.sin(), angle.cos()], -1)


class QueryPosition(nn.Module):
    """Boxes (B, P, 8) -> position codes (B, P, d), computed once from the proposals."""

    def __init__(self, channels: int, grid: BevGrid) -> None:
        super().__init__()
        self.per_number, self.grid = channels // 2, grid
        self.project = nn.Sequential(
            nn.Linear(BOX_SIZE * self.per_number, channels), nn.LayerNorm(channels)
        )

    def forward(self, boxes: Tensor) -> Tensor:
        grid, (x, y, z, length, width, height, sin, cos) = self.grid, boxes.unbind(-1)
        shares = [
            (x - grid.x_min) / (grid.x_max - grid.x_min),
            (y - grid.y_min) / (grid.y_max - grid.y_min),
            z / Z_SPAN,
            length / SIZE_SPAN,
            width / SIZE_SPAN,
            height / SIZE_SPAN,
            sin,
            cos,
        ]
        codes = sine_code(torch.stack(shares, -1) * (2 * math.pi), self.per_number)
        return self.project(codes.flatten(-2))


def key_positions(grid: BevGrid, channels: int) -> Tensor:
    """(Y X, d) codes of key cells by row and column, not normalised ("sine_unnorm")."""
    rows = sine_code(torch.arange(grid.rows) + 0.5, channels // 2)
    columns = sine_code(torch.arange(grid.columns) + 0.5, channels // 2)
    return torch.cat(
        [rows[:, None].expand(-1, grid.columns, -1), columns[None].expand(grid.rows, -1, -1)], -1
    ).flatten(0, 1)
