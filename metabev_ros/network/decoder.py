"""BEV-evolving decoder (MetaBEV section 3.3, Eq. 1, Figures 3 and 4).

The paper leaves open, and we choose: positions are a learned row and a learned column vector,
added to the queries in every layer (Deformable-DETR's query position); each modality's map is
brought to d channels by a 1x1 convolution (n x n with stride n where `value_stride` is n) with
batch norm; post-norm as Figure 4 shows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabev_ros.config import DecoderConfig, DecoderFfn, TaskStream
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid
from metabev_ros.network.adamv import AdaptiveExperts
from metabev_ros.network.deformable import DeformableAttention
from metabev_ros.network.moe import TASKS, FeedForward, HardExperts, RoutedExperts


class EvolvingLayer(nn.Module):
    """Deformable attention, add, norm, FFN or mixture of experts, add, norm (Figure 4)."""

    def __init__(
        self, config: DecoderConfig, sources: tuple[str, ...], is_last: bool = False
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention(config.channels, config.heads, config.points, sources)
        self.ffn = build_ffn(config, is_last)
        self.norm1 = nn.LayerNorm(config.channels)
        self.norm2 = nn.LayerNorm(config.channels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        reference: Tensor,
        values: dict[str, Tensor],
        tasks: tuple[str, ...] = TASKS,
    ) -> Tensor:
        """One layer.

        Args:
            query: (B, Q, d); position (1, Q, d); reference (Q, 2) in [0, 1].
            values: source name -> (B, d, Y, X).
            tasks: those whose experts run.

        Returns:
            (B, Q, d); where AdaMV-MoE leaves the tasks apart, (B, Q, d) of each in one.
        """
        attended = self.attention(query + position, reference, values)
        query = self.norm1(query + self.dropout(attended))
        if isinstance(self.ffn, AdaptiveExperts) and self.ffn.splits:
            outputs = self.ffn(query, tasks).split(query.shape[-1], -1)
            return torch.cat([self.norm2(query + self.dropout(y)) for y in outputs], -1)
        return self.norm2(query + self.dropout(self.ffn(query, tasks)))


class BevEvolvingDecoder(nn.Module):
    """Meta-BEV queries evolve through N cross-modal and M self layers into the fused BEV."""

    def __init__(
        self, config: DecoderConfig, query_grid: BevGrid, bev_channels: dict[str, int]
    ) -> None:
        super().__init__()
        d, (rows, columns) = config.channels, query_grid.shape
        self.shape = (rows, columns)
        edge = config.value_stride
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(c, d, edge, edge, bias=False), nn.BatchNorm2d(d))
                for name, c in bev_channels.items()
            }
        )
        self.meta_bev = nn.Parameter(torch.randn(rows * columns, d) * 0.02)
        self.row_embedding = nn.Parameter(torch.randn(rows, 1, d) * 0.02)
        self.column_embedding = nn.Parameter(torch.randn(1, columns, d) * 0.02)
        self.register_buffer('reference', reference_points(rows, columns), persistent=False)
        n, m = config.cross_layers, config.self_layers
        self.cross_layers = nn.ModuleList(
            EvolvingLayer(config, tuple(bev_channels), m == 0 and i == n - 1) for i in range(n)
        )
        self.self_layers = nn.ModuleList(
            EvolvingLayer(config, ('bev',), i == m - 1) for i in range(m)
        )

    def forward(self, maps: dict[str, Tensor], tasks: tuple[str, ...] = TASKS) -> Tensor:
        """BEV maps of the available modalities -> fused BEV.

        Args:
            maps: 'camera' and/or 'lidar' -> (B, C, Y, X).
            tasks: those whose experts run.

        Returns:
            (B, d, rows, columns); where the last layer leaves the tasks apart, the d channels
            of each task that ran, in the order of TASKS.
        """
        batch = next(iter(maps.values())).shape[0]
        values = {name: self.project[name](bev) for name, bev in maps.items()}
        position = (self.row_embedding + self.column_embedding).flatten(0, 1)[None]
        query = self.meta_bev[None].expand(batch, -1, -1)
        for layer in self.cross_layers:
            query = layer(query, position, self.reference, values, tasks)
        for layer in self.self_layers:
            bev = query.transpose(1, 2).reshape(batch, -1, *self.shape)
            query = layer(query, position, self.reference, {'bev': bev}, tasks)
        return query.transpose(1, 2).reshape(batch, -1, *self.shape)


def splits_tasks(config: DecoderConfig) -> bool:
    """Tell whether the last layer gives one output per task."""
    if config.adamv is None:
        return False
    match config.adamv.stream:
        case TaskStream.MERGED:
            return False
        case TaskStream.SPLIT:
            return True
        case _:
            assert_never(config.adamv.stream)


def build_ffn(
    config: DecoderConfig, is_last: bool = False
) -> FeedForward | HardExperts | RoutedExperts | AdaptiveExperts:
    """The feed-forward part of one layer that the configuration names.

    Args:
        is_last: of the decoder: there AdaMV-MoE may leave the tasks apart.
    """
    d, hidden, dropout = config.channels, config.channels * config.ffn_ratio, config.dropout
    match config.ffn:
        case DecoderFfn.MLP:
            return FeedForward(d, hidden, dropout)
        case DecoderFfn.HM2OE:
            return HardExperts(d, hidden, dropout)
        case DecoderFfn.RM2OE:
            return RoutedExperts(d, hidden, dropout, config.experts, config.experts_used)
        case DecoderFfn.ADAMV:
            assert config.adamv is not None  # DecoderConfig sees to it
            splits = is_last and splits_tasks(config)
            return AdaptiveExperts(d, hidden, dropout, config.experts, config.adamv, splits)
        case _:
            assert_never(config.ffn)


def reference_points(rows: int, columns: int) -> Tensor:
    """(rows * columns, 2) cell centres (x, y) in [0, 1], row-major: ((j + 0.5) / columns, ...)."""
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    grid = torch.stack([x[None].expand(rows, -1), y[:, None].expand(-1, columns)], -1)
    return grid.flatten(0, 1)
