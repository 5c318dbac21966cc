"""Plain-DETR (Lin et al., ICCV 2023) on the BEV map: global attention to one scale, led by boxes.

Published and kept: one map and no local attention; BoxRPB with own weights per layer; queries'
places from proposals, their contents learned per rank; boxes refined from layer to layer, each
layer's attention seeing a detached box, each layer's loss also reaching the layer before (look
forward twice); one-to-one queries that do not see the one-to-many group, which training alone
has; positions added to keys and not to values; pre-norm, one shared last norm; truncated normal
0.02 everywhere (wider in a narrower head, whose signals would fade), zero for the last box layer.

Differences: proposals come from a class heatmap (`plain_detr_queries`); regression is metric and
turns with the box (`box_coding`); the key map goes through a LayerNorm, cell by cell, where Plain-
DETR has a GroupNorm over the whole map; no level embedding, which with one level would shift all
logits of a query alike; velocity is regressed directly; position codes of a query hold eight
numbers of its box instead of four.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metabev_ros.config import HeadConfig
from metabev_ros.config.plain_detr import PlainDetrConfig, QueryContent
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid
from metabev_ros.network.box_coding import CODE_SIZE, decode, to_channels
from metabev_ros.network.boxrpb import build_boxrpb
from metabev_ros.network.center_head import HEATMAP_BIAS
from metabev_ros.network.deformable import at_least_float32
from metabev_ros.network.layers import ConvBlock
from metabev_ros.network.plain_detr_queries import (
    HeatmapSelection,
    QueryPosition,
    key_positions,
)

CLASS_BIAS = -math.log(99)  # start at p = 0.01
INITIAL_STD, PUBLISHED_WIDTH = 0.02, 256


class BiasedAttention(nn.Module):
    """softmax(Q K^T / sqrt(c) + bias) V; logits and softmax in float32."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.query, self.key, self.value, self.output = (
            nn.Linear(channels, channels) for _ in range(4)
        )

    def weights(self, query: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
        """(B, P, d), (B, N, d), (B, heads, P, N) -> (B, heads, P, N), sums to one over N."""
        logits = at_least_float32(
            self._split(self.query(query)) * self.scale @ self._split(self.key(keys)).mT
        )
        return (logits if bias is None else logits + bias).softmax(-1)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """keys are cells with positions, values without -> (B, P, d)."""
        values = self._split(self.value(values))
        mixed = self.weights(query, keys, bias).to(values.dtype) @ values
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PlainDetrLayer(nn.Module):
    """Self-attention among queries, BoxRPB cross-attention to all cells, FFN; pre-norm."""

    def __init__(self, channels: int, config: PlainDetrConfig, keys: BevGrid) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(channels, config.heads, batch_first=True)
        self.cross_attention = BiasedAttention(channels, config.heads)
        self.rpb = build_boxrpb(config.boxrpb, config.heads, keys)
        self.ffn = nn.Sequential(
            nn.Linear(channels, config.ffn_channels),
            nn.ReLU(inplace=True),
            nn.Linear(config.ffn_channels, channels),
        )
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))

    def forward(
        self,
        query: Tensor,
        place: Tensor,
        boxes: Tensor,
        keys: Tensor,
        values: Tensor,
        blocked: Tensor | None,
    ) -> Tensor:
        """One layer.

        Args:
            query, place: (B, P, d) contents and position codes.
            boxes: (B, P, 8) references, detached.
            keys, values: (B, N, d).
            blocked: (P, P) bool, pairs of queries that do not see each other.
        """
        x = self.norm1(query)
        at = x + place
        query = query + self.self_attention(at, at, x, attn_mask=blocked, need_weights=False)[0]
        query = query + self.cross_attention(
            self.norm2(query) + place, keys, values, self.bias(boxes)
        )
        return query + self.ffn(self.norm3(query))

    def bias(self, boxes: Tensor) -> Tensor | None:
        """(B, heads, P, N) of BoxRPB; None without it."""
        return None if self.rpb is None else self.rpb(boxes)


