"""The Plain-DETR head: what its graph, its query selection and its matching depend on."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from metabev_ros.config.yaml import require
from metabev_ros.geometry import BevGrid


class RpbMode(enum.Enum):
    """Box-to-cell relative position bias of the cross-attention.

    `AABB` looks along the map's axes from the box's axis-aligned hull, `BOX_FRAME` along the
    box's own axes, `NONE` not at all (the plain attention that it is compared with).
    """

    NONE = 'none'
    AABB = 'aabb'
    BOX_FRAME = 'box_frame'


class OffsetNorm(enum.Enum):
    """Unit of a centre's offset.

    The reference box's length and width, or for both its footprint's diagonal (milder for boxes
    that are thin).
    """

    SIDES = 'sides'
    DIAGONAL = 'diagonal'


class QueryContent(enum.Enum):
    """Start of a query.

    A learned vector per rank (mixed query selection), or the BEV feature at its cell plus a
    learned vector per class (as in TransFusion).
    """

    LEARNED = 'learned'
    FEATURE = 'feature'


@dataclass(frozen=True)
class BoxRpbConfig:
    """BoxRPB.

    Attributes:
        hidden: width of its MLPs.
        knots, reach: `box_frame` knows its 1-D functions at this many places from -reach to
            reach metres along a box's axis; linear between them, constant beyond.
        symmetric_heading: `box_frame` cannot tell front from back, left from right: a flipped
            yaw gives the same bias.
    """

    mode: RpbMode = RpbMode.BOX_FRAME
    hidden: int = 512
    knots: int = 512
    reach: float = 80.0
    symmetric_heading: bool = False

    def __post_init__(self) -> None:
        where = 'model.head.plain_detr.boxrpb'
        require(1 <= self.hidden <= 4096, f'{where}.hidden', '1..4096', self.hidden)
        require(2 <= self.knots <= 4096, f'{where}.knots', '2..4096', self.knots)
        require(self.reach > 0, f'{where}.reach', 'metres above 0', self.reach)
        require(
            not self.symmetric_heading or self.mode is RpbMode.BOX_FRAME,
            f'{where}.symmetric_heading',
            'false unless the mode is box_frame',
            True,
        )


@dataclass(frozen=True)
class HybridConfig:
    """One-to-many matching beside the one-to-one of use; training only.

    Attributes:
        queries: additional queries; 0: none.
        repeats: queries that each true box is matched with among them.
        weight: of their losses.
    """

    queries: int = 600
    repeats: int = 4
    weight: float = 1.0

    def __post_init__(self) -> None:
        where = 'model.head.plain_detr.hybrid'
        require(0 <= self.queries <= 3000, f'{where}.queries', '0..3000', self.queries)
        require(1 <= self.repeats <= 20, f'{where}.repeats', '1..20', self.repeats)
        require(self.weight >= 0, f'{where}.weight', 'at least 0', self.weight)


@dataclass(frozen=True)
class PlainDetrConfig:
    """The head's own choices; its width is `head.det_channels`, its queries `head.proposals`.

    Attributes:
        layers, heads, ffn_channels: of the decoder.
        key_stride: BEV cells per edge of a cell that is attended to.
        refine: each layer starts from the boxes of the layer before; false: all from the
            proposals.
        look_forward_twice: a layer's loss also reaches the box head of the layer before.
    """

    layers: int = 6
    heads: int = 8
    ffn_channels: int = 2048
    key_stride: int = 1
    refine: bool = True
    look_forward_twice: bool = True
    offset_norm: OffsetNorm = OffsetNorm.SIDES
    content: QueryContent = QueryContent.LEARNED
    boxrpb: BoxRpbConfig = field(default_factory=BoxRpbConfig)
    hybrid: HybridConfig = field(default_factory=HybridConfig)

    def __post_init__(self) -> None:
        where = 'model.head.plain_detr'
        require(1 <= self.layers <= 12, f'{where}.layers', '1..12', self.layers)
        require(1 <= self.heads <= 64, f'{where}.heads', '1..64', self.heads)
        require(self.ffn_channels >= 1, f'{where}.ffn_channels', 'at least 1', self.ffn_channels)
        require(self.key_stride >= 1, f'{where}.key_stride', 'at least 1', self.key_stride)

    def check_fit(self, channels: int, proposals: int, grid: BevGrid) -> None:
        """Stop unless width, queries and grid suit each other.

        Args:
            channels: the head's width.
            proposals: queries in use.
            grid: of the detection maps.

        Raises:
            ConfigError
        """
        where = 'model.head.plain_detr'
        require(
            channels % self.heads == 0 and channels % 4 == 0,
            'model.head.det_channels',
            f'a multiple of 4 and of plain_detr.heads ({self.heads})',
            channels,
        )
        require(
            all(size % self.key_stride == 0 for size in grid.shape),
            f'{where}.key_stride',
            f'a divisor of the BEV grid {grid.shape}',
            self.key_stride,
        )
        cells = grid.rows * grid.columns
        require(
            proposals <= cells,
            'model.head.proposals',
            f'at most the cells of the BEV grid ({cells})',
            proposals,
        )
        require(
            proposals + self.hybrid.queries <= cells,
            f'{where}.hybrid.queries',
            f'with proposals at most the cells of the BEV grid ({cells})',
            self.hybrid.queries,
        )
