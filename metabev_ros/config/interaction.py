"""Inter-task self-attention between the maps of detection and segmentation."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config.yaml import require
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid

POSITION_CHANNELS = 24
GLOBAL_TOKENS = 16_384  # of both tasks; the attention matrix is their square


class InteractionKind(enum.Enum):
    """ITSA: deformable. GLOBAL: every token attends to every other, the costly reference."""

    ITSA = 'itsa'
    GLOBAL = 'global'


class PositionCode(enum.Enum):
    """A sine code of the place, in 24 more channels, added, or none."""

    CONCAT = 'concat'
    ADD = 'add'
    NONE = 'none'


@dataclass(frozen=True)
class TaskInteractionConfig:
    """`task_interaction` of a model; without it the heads share one map as they are.

    Attributes:
        kind: see `InteractionKind`.
        heads, points: attention heads, and samples per head and map.
        levels: maps per task: the full one and each half as large as the one before.
        steps: refinements one after the other, each with its own weights.
        position: see `PositionCode`.
        stride: the tasks' maps are averaged over stride x stride cells before and brought back
            after it; 1 is the source's, 2 costs a quarter.
        ffn_ratio: hidden width of the FFN over its input's.
        dropout: of what the attention adds.
        query_parts: queries are done in so many parts: less memory, same result.
        across_tasks: false: each task attends to its own maps only, to measure what the other
            task's give.
    """

    kind: InteractionKind = InteractionKind.ITSA
    heads: int = 4
    points: int = 8
    levels: int = 3
    steps: int = 1
    position: PositionCode = PositionCode.CONCAT
    stride: int = 1
    ffn_ratio: int = 4
    dropout: float = 0.1
    query_parts: int = 1
    across_tasks: bool = True

    def __post_init__(self) -> None:
        for name, limit in (
            ('heads', 32),
            ('points', 32),
            ('levels', 4),
            ('steps', 8),
            ('ffn_ratio', 8),
            ('query_parts', 64),
        ):
            require(
                1 <= getattr(self, name) <= limit,
                f'model.task_interaction.{name}',
                f'1..{limit}',
                getattr(self, name),
            )
        require(
            self.stride in (1, 2, 4), 'model.task_interaction.stride', '1, 2 or 4', self.stride
        )
        require(0 <= self.dropout < 1, 'model.task_interaction.dropout', '[0, 1)', self.dropout)

    def width(self, channels: int) -> int:
        """Channels inside, for maps of so many."""
        match self.position:
            case PositionCode.CONCAT:
                return channels + POSITION_CHANNELS
            case PositionCode.ADD | PositionCode.NONE:
                return channels
            case _:
                assert_never(self.position)

    def code_channels(self, channels: int) -> int:
        """Channels of the position code, for maps of so many; 0: there is none."""
        match self.position:
            case PositionCode.CONCAT:
                return POSITION_CHANNELS
            case PositionCode.ADD:
                return channels
            case PositionCode.NONE:
                return 0
            case _:
                assert_never(self.position)

    def check_fit(self, channels: int, grid: BevGrid) -> None:
        """Against the neck's channels and the BEV grid.

        Raises:
            ConfigError
        """
        where = 'model.task_interaction'
        require(
            self.width(channels) % self.heads == 0,
            f'{where}.heads',
            f'a divisor of {self.width(channels)} channels',
            self.heads,
        )
        require(
            self.position is not PositionCode.ADD or channels % 4 == 0,
            f'{where}.position',
            f'concat or none with {channels} channels',
            self.position.value,
        )
        rows, columns = grid.shape
        require(
            rows % self.stride == 0 and columns % self.stride == 0,
            f'{where}.stride',
            f'a divisor of the BEV grid {grid.shape}',
            self.stride,
        )
        tokens = 2 * rows * columns // self.stride**2
        require(
            self.kind is InteractionKind.ITSA or tokens <= GLOBAL_TOKENS,
            f'{where}.kind',
            f'itsa on more than {GLOBAL_TOKENS} cells of both tasks ({tokens})',
            self.kind.value,
        )
