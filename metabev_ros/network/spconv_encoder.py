"""The sparse encoder executed by spconv 2: the oracle of our own layers.

Its kernels skip absent neighbours instead of multiplying zeros. A training on a GPU can choose
it (`training.execution: spconv`).

Same parameters, names and shapes as `sparse_encoder.SparseEncoder`, so a checkpoint fits both;
what is exported and deployed is the other one.

On a CPU spconv is an oracle only: 2.3.8 gives wrong sums with more than one thread
(`torch.set_num_threads(1)`), and its backward asks for CUDA.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SPARSE_STEPS, sparse_shapes
from metabev_ros.errors import MissingDependencyError
from metabev_ros.network.sparse_encoder import (
    OUTPUT_CHANNELS,
    STAGE_CHANNELS,
    require_channels,
    sparse_norm,
)

try:
    import spconv.pytorch as spconv
except ImportError:  # optional: an oracle in tests
    spconv = cast(Any, None)


class SpconvEncoder(nn.Module):
    """Voxel features and coordinates -> (B, 128 Z, Y, X) on the BEV grid.

    Raises:
        MissingDependencyError: without spconv.
        ConfigError: if `lidar.bev_channels` is not what the plan gives.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if spconv is None:
            raise MissingDependencyError(
                'SpconvEncoder',
                'the package spconv',
                'none',
                'pip install spconv, or spconv-cu126 for a GPU (docs/dependencies.md)',
            )
        require_channels(config)
        shapes = sparse_shapes(config)
        self.input_shape, self.output_shape = list(shapes[0]), shapes[-1]
        self.conv_input = _block(_near(config.lidar.voxel_features, STAGE_CHANNELS[0], 1))
        self.encoder_layers = nn.ModuleDict()
        for index, width in enumerate(STAGE_CHANNELS):
            stage = [_BasicBlock(width, index + 1), _BasicBlock(width, index + 1)]
            if index + 1 < len(STAGE_CHANNELS):
                stage.append(_block(_strided(width, STAGE_CHANNELS[index + 1], index)))
            self.encoder_layers[f'encoder_layer{index + 1}'] = nn.ModuleList(stage)
        self.conv_out = _block(_strided(STAGE_CHANNELS[-1], OUTPUT_CHANNELS, 3))

    def encode(self, sweeps: list[dict[str, Tensor]]) -> Tensor:
        """A batch of sweeps.

        Args:
            sweeps: of each sample `voxel_features` (V, 5) and `voxel_coords` (V, 4) as
                `preprocess.voxels.build_voxels` gives them.

        Returns:
            (B, 128 Z, Y, X); zeros for a sweep that has no voxel in the grid.
        """
        features = torch.cat([sweep['voxel_features'] for sweep in sweeps])
        coords = torch.cat([sweep['voxel_coords'] for sweep in sweeps]).clone()
        lengths = torch.tensor([len(sweep['voxel_coords']) for sweep in sweeps])
        batch = torch.arange(len(sweeps)).repeat_interleave(lengths)
        coords[:, 0] = batch.to(coords)
        inside = coords[:, 1] >= 0  # an empty sweep has one row at z = -1
        depth, rows, columns = self.output_shape
        if not inside.any():
            return features.new_zeros(len(sweeps), OUTPUT_CHANNELS * depth, rows, columns)
        x = spconv.SparseConvTensor(
            features[inside], coords[inside].contiguous(), self.input_shape, len(sweeps)
        )
        x = self.conv_input(x)
        for stage in self.encoder_layers.values():
            for block in stage:
                x = block(x)
        # (B, C, Z, Y, X), y from the left; the map's rows start at the right.
        return self.conv_out(x).dense().flatten(1, 2).flip(2)


class _BasicBlock(nn.Module):
    """Two submanifold convolutions with an identity shortcut."""

    def __init__(self, channels: int, stage: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _near(channels, channels, stage), sparse_norm(channels)
        self.conv2, self.bn2 = _near(channels, channels, stage), sparse_norm(channels)

    def forward(self, x: Any) -> Any:
        first = self.conv1(x)
        first = first.replace_feature(self.bn1(first.features).relu())
        second = self.conv2(first)
        return second.replace_feature((x.features + self.bn2(second.features)).relu())


class _Block(nn.Sequential):
    """Sparse convolution, batch norm, ReLU."""

    def forward(self, x: Any) -> Any:
        convolution, norm = self
        x = convolution(x)
        return x.replace_feature(norm(x.features).relu())


def _block(convolution: nn.Module) -> _Block:
    return _Block(convolution, sparse_norm(convolution.out_channels))


def _near(c_in: int, c_out: int, stage: int) -> nn.Module:
    return spconv.SubMConv3d(c_in, c_out, 3, padding=1, bias=False, indice_key=f'subm{stage}')


def _strided(c_in: int, c_out: int, index: int) -> nn.Module:
    step = SPARSE_STEPS[index]
    return spconv.SparseConv3d(
        c_in, c_out, step.kernel, step.stride, step.padding, bias=False, indice_key=step.name
    )
