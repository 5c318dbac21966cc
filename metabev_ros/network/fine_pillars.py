"""LiDAR branch of fine pillars: points -> pillars -> cells -> LiDAR BEV map B_l.

Sparse until the map. PointPillars (Lang et al. 2019) for a quarter of a BEV cell, then, as in
PillarNet (Shi et al. 2022), sparse 2D convolutions over what is occupied, at half a BEV cell and
at the BEV cell. A dense map of those resolutions would be mostly empty.

Differences: points come as a list and a table, so that a pillar of one point costs one point;
halving the resolution is one linear layer over the four children. All look-ups go through tables
that the host builds (`preprocess.fine_pillars`), and export as Gather.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.network.layers import ConvBlock
from metabev_ros.network.row_tables import (
    largest,
    look_around,
    look_up_once,
    moved_tables,
    spare_rows,
)
from metabev_ros.network.sparse_encoder import RowBatchNorm

CHILDREN, NEIGHBOURS = 4, 9
# Every table and the rows that it names.
NAMES = {
    'point_table': 'points',
    'fine_table': 'point_table',
    'fine_neighbours': 'fine_table',
    'coarse_table': 'fine_table',
    'coarse_neighbours': 'coarse_table',
    'bev_table': 'coarse_table',
}


class Merge(nn.Module):
    """Four cells become one: (V, C_in) and a table (V', 4) -> (V', C_out)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(CHILDREN * c_in, c_out, bias=False)
        self.norm = RowBatchNorm(c_out)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        spare = spare_rows(x, len(table))
        return self.norm(_without(self.linear(look_up_once(x, table, spare)), spare)).relu()


class AroundBlock(nn.Module):
    """Two submanifold 3x3 convolutions with an identity shortcut: (V, C) -> (V, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(NEIGHBOURS * channels, channels, bias=False)
        self.first_norm = RowBatchNorm(channels)
        self.second = nn.Linear(NEIGHBOURS * channels, channels, bias=False)
        self.second_norm = RowBatchNorm(channels)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        inner = self.first_norm(_around(self.first, x, neighbours)).relu()
        inner = self.second_norm(_around(self.second, inner, neighbours))
        return (x + inner).relu()


def _around(linear: nn.Module, x: Tensor, neighbours: Tensor) -> Tensor:
    spare = spare_rows(x, len(neighbours))
    return _without(linear(look_around(x, neighbours, spare)), spare)


def _without(x: Tensor, spare: int) -> Tensor:
    """The rows before the last `spare`."""
    return x[: len(x) - spare] if spare else x


class FinePillarEncoder(nn.Module):
    """Inputs of `preprocess.fine_pillars` -> (B, C, Y, X) on the BEV grid.

    Args:
        config: sizes.
        bev_grid: of the map.
    """

    def __init__(self, config: LidarBranchConfig, bev_grid: BevGrid) -> None:
        super().__init__()
        self.grid_shape = bev_grid.shape
        c, fine, bev = config.pillar_channels, config.fine_channels, config.bev_channels
        self.point = nn.Sequential(
            nn.Linear(config.point_features, c), nn.ReLU(inplace=True), nn.Linear(c, c)
        )
        self.norm = RowBatchNorm(c)
        self.to_fine = Merge(c, fine)
        self.fine = nn.ModuleList(AroundBlock(fine) for _ in range(config.fine_blocks))
        self.to_coarse = Merge(fine, bev)
        self.coarse = nn.ModuleList(AroundBlock(bev) for _ in range(config.coarse_blocks))
        self.bev = ConvBlock(bev, bev)

    def encode(self, sweeps: list[dict[str, Tensor]]) -> Tensor:
        """A batch of sweeps; their rows share one list, so batch norms see all of them.

        Args:
            sweeps: of each sample the arguments of `forward` by name.

        Returns:
            (B, C, Y, X).
        """
        joined = {'points': torch.cat([sweep['points'] for sweep in sweeps])}
        for name, rows in NAMES.items():
            tables = moved_tables(
                [sweep[name] for sweep in sweeps], [len(sweep[rows]) for sweep in sweeps]
            )
            joined[name] = torch.cat(tables)
        return self.forward(**joined)

    def forward(
        self,
        points: Tensor,
        point_table: Tensor,
        fine_table: Tensor,
        fine_neighbours: Tensor,
        coarse_table: Tensor,
        coarse_neighbours: Tensor,
        bev_table: Tensor,
    ) -> Tensor:
        """Points (P, 10) and their tables, of one sample or of several in one list.

        Returns:
            (B, C, Y, X): `bev_table` has (B Y X) entries.
        """
        spare = spare_rows(self.point[0].weight, len(points))
        if spare:  # no pillar names them
            points = F.pad(points, (0, 0, 0, spare))
        x = self.norm(largest(self.point(points), point_table)).relu()
        x = self.to_fine(x, fine_table)
        for block in self.fine:
            x = block(x, fine_neighbours)
        x = self.to_coarse(x, coarse_table)
        for block in self.coarse:
            x = block(x, coarse_neighbours)
        grid = look_up_once(x, bev_table[:, None])  # (B Y X, C)
        return self.bev(grid.reshape(-1, *self.grid_shape, x.shape[1]).permute(0, 3, 1, 2))
