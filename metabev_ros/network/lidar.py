"""LiDAR branch: pillars -> LiDAR BEV map B_l (PointPillars, Lang et al. 2019).

The sparse encoder of the paper is in `sparse_encoder`.

Differences: an empty slot of a pillar repeats its first point, which changes no maximum, so no
mask is needed; the scatter to the grid is one Gather through a host-built inverse table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from metabev_ros.config import LidarBranchConfig, LidarEncoder, ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.geometry import BevGrid
from metabev_ros.network.fine_pillars import FinePillarEncoder
from metabev_ros.network.layers import ConvBlock, ResidualBlock
from metabev_ros.network.sparse_encoder import RowBatchNorm, SparseEncoder

if TYPE_CHECKING:
    from metabev_ros.network.spconv_encoder import SpconvEncoder


class PillarEncoder(nn.Module):
    """(V, S, 9) pillars and (Y' X') table -> (1, C, Y, X), one cell = 2 x 2 pillars."""

    def __init__(self, config: LidarBranchConfig, pillar_grid: BevGrid) -> None:
        super().__init__()
        self.grid_shape = pillar_grid.shape
        c, bev = config.pillar_channels, config.bev_channels
        self.point = nn.Sequential(
            nn.Linear(config.pillar_features, c), nn.ReLU(inplace=True), nn.Linear(c, c)
        )
        self.norm = RowBatchNorm(c)
        self.bev = nn.Sequential(ConvBlock(c, bev, stride=2), ResidualBlock(bev))

    def encode(self, sweeps: list[dict[str, Tensor]]) -> Tensor:
        """A batch of sweeps; they share one pillar list.

        Args:
            sweeps: of each sample `pillars` (V, S, 9) and `pillar_table` (Y' X').

        Returns:
            (B, C, Y, X).
        """
        pillars = torch.cat([sweep['pillars'] for sweep in sweeps])
        tables, start = [], 0
        for sweep in sweeps:
            count, table = len(sweep['pillars']), sweep['pillar_table']
            tables.append(torch.where(table == count, len(pillars), table + start))
            start += count
        return self._encode(pillars, torch.stack(tables))

    def _encode(self, pillars: Tensor, tables: Tensor) -> Tensor:
        """`tables` (B, Y' X'): row of `pillars` for every pillar cell, V where there is none."""
        features = self.norm(self.point(pillars).amax(1)).relu()  # (V, C)
        features = torch.cat([features, features.new_zeros(1, features.shape[1])])
        grid = features.index_select(0, tables.reshape(-1))  # (B Y' X', C)
        grid = grid.reshape(tables.shape[0], *self.grid_shape, -1).permute(0, 3, 1, 2)
        return self.bev(grid)

    def forward(self, pillars: Tensor, pillar_table: Tensor) -> Tensor:
        """One sample: pillars (V, S, 9), pillar_table (Y' X',) -> (1, C, Y, X)."""
        return self._encode(pillars, pillar_table[None])


def build_lidar_encoder(
    config: ModelConfig, execution: SparseExecution = SparseExecution.TABLES
) -> PillarEncoder | SparseEncoder | SpconvEncoder | FinePillarEncoder:
    """The LiDAR encoder that the configuration names.

    Args:
        execution: of the sparse encoder; `Preprocessor` must be given the same.

    Raises:
        ConfigError: for `SPCONV` with pillars, which have no sparse layers.
        MissingDependencyError: for `SPCONV` without spconv.
    """
    match config.lidar.encoder:
        case LidarEncoder.PILLAR:
            _require_tables(execution)
            return PillarEncoder(config.lidar, config.pillar_grid)
        case LidarEncoder.SPARSE:
            return _build_sparse_encoder(config, execution)
        case LidarEncoder.FINE_PILLAR:
            _require_tables(execution)
            return FinePillarEncoder(config.lidar, config.bev_grid)
        case _:
            assert_never(config.lidar.encoder)


def _require_tables(execution: SparseExecution) -> None:
    if execution is not SparseExecution.TABLES:
        raise ConfigError(
            'training.execution', 'tables for a LiDAR encoder of pillars', execution.value
        )


def _build_sparse_encoder(
    config: ModelConfig, execution: SparseExecution
) -> SparseEncoder | SpconvEncoder:
    match execution:
        case SparseExecution.TABLES:
            return SparseEncoder(config)
        case SparseExecution.SPCONV:  # needs an optional package
            from metabev_ros.network.spconv_encoder import SpconvEncoder

            return SpconvEncoder(config)
        case _:
            assert_never(execution)
