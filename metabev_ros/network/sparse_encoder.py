"""LiDAR branch: voxels -> LiDAR BEV map B_l with VoxelNet's sparse 3D convolutions.

Paper: section 3.2 ("VoxelNet"); the form is that of BEVFusion's and mmdetection3d's
`SparseEncoder` with basic blocks (SECOND, Yan et al. 2018): channels
16 | 16 16 32 | 32 32 64 | 64 64 128 | 128 128, stages one to three end in a convolution of
stride 2, the last one (3 x 1 x 1) leaves two layers of 128 channels.

Parameters have mmdetection3d's names under `pts_middle_encoder` (BEVFusion's under
`encoders.lidar.backbone`) and spconv 2's layout (out, z, y, x, in).

Differences:
  - A sparse convolution is one Gather through a host-built neighbour table
    (`preprocess.neighbours`) and one matrix product. Same arithmetic as spconv, but it trains on
    a CPU, gives the same result with any number of threads, and exports to plain ONNX.
  - Frames. Known weights see the LiDAR frame of nuScenes (x right, y forward), we the ego frame
    (x forward, y left). Our y axis counts from y_max down, so that (z, y, x) here is (z, x, y)
    there and known kernels only swap axes; mirroring them instead would shift every strided
    layer by a cell. With W the known kernel of a layer:
        BEVFusion (spconv 1, x-first: kx ky kz in out):  W.permute(4, 2, 0, 1, 3)
        mmdetection3d on spconv 1 (kz ky kx in out):     W.permute(4, 0, 2, 1, 3)
        mmdetection3d on spconv 2 (out kz ky kx in):     W.permute(0, 1, 3, 2, 4)
    The first layer also sees x and y as features: with the permuted weight P of `conv_input.0`,
        stack((P[..., 1], -P[..., 0], P[..., 2], P[..., 3], P[..., 4]), -1).
    z as a feature counts like theirs already (`preprocess.voxels`). The BEV map (C, Y, X) is
    then BEVFusion's (C, x, y) flipped along its x: `known.flip(1)`.
  - A cloud without a voxel in the grid gives a map of zeros. BEVFusion fails there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SPARSE_STAGES, SPARSE_STEPS, sparse_shapes
from metabev_ros.config.yaml import require
from metabev_ros.network.row_tables import moved_tables

# Width of every stage; a stage ends in a strided convolution to the next width.
STAGE_CHANNELS = (16, 32, 64, 128)
OUTPUT_CHANNELS = 128


class RowBatchNorm(nn.BatchNorm1d):
    """Batch norm over the rows of (V, C); with one row or none the running statistics serve.

    A variance needs two values, and a cloud may have a single voxel.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) < 2:
            return F.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                False,
                0.0,
                self.eps,
            )
        return super().forward(x)


def sparse_norm(channels: int) -> RowBatchNorm:
    """Batch norm with mmdetection3d's constants."""
    return RowBatchNorm(channels, eps=1e-3, momentum=0.01)


def require_channels(config: ModelConfig) -> None:
    """Stop unless the map that leaves the encoder is the one the configuration promises.

    Raises:
        ConfigError
    """
    depth = max(0, sparse_shapes(config)[-1][0])
    require(
        config.lidar.bev_channels == OUTPUT_CHANNELS * depth > 0,
        'model.lidar.bev_channels',
        f'{OUTPUT_CHANNELS} x the layers that remain of {config.lidar.voxel_layers} '
        f'({depth}, at least 1)',
        config.lidar.bev_channels,
    )


class SparseConv(nn.Module):
    """A sparse convolution without bias: (V, C_in) and a table (V', K) -> (V', C_out).

    Whether it is submanifold or strided is a matter of the table alone.
    """

    def __init__(self, c_in: int, c_out: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, *kernel, c_in))
        # As torch and spconv initialise a convolution.
        bound = 1 / math.sqrt(c_in * math.prod(kernel))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        rows = torch.cat([x, x.new_zeros(1, x.shape[1])])  # last = no neighbour
        under_kernel = rows.index_select(0, table.reshape(-1))  # (V' K, C_in)
        width = self.weight[0].numel()
        return F.linear(under_kernel.reshape(-1, width), self.weight.flatten(1))


class SparseConvBlock(nn.Sequential):
    """Sparse convolution, batch norm, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        super().__init__(SparseConv(c_in, c_out, kernel), sparse_norm(c_out))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        convolution, norm = self
        return norm(convolution(x, table)).relu()


class SparseBasicBlock(nn.Module):
    """Two submanifold convolutions with an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = SparseConv(channels, channels), sparse_norm(channels)
        self.conv2, self.bn2 = SparseConv(channels, channels), sparse_norm(channels)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        residual = self.bn1(self.conv1(x, table)).relu()
        return (x + self.bn2(self.conv2(residual, table))).relu()


