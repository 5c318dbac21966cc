"""BEVFusion's map head: BEV features resampled onto the map grid, convolutions, logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid
from metabev_ros.network.deformable import Sampling, at_least_float32
from metabev_ros.network.layers import ConvBlock
from metabev_ros.network.weighted_rows import bilinear_shares, weighted_sums


class MapHead(nn.Module):
    """(B, C, Y, X) on the BEV grid -> (B, L, Ym, Xm) logits on the map grid.

    Bilinear resampling (align_corners False, zero outside the BEV grid), then `blocks` 3x3
    convolutions with batch norm and ReLU, then 1x1. BEVFusion keeps the neck's width
    (`channels` == `c_in`); a narrower head is reduced by a 1x1 convolution before resampling.
    Without GridSample (`Sampling.GATHER`) resampling is a product with each axis' shares: both
    grids are straight.
    """

    def __init__(
        self,
        c_in: int,
        channels: int,
        classes: int,
        bev: BevGrid,
        target: BevGrid,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.reduce = nn.Identity() if c_in == channels else ConvBlock(c_in, channels, kernel=1)
        self.refine = nn.Sequential(
            *(layer for _ in range(blocks) for layer in ConvBlock(channels, channels))
        )
        self.logits = nn.Conv2d(channels, classes, 1)
        centres = torch.as_tensor(target.centres())  # (Ym, Xm, 2) metres
        low = torch.tensor([bev.x_min, bev.y_min])
        span = torch.tensor([bev.x_max - bev.x_min, bev.y_max - bev.y_min])
        where = (2 * (centres - low) / span - 1).float()[None]
        self.register_buffer('where', where, persistent=False)
        self.register_buffer('row_shares', _shares(where[0, :, 0, 1], bev.rows), persistent=False)
        self.register_buffer(
            'column_shares', _shares(where[0, 0, :, 0], bev.columns), persistent=False
        )
        self.sampling = Sampling.GRID

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(self.reduce(x))
        return self.logits(self.refine(self._resample(x)))

    def _resample(self, x: Tensor) -> Tensor:
        """(B, C, Y, X) -> (B, C, Ym, Xm)."""
        match self.sampling:
            case Sampling.GRID:
                grid = self.where.to(x.dtype).expand(x.shape[0], -1, -1, -1)
                return F.grid_sample(x, grid, align_corners=False)
            case Sampling.ROWS:
                return self._sum_rows(x)
            case Sampling.GATHER:
                return self.row_shares.to(x.dtype) @ x @ self.column_shares.to(x.dtype).t()
            case _:
                assert_never(self.sampling)

    def _sum_rows(self, x: Tensor) -> Tensor:
        (batch, channels, height, width), (rows, columns) = x.shape, self.where.shape[1:3]
        where, weight = (self.where[0].to(x.dtype) + 1) / 2, x.new_ones(rows, columns)
        cells, shares = bilinear_shares(where, weight, height, width)
        first = torch.arange(batch, dtype=torch.int32) * (height * width)
        table = (cells + first[:, None, None, None]).reshape(-1, 4)
        sums = weighted_sums(
            x.permute(0, 2, 3, 1).reshape(-1, channels),
            table,
            shares.reshape(-1, 4).repeat(batch, 1),
        )
        return sums.reshape(batch, rows, columns, channels).permute(0, 3, 1, 2)


def _shares(where: Tensor, cells: int) -> Tensor:
    """(M, cells) share of every cell in bilinear samples at (M,) places in -1..1."""
    place = (where.double() + 1) / 2 * cells - 0.5
    return (1 - (place[:, None] - torch.arange(cells)).abs()).clamp(min=0).float()
