"""Deformable inter-task self-attention (ITSA; Xu et al., after DeMT) between the tasks' BEV maps.

The tasks' maps, each with a sine code of its place in their concatenation along y, make a
pyramid; every cell of every task samples all levels of all tasks around its own place with one
softmax over all of them (`DeformableAttention`, whose sources these maps are); residual, norm,
FFN; repeated. What is left is brought back to the task's channels and added to its map.

No official code is known; the paper's formulas are images. What it leaves open, and we choose
(other sources name the same): the pyramid's convolution is shared by the tasks and not by the
steps; a residual around the FFN, norms after; x and y share the code's channels; DeMT's query
attention over all tokens afterwards (1 TMAC a task at 180 x 180) is left out, its residual stays.
In DeMT each task has a deformable mixer before; one 3x3 convolution here. Ours are `stride`, and
that what is added to a task's map begins as nothing: trained weights go on from where they were.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import (
    InteractionKind,
    ModelConfig,
    PositionCode,
    TaskInteractionConfig,
)
from metabev_ros.errors import assert_never
from metabev_ros.network.decoder import reference_points
from metabev_ros.network.deformable import DeformableAttention
from metabev_ros.network.layers import ConvBlock
from metabev_ros.network.moe import TASKS, FeedForward

TEMPERATURE = 10_000.0


def position_code(rows: int, columns: int, channels: int) -> Tensor:
    """Sine code (channels, rows, columns): half for y, half for x (DETR's, scaled to 2 pi)."""
    half = channels // 2
    rate = TEMPERATURE ** (-2 * torch.arange(half // 2) / half)

    def code(count: int) -> Tensor:
        angle = (torch.arange(count) + 0.5) / count * 2 * math.pi
        angle = rate[:, None] * angle
        return torch.cat([angle.sin(), angle.cos()])

    y = code(rows)[:, :, None].expand(-1, -1, columns)
    x = code(columns)[:, None].expand(-1, rows, -1)
    return torch.cat([y, x])


class DeformableMixing(nn.Module):
    """Tasks' maps -> what each of their cells samples from the pyramids of all of them.

    Args:
        tasks: names of the maps.
    """

    def __init__(
        self, channels: int, config: TaskInteractionConfig, tasks: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.parts, self.across = config.query_parts, config.across_tasks
        self.pyramid = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(config.levels - 1)
        )
        self.attention = DeformableAttention(
            channels,
            config.heads,
            config.points,
            tuple(f'{task}_{level}' for task in tasks for level in range(config.levels)),
        )
        self.watched: list[Tensor] | None = None
        self._initialise()

    def _initialise(self) -> None:
        """As in Deformable-DETR; the decoder's rings are half as wide."""
        for layer in (self.attention.value_proj, self.attention.output_proj):
            nn.init.xavier_uniform_(layer.weight.data.flatten(1))
            nn.init.zeros_(layer.bias)
        offsets = list(self.attention.offsets.values())
        for offset in offsets:
            offset.bias.data.mul_(2)
        self.register_buffer('start', offsets[-1].bias.detach().clone(), persistent=False)

    def values(self, task: str, bev: Tensor) -> dict[str, Tensor]:
        """(B, C, h, w) -> the projected maps of its pyramid, by source."""
        levels = [bev]
        for halve in self.pyramid:
            levels.append(halve(levels[-1]))
        return {f'{task}_{i}': self.attention.value_proj(x) for i, x in enumerate(levels)}

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Task -> (B, C, h, w) to task -> (B, h w, C)."""
        values = {task: self.values(task, bev) for task, bev in maps.items()}
        pool = {name: value for own in values.values() for name, value in own.items()}
        return {
            task: self._attend(bev, pool if self.across else values[task])
            for task, bev in maps.items()
        }

    def _attend(self, bev: Tensor, values: dict[str, Tensor]) -> Tensor:
        query = bev.flatten(2).transpose(1, 2)
        reference = reference_points(*bev.shape[-2:]).to(query)
        if self.watched is not None:
            self.watched.append(self._offset_statistics(query, reference, values))
        return torch.cat(
            [
                self.attention.attend(q, r, values)
                for q, r in zip(
                    query.chunk(self.parts, 1), reference.chunk(self.parts), strict=True
                )
            ],
            1,
        )

    @torch.no_grad()
    def _offset_statistics(
        self, query: Tensor, reference: Tensor, values: dict[str, Tensor]
    ) -> Tensor:
        """(2,): mean way of the offsets from where they began, cells; share of samples outside."""
        moved, outside = [], []
        for name, value in values.items():
            way = self.attention.offsets[name](query) - self.start
            place = self.attention.locations(query, reference, name, value.shape[-2:])
            moved.append(way.unflatten(-1, (-1, 2)).norm(dim=-1).mean())
            outside.append(((place < 0) | (place > 1)).any(-1).to(way.dtype).mean())
        return torch.stack([torch.stack(moved).mean(), torch.stack(outside).mean()])


class GlobalMixing(nn.Module):
    """The reference: multi-head attention of every cell to all cells of all tasks."""

    def __init__(self, channels: int, config: TaskInteractionConfig) -> None:
        super().__init__()
        self.heads, self.across = config.heads, config.across_tasks
        self.inputs = nn.Linear(channels, 3 * channels)
        self.output_proj = nn.Linear(channels, channels)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Task -> (B, C, h, w) to task -> (B, h w, C)."""
        tokens = [bev.flatten(2).transpose(1, 2) for bev in maps.values()]
        if self.across:
            mixed = self._attend(torch.cat(tokens, 1)).chunk(len(tokens), 1)
        else:
            mixed = [self._attend(own) for own in tokens]
        return dict(zip(maps, mixed, strict=True))

    def _attend(self, tokens: Tensor) -> Tensor:
        parts = self.inputs(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind())  # (B, heads, N, c)
        return self.output_proj(mixed.transpose(1, 2).flatten(2))


def _build_mixing(
    channels: int, config: TaskInteractionConfig, tasks: tuple[str, ...]
) -> DeformableMixing | GlobalMixing:
    match config.kind:
        case InteractionKind.ITSA:
            return DeformableMixing(channels, config, tasks)
        case InteractionKind.GLOBAL:
            return GlobalMixing(channels, config)
        case _:
            assert_never(config.kind)


class InteractionStep(nn.Module):
    """Attention between the tasks, residual, norm, FFN, residual, norm."""

    def __init__(
        self, channels: int, config: TaskInteractionConfig, tasks: tuple[str, ...] = TASKS
    ) -> None:
        super().__init__()
        self.mixing = _build_mixing(channels, config, tasks)
        self.ffn = FeedForward(channels, channels * config.ffn_ratio, 0.0)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Task -> (B, C, h, w), the same back."""
        results = {}
        for task, mixed in self.mixing(maps).items():
            bev = maps[task]
            x = self.norm1(bev.flatten(2).transpose(1, 2) + self.dropout(mixed))
            x = self.norm2(x + self.ffn(x))
            results[task] = x.transpose(1, 2).reshape(bev.shape)
        return results


class TaskInteraction(nn.Module):
    """The neck's map, or one per task -> one per task that has seen the other's.

    Args:
        shape: (Y, X) of the maps.
        tasks: all tasks; their order is that of the concatenation.
    """

    def __init__(
        self,
        channels: int,
        shape: tuple[int, int],
        config: TaskInteractionConfig,
        tasks: tuple[str, ...] = TASKS,
    ) -> None:
        super().__init__()
        self.position, self.stride = config.position, config.stride
        width = config.width(channels)
        self.adapters = nn.ModuleDict({task: ConvBlock(channels, channels) for task in tasks})
        self.steps = nn.ModuleList(
            InteractionStep(width, config, tasks) for _ in range(config.steps)
        )
        self.restore = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))
        nn.init.zeros_(self.restore[1].weight)
        rows, columns = (size // config.stride for size in shape)
        code_channels = config.code_channels(channels)
        if code_channels > 0:
            code = position_code(len(tasks) * rows, columns, code_channels)
            for task, own in zip(tasks, code.chunk(len(tasks), 1), strict=True):
                self.register_buffer(f'code_{task}', own[None].contiguous(), persistent=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Task -> (B, C, Y, X), the same back; a task that is not there gives nothing."""
        maps = {
            task: self._with_position(task, self.adapters[task](bev))
            for task, bev in features.items()
        }
        for step in self.steps:
            maps = step(maps)
        return {
            task: bev + self._restored(maps[task], bev.shape[1]) for task, bev in features.items()
        }

    def _with_position(self, task: str, bev: Tensor) -> Tensor:
        if self.stride > 1:
            bev = F.avg_pool2d(bev, self.stride)
        match self.position:
            case PositionCode.CONCAT:
                code = self._code(task, bev)
                return torch.cat([bev, code.expand(len(bev), -1, -1, -1)], 1)
            case PositionCode.ADD:
                return bev + self._code(task, bev)
            case PositionCode.NONE:
                return bev
            case _:
                assert_never(self.position)

    def _code(self, task: str, bev: Tensor) -> Tensor:
        """(1, channels, Y, X) in the map's dtype."""
        return self.get_buffer(f'code_{task}').to(bev.dtype)

    def _restored(self, bev: Tensor, channels: int) -> Tensor:
        """Without the code's channels, at the full grid."""
        x = self.restore(bev[:, :channels].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.stride == 1:
            return x
        return F.interpolate(
            x, scale_factor=float(self.stride), mode='bilinear', align_corners=False
        )


def watch_offsets(module: nn.Module) -> None:
    """Measure the offsets of task interaction from now on, see `take_offset_statistics`."""
    for part in module.modules():
        if isinstance(part, DeformableMixing):
            part.watched = []


def take_offset_statistics(module: nn.Module) -> dict[str, float]:
    """End the measuring that `watch_offsets` began.

    Returns:
        Means of `offsets_moved` (cells of the map sampled) and `offsets_outside` (share of all
        samples); empty where nothing was measured.
    """
    noted = []
    for part in module.modules():
        if isinstance(part, DeformableMixing) and part.watched is not None:
            noted += part.watched
            part.watched = None
    if not noted:
        return {}
    moved, outside = torch.stack(noted).mean(0).tolist()
    return {'offsets_moved': moved, 'offsets_outside': outside}


def build_interaction(config: ModelConfig) -> TaskInteraction | None:
    """Build the module that lets tasks see each other's maps; None if there is to be none."""
    if config.task_interaction is None:
        return None
    return TaskInteraction(
        config.head.neck_channels, config.bev_grid.shape, config.task_interaction
    )
