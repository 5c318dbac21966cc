"""Geometry of the sparse LiDAR encoder: what the host's neighbour tables and the network share.

VoxelNet's plan in mmdetection3d (`SparseEncoder`, basic blocks) and BEVFusion.
Axes are (z, y, x). Rows here count from y_max down (rightwards in the ego frame): nuScenes' LiDAR
has x right and y forward, so VoxelNet's kernels keep their orientation (see
`network.sparse_encoder`); only `voxel_table` speaks of rows of the BEV grid.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config.model import ModelConfig


class SparseExecution(enum.Enum):
    """Runners of the sparse encoder; weights and result are the same.

    `TABLES`: our layers over neighbour tables, everywhere and always in use. `SPCONV`: the
    optional package spconv, an oracle in tests and a choice of a training on a GPU
    (`training.execution`). Not part of `ModelConfig`: it is not the network.
    """

    TABLES = 'tables'
    SPCONV = 'spconv'


@dataclass(frozen=True)
class SparseStep:
    """A strided sparse convolution between two stages; (z, y, x) each."""

    name: str
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    padding: tuple[int, int, int]

    @property
    def offsets(self) -> int:
        """Sites under the kernel."""
        return self.kernel[0] * self.kernel[1] * self.kernel[2]

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Grid after the step."""
        depth, rows, columns = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(shape, self.kernel, self.stride, self.padding, strict=True)
        )
        return depth, rows, columns


SPARSE_STAGES = ('subm1_table', 'subm2_table', 'subm3_table', 'subm4_table')
SPARSE_STEPS = (
    SparseStep('down1_table', (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    SparseStep('down2_table', (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    SparseStep('down3_table', (3, 3, 3), (2, 2, 2), (0, 1, 1)),
    SparseStep('out_table', (3, 1, 1), (2, 1, 1), (0, 0, 0)),
)
SUBMANIFOLD_OFFSETS = 27


def sparse_shapes(config: ModelConfig) -> tuple[tuple[int, int, int], ...]:
    """Grids (Z, Y, X) of the four stages and of the output, finest first.

    The finest has one layer more than `voxel_layers`, as in mmdetection3d; it stays empty.
    """
    shapes = [(config.lidar.voxel_layers + 1, *config.voxel_grid.shape)]
    for step in SPARSE_STEPS:
        shapes.append(step.output_shape(shapes[-1]))
    return tuple(shapes)
