"""Multiply-adds of inter-task attention, deformable and global, as formulas.

They reproduce the published figures (3.75 T and 0.24 T FLOPs for four tasks at 107 x 140), and a
test compares them with what the network's operators count.
"""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.config import TaskInteractionConfig

SOFTMAX_FLOPS = 3  # per attention weight: subtract, exponentiate, divide
SAMPLE_MACS = 5  # per channel of a bilinear sample: four corners and the weight


@dataclass(frozen=True)
class DeformableCost:
    """Multiply-adds of one step of deformable inter-task attention, by part."""

    offsets: int
    weights: int
    value: int
    output: int
    sampling: int
    pyramid: int
    ffn: int

    @property
    def attention(self) -> int:
        """The attention that is measured beside global attention."""
        return self.offsets + self.weights + self.value + self.output + self.sampling

    @property
    def total(self) -> int:
        """All multiply-adds together."""
        return self.attention + self.pyramid + self.ffn


def level_shapes(rows: int, columns: int, levels: int) -> list[tuple[int, int]]:
    """Shapes of a task's pyramid: 3x3 convolutions with stride 2 round up."""
    shapes = [(rows, columns)]
    for _ in range(levels - 1):
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
        shapes.append((rows, columns))
    return shapes


def deformable_cost(
    config: TaskInteractionConfig, tasks: int, rows: int, columns: int, channels: int
) -> DeformableCost:
    """One step.

    Args:
        rows, columns: of a task's map, after `stride`.
        channels: of the map, without the position code.
    """
    width, cells = (
        config.width(channels),
        [h * w for h, w in level_shapes(rows, columns, config.levels)],
    )
    queries = tasks * rows * columns
    samples = config.heads * tasks * config.levels * config.points
    return DeformableCost(
        offsets=queries * width * samples * 2,
        weights=queries * width * samples,
        value=tasks * sum(cells) * width**2,
        output=queries * width**2,
        sampling=SAMPLE_MACS * queries * tasks * config.levels * config.points * width,
        pyramid=9 * width**2 * tasks * sum(cells[1:]),
        ffn=2 * queries * width**2 * config.ffn_ratio,
    )


def global_macs(tokens: int, width: int) -> int:
    """Multi-head attention of all tokens to all: two products N x N, four projections."""
    return 2 * tokens**2 * width + 4 * tokens * width**2


def global_flops(tokens: int, width: int, heads: int) -> int:
    """The same in FLOPs (two a multiply-add), with the softmax."""
    return 2 * global_macs(tokens, width) + SOFTMAX_FLOPS * heads * tokens**2