class SparseEncoder(nn.Module):
    """Voxel features and neighbour tables -> (1, 128 Z, Y, X) on the BEV grid.

    Channel c of layer z is channel c Z + z of the map, as in mmdetection3d.

    Raises:
        ConfigError: if `lidar.bev_channels` is not what the plan gives.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        require_channels(config)
        self.output_shape = sparse_shapes(config)[-1]
        self.conv_input = SparseConvBlock(config.lidar.voxel_features, STAGE_CHANNELS[0])
        self.encoder_layers = nn.ModuleDict()
        for index, width in enumerate(STAGE_CHANNELS):
            stage = nn.ModuleList([SparseBasicBlock(width), SparseBasicBlock(width)])
            if index + 1 < len(STAGE_CHANNELS):
                stage.append(
                    SparseConvBlock(width, STAGE_CHANNELS[index + 1], SPARSE_STEPS[index].kernel)
                )
            self.encoder_layers[f'encoder_layer{index + 1}'] = stage
        self.conv_out = SparseConvBlock(
            STAGE_CHANNELS[-1], OUTPUT_CHANNELS, SPARSE_STEPS[-1].kernel
        )

    def forward(
        self,
        voxel_features: Tensor,
        subm1_table: Tensor,
        down1_table: Tensor,
        subm2_table: Tensor,
        down2_table: Tensor,
        subm3_table: Tensor,
        down3_table: Tensor,
        subm4_table: Tensor,
        out_table: Tensor,
        voxel_table: Tensor,
    ) -> Tensor:
        """One sample as `preprocess.voxels` and `preprocess.neighbours` give it."""
        return self._encode(
            voxel_features,
            (subm1_table, subm2_table, subm3_table, subm4_table),
            (down1_table, down2_table, down3_table, out_table),
            voxel_table[None],
        )

    def encode(self, sweeps: list[dict[str, Tensor]]) -> Tensor:
        """A batch of sweeps; their voxels share one list, so batch norm sees all of them.

        Args:
            sweeps: of each sample the arguments of `forward` by name.

        Returns:
            (B, 128 Z, Y, X); zeros for a sweep that has no voxel in the grid.
        """
        filled = [i for i, sweep in enumerate(sweeps) if not _is_empty(sweep)]
        shape = (OUTPUT_CHANNELS * self.output_shape[0], *self.output_shape[1:])
        empty = sweeps[0]['voxel_features'].new_zeros(1, *shape)
        maps = [empty] * len(sweeps)
        if filled:
            merged = _merge([sweeps[i] for i in filled])
            encoded = self._encode(
                merged['voxel_features'],
                tuple(merged[name] for name in SPARSE_STAGES),
                tuple(merged[step.name] for step in SPARSE_STEPS),
                merged['voxel_table'],
            )
            for i, bev in zip(filled, encoded.split(1), strict=True):
                maps[i] = bev
        return torch.cat(maps)

    def _encode(
        self, x: Tensor, near: tuple[Tensor, ...], down: tuple[Tensor, ...], voxel_tables: Tensor
    ) -> Tensor:
        """Run the stages.

        Args:
            near, down: tables of the stages and of the steps after them.
            voxel_tables: (B, Z Y X).
        """
        x = self.conv_input(x, near[0])
        for blocks, near_table, down_table in zip(
            self.encoder_layers.values(), near, down, strict=True
        ):
            for block in blocks:
                is_step = isinstance(block, SparseConvBlock)
                x = block(x, down_table if is_step else near_table)
        x = self.conv_out(x, down[-1])
        rows = torch.cat([x, x.new_zeros(1, x.shape[1])])  # last = empty cell
        grid = rows.index_select(0, voxel_tables.reshape(-1))  # (B Z Y X, C)
        grid = grid.reshape(-1, *self.output_shape, x.shape[1])
        return grid.permute(0, 4, 1, 2, 3).flatten(1, 2)


def _is_empty(sweep: dict[str, Tensor]) -> bool:
    """Tell whether the one row of a sweep is the placeholder, no neighbour even of itself."""
    return len(sweep['voxel_features']) == 1 and int(sweep['subm1_table'][0, 13]) == 1


def _merge(sweeps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rows one sample after the other; the entries of tables move along."""
    merged = {'voxel_features': torch.cat([sweep['voxel_features'] for sweep in sweeps])}
    counts = [len(sweep['voxel_features']) for sweep in sweeps]
    for stage, step in zip(SPARSE_STAGES, SPARSE_STEPS, strict=True):
        for name in (stage, step.name):
            merged[name] = torch.cat(moved_tables([sweep[name] for sweep in sweeps], counts))
        counts = [len(sweep[step.name]) for sweep in sweeps]
    merged['voxel_table'] = torch.stack(
        moved_tables([sweep['voxel_table'] for sweep in sweeps], counts)
    )
    return merged
