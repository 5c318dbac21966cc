"""Mixed query selection from the BEV heatmap: where and how large the queries start.

Plain-DETR scores anchors of four scales with a binary class; on a BEV map objects have metric
size, so the class heatmap of the centre heads takes that place (TransFusion's proposals): local
maxima over classes and cells, the best first; a reference box is the cell's centre with the mean
size of its class, standing on the ground, heading along x.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.geometry import BevGrid
from metabev_ros.network.boxrpb import cell_axes
from metabev_ros.network.transfusion import SMALL_CLASSES

SUPPRESSED = 1e4  # taken off the logit of a cell that is no peak: it comes after all peaks


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
        """Peaks are cells that no neighbour of their class exceeds (pedestrians and cones: every
        cell, they stand closer than that); when there are too few, the best other cells follow.

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
