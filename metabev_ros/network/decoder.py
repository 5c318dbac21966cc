"""BEV-evolving decoder (MetaBEV section 3.3, Eq. 1, Algorithm 1).

Differences from Algorithm 1 (its listing has slips, metabev paper v1): offsets are divided by the
value map's size as in Deformable-DETR; positions are added to the queries in every layer; value
maps may be finer than the query grid, which normalised reference points allow.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import DecoderConfig, DecoderFfn
from metabev_ros.geometry import BevGrid


class DeformableAttention(nn.Module):
    """Eq. 1: modality-specific offsets and weights, ONE softmax over all available points.

    Args:
        sources: names of the value maps that may be given; each has its own MLPs. Value and
            output projections are shared (Algorithm 1).
    """

    def __init__(self, channels: int, heads: int, points: int, sources: tuple[str, ...]) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offsets = nn.ModuleDict(
            {name: nn.Linear(channels, heads * points * 2) for name in sources})
        self.weights = nn.ModuleDict(
            {name: nn.Linear(channels, heads * points) for name in sources})
        self.value_proj = nn.Conv2d(channels, channels, 1)
        self.output_proj = nn.Linear(channels, channels)
        self._initialise()

    def _initialise(self) -> None:
        """Deformable-DETR: offsets start as rings around the reference, weights uniform."""
        angle = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        ring = torch.stack([angle.cos(), angle.sin()], -1)
        ring = ring / ring.abs().amax(-1, keepdim=True)
        radius = torch.arange(1, self.points + 1) * 0.5
        bias = (ring[:, None] * radius[None, :, None]).reshape(-1)
        for name in self.offsets:
            nn.init.zeros_(self.offsets[name].weight)
            self.offsets[name].bias.data.copy_(bias)
            nn.init.zeros_(self.weights[name].weight)
            nn.init.zeros_(self.weights[name].bias)

    def attention_weights(self, query: Tensor, names: list[str]) -> Tensor:
        """(B, Q, heads, len(names) * points): sums to one over the last axis."""
        logits = [self.weights[name](query).unflatten(-1, (self.heads, self.points))
                  for name in names]
        return torch.cat(logits, -1).softmax(-1)

    def forward(self, query: Tensor, reference: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Sample the given maps around every query.

        Args:
            query: (B, Q, d) with positions added.
            reference: (Q, 2) query centres (x, y) in [0, 1].
            values: source name -> (B, d, Y, X); an absent modality is not in the dict and is
                never computed.

        Returns:
            (B, Q, d).
        """
        names = [name for name in self.offsets if name in values]
        weights = self.attention_weights(query, names).split(self.points, -1)
        total = 0.0
        for name, weight in zip(names, weights, strict=True):
            total = total + self._sample(query, reference, values[name], name, weight)
        return self.output_proj(total)

    def _sample(self, query: Tensor, reference: Tensor, value: Tensor, name: str,
                weight: Tensor) -> Tensor:
        b, q, d = query.shape
        height, width = value.shape[-2:]
        size = query.new_tensor([width, height])
        offsets = self.offsets[name](query).reshape(b, q, self.heads, self.points, 2)
        where = reference[None, :, None, None] + offsets / size         # in [0, 1]
        grid = (2 * where - 1).transpose(1, 2).reshape(b * self.heads, q, self.points, 2)
        value = self.value_proj(value).reshape(b * self.heads, d // self.heads, height, width)
        sampled = F.grid_sample(value.float(), grid.float(), align_corners=False)  # (B h, c, Q, K)
        weight = weight.transpose(1, 2).reshape(b * self.heads, 1, q, self.points)
        mixed = (sampled * weight).sum(-1)                              # (B heads, c, Q)
        return mixed.reshape(b, d, q).transpose(1, 2)


def build_ffn(config: DecoderConfig) -> nn.Module:
    """The feed-forward part that the configuration names."""
    if config.ffn is DecoderFfn.MLP:
        hidden = config.channels * config.ffn_ratio
        return nn.Sequential(nn.Linear(config.channels, hidden), nn.GELU(),
                             nn.Linear(hidden, config.channels))
    raise AssertionError(config.ffn)


class EvolvingLayer(nn.Module):
    """Deformable attention, add, norm, FFN, add, norm (Figure 4)."""

    def __init__(self, config: DecoderConfig, sources: tuple[str, ...]) -> None:
        super().__init__()
        self.attention = DeformableAttention(
            config.channels, config.heads, config.points, sources)
        self.ffn = build_ffn(config)
        self.norm1 = nn.LayerNorm(config.channels)
        self.norm2 = nn.LayerNorm(config.channels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, query: Tensor, position: Tensor, reference: Tensor,
                values: dict[str, Tensor]) -> Tensor:
        attended = self.attention(query + position, reference, values)
        query = self.norm1(query + self.dropout(attended))
        return self.norm2(query + self.dropout(self.ffn(query)))


class BevEvolvingDecoder(nn.Module):
    """Meta-BEV queries evolve through N cross-modal and M self layers into the fused BEV."""

    def __init__(self, config: DecoderConfig, query_grid: BevGrid, bev_channels: dict[str, int]
                 ) -> None:
        super().__init__()
        d, (rows, columns) = config.channels, query_grid.shape
        self.shape = (rows, columns)
        self.project = nn.ModuleDict({
            name: nn.Sequential(nn.Conv2d(c, d, 1, bias=False), nn.BatchNorm2d(d))
            for name, c in bev_channels.items()})
        self.meta_bev = nn.Parameter(torch.randn(rows * columns, d) * 0.02)
        self.row_embedding = nn.Parameter(torch.randn(rows, 1, d) * 0.02)
        self.column_embedding = nn.Parameter(torch.randn(1, columns, d) * 0.02)
        self.register_buffer('reference', reference_points(rows, columns), persistent=False)
        self.cross_layers = nn.ModuleList(
            EvolvingLayer(config, tuple(bev_channels)) for _ in range(config.cross_layers))
        self.self_layers = nn.ModuleList(
            EvolvingLayer(config, ('bev',)) for _ in range(config.self_layers))

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """BEV maps of the available modalities -> fused BEV.

        Args:
            maps: 'camera' and/or 'lidar' -> (B, C, Y, X).

        Returns:
            (B, d, rows, columns).
        """
        batch = next(iter(maps.values())).shape[0]
        values = {name: self.project[name](bev) for name, bev in maps.items()}
        position = (self.row_embedding + self.column_embedding).flatten(0, 1)[None]
        query = self.meta_bev[None].expand(batch, -1, -1)
        for layer in self.cross_layers:
            query = layer(query, position, self.reference, values)
        for layer in self.self_layers:
            bev = query.transpose(1, 2).reshape(batch, -1, *self.shape)
            query = layer(query, position, self.reference, {'bev': bev})
        return query.transpose(1, 2).reshape(batch, -1, *self.shape)


def reference_points(rows: int, columns: int) -> Tensor:
    """(rows * columns, 2) cell centres (x, y) in [0, 1], row-major: ((j + 0.5) / columns, ...)."""
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    grid = torch.stack([x[None].expand(rows, -1), y[:, None].expand(-1, columns)], -1)
    return grid.flatten(0, 1)