class BoxBranch(nn.Module):
    """Predictions of one layer from its normed queries."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classes = nn.Linear(channels, classes)
        self.codes = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, CODE_SIZE),
        )
        self.velocity = nn.Linear(channels, 2)

    def start(self) -> None:
        """Rare classes, unchanged boxes, standing still."""
        nn.init.constant_(self.classes.bias, CLASS_BIAS)
        for layer in (self.codes[-1], self.velocity):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class PlainDetrHead(nn.Module):
    """(B, C, Y, X) -> boxes of P queries; nothing is left to suppress.

    Outputs, all float32 (P = proposals, K = classes, L = layers; in training P' = P + those of
    one-to-many matching, which come last; otherwise P' = P):
        boxes: (B, 10, P) as TransFusion's: x y in cells from the grid's corner, z (m), log length,
            log width, log height, sin yaw, cos yaw, vx, vy (m/s). Last layer.
        class_logits: (B, K, P). Last layer.
        heatmap: (B, K, Y, X) logits, for training, as all that follow.
        layer_logits: (B, L, P', K); layer_codes (B, L, P', 8) relative to layer_references
            (B, L, P', 8); layer_boxes (B, L, P', 8); layer_velocities (B, L, P', 2).
    """

    def __init__(self, head: HeadConfig, classes: tuple[str, ...], grid: BevGrid) -> None:
        super().__init__()
        config, d = head.plain_detr, head.det_channels
        assert config is not None  # `HeadConfig` checks it
        self.config, self.proposals, self.grid = config, head.proposals, grid
        keys = grid.with_cell(grid.cell * config.key_stride)
        self.heatmap_head = nn.Sequential(
            ConvBlock(head.neck_channels, d), nn.Conv2d(d, len(classes), 3, padding=1)
        )
        nn.init.constant_(self.heatmap_head[-1].bias, HEATMAP_BIAS)
        self.select = HeatmapSelection(classes, grid)
        self.memory = nn.Conv2d(head.neck_channels, d, config.key_stride, config.key_stride)
        self.memory_norm = nn.LayerNorm(d)
        self.register_buffer('key_places', key_positions(keys, d), persistent=False)
        self.query_position = QueryPosition(d, grid)
        self._build_contents(head, len(classes))
        self.layers = nn.ModuleList(PlainDetrLayer(d, config, keys) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.branches = nn.ModuleList(BoxBranch(d, len(classes)) for _ in range(config.layers))
        self._initialise()

    def _build_contents(self, head: HeadConfig, classes: int) -> None:
        d, extra = head.det_channels, self.config.hybrid.queries
        match self.config.content:
            case QueryContent.LEARNED:
                self.contents = nn.Parameter(torch.empty(head.proposals, d))
                if extra:
                    # Apart from the others, so that an exported graph does not carry them.
                    self.extra_contents = nn.Parameter(torch.empty(extra, d))
            case QueryContent.FEATURE:
                self.cell_content = nn.Conv2d(head.neck_channels, d, 1)
                self.class_content = nn.Parameter(torch.empty(classes, d))
            case _:
                assert_never(self.config.content)

    def _initialise(self) -> None:
        scaled = INITIAL_STD * (PUBLISHED_WIDTH / self.norm.bias.numel()) ** 0.5
        for name, parameter in self.named_parameters():
            if name.startswith('heatmap_head') or 'norm' in name or name.startswith('memory.'):
                continue
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=INITIAL_STD if '.rpb.' in name else scaled)
            elif name.endswith('bias'):
                nn.init.zeros_(parameter)
        for branch in self.branches:
            branch.start()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        extra = self.config.hybrid.queries if self.training else 0
        heatmap = at_least_float32(self.heatmap_head(x))
        labels, cells, boxes = self.select(heatmap, self.proposals + extra)
        query = self.content(x, labels, cells, extra)
        keys, values = self.cells(x)
        layers = self.decode(query, boxes, keys, values, extra)
        last = slice(0, self.proposals)
        return {
            'boxes': to_channels(
                layers['layer_boxes'][:, -1, last],
                layers['layer_velocities'][:, -1, last],
                self.grid,
            ),
            'class_logits': layers['layer_logits'][:, -1, last].transpose(1, 2),
            'heatmap': heatmap,
            **layers,
        }

    def cells(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, N, d) of the BEV map."""
        values = self.memory_norm(self.memory(x).flatten(2).transpose(1, 2))
        return values + self.key_places, values

    def content(self, x: Tensor, labels: Tensor, cells: Tensor, extra: int) -> Tensor:
        """Contents (B, P', d) that the queries start from."""
        match self.config.content:
            case QueryContent.LEARNED:
                own = self.contents
                contents = torch.cat([own, self.extra_contents]) if extra else own
                return contents[None].expand(x.shape[0], -1, -1)
            case QueryContent.FEATURE:
                features = self.cell_content(x).flatten(2).transpose(1, 2)  # (B, Y X, d)
                index = cells[..., None].expand(-1, -1, features.shape[-1])
                return features.gather(1, index) + self.class_content[labels]
            case _:
                assert_never(self.config.content)

    def decode(
        self, query: Tensor, boxes: Tensor, keys: Tensor, values: Tensor, extra: int
    ) -> dict[str, Tensor]:
        """The layers' predictions, as the class lists them.

        Args:
            query, boxes: (B, P', d) contents and (B, P', 8) proposals.
            extra: how many of the queries, the last, are for one-to-many matching.
        """
        blocked = separate_groups(query.shape[1] - extra, extra, query.device) if extra else None
        place, supervised, steps = self.query_position(boxes), boxes, []
        for layer, branch in zip(self.layers, self.branches, strict=True):
            query = layer(query, place, boxes, keys, values, blocked)
            normed = self.norm(query)
            codes = at_least_float32(branch.codes(normed))
            norm = self.config.offset_norm
            steps.append(
                {
                    'layer_logits': at_least_float32(branch.classes(normed)),
                    'layer_codes': codes,
                    'layer_references': supervised,
                    'layer_boxes': decode(codes, supervised, norm, self.grid),
                    'layer_velocities': at_least_float32(branch.velocity(normed)),
                }
            )
            if self.config.refine:
                refined = decode(codes, boxes, norm, self.grid)
                boxes = refined.detach()
                supervised = refined if self.config.look_forward_twice else boxes
        return {name: torch.stack([step[name] for step in steps], 1) for name in steps[0]}


def separate_groups(first: int, second: int, device: torch.device) -> Tensor:
    """(first + second)^2 bool: true where two queries are of different groups."""
    late = torch.arange(first + second, device=device) >= first
    return late[:, None] != late[None]
