"""BoxRPB: bias of the attention from a query's box to every cell (Plain-DETR, section 3.2).

    bias[q, m, i, j] = f_u(offsets of box q's two ends from cell ij along one axis)[m]
                     + f_v(the same along the other axis)[m]

f_u and f_v are MLPs 2 -> hidden -> heads with a ReLU between, the last layer without bias; they
are computed in float32.

`AxialBias` takes the map's axes and the hull of the turned box: both terms are 1-D profiles over
columns and rows, as published. `BoxFrameBias` takes the box's own axes, so the window turns with
the box. A cell's coordinate along a box axis is a number of its own for every query and cell, but
each f is a function of that one number: it is computed at `knots` places per query and read by
linear interpolation. The table IS the function, in training as in use.

Differences from Plain-DETR: offsets are in metres and scaled so that a key cell counts 16, as a
cell of its stride-16 map does in pixels, which keeps its initialisation meaningful.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabev_ros.config.plain_detr import BoxRpbConfig, RpbMode
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid

OFFSET_PER_CELL = 16.0


def build_boxrpb(
    config: BoxRpbConfig, heads: int, grid: BevGrid
) -> AxialBias | BoxFrameBias | None:
    """The bias that the configuration names; None: no bias.

    Args:
        grid: of the cells that are attended to.
    """
    match config.mode:
        case RpbMode.NONE:
            return None
        case RpbMode.AABB:
            return AxialBias(config.hidden, heads, grid)
        case RpbMode.BOX_FRAME:
            return BoxFrameBias(config, heads, grid)
        case _:
            assert_never(config.mode)


def bias_mlp(hidden: int, heads: int) -> nn.Sequential:
    """f_u or f_v."""
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))


def cell_axes(grid: BevGrid) -> tuple[Tensor, Tensor]:
    """Centres of columns (X,) and of rows (Y,) in metres."""
    return (
        grid.x_min + (torch.arange(grid.columns) + 0.5) * grid.cell,
        grid.y_min + (torch.arange(grid.rows) + 0.5) * grid.cell,
    )


class AxialBias(nn.Module):
    """(B, Q, 8) boxes -> (B, heads, Q, Y X); sees the hull of the turned box."""

    def __init__(self, hidden: int, heads: int, grid: BevGrid) -> None:
        super().__init__()
        self.scale = OFFSET_PER_CELL / grid.cell
        self.along_u, self.along_v = bias_mlp(hidden, heads), bias_mlp(hidden, heads)
        x, y = cell_axes(grid)
        self.register_buffer('x', x, persistent=False)
        self.register_buffer('y', y, persistent=False)

    def forward(self, boxes: Tensor) -> Tensor:
        with torch.autocast(boxes.device.type, enabled=False):
            x, y, _, length, width, _, sin, cos = boxes.unbind(-1)
            half_x = (length * cos.abs() + width * sin.abs()) / 2
            half_y = (length * sin.abs() + width * cos.abs()) / 2
            columns = self._profile(self.along_u, x, half_x, self.x)  # (B, heads, Q, X)
            rows = self._profile(self.along_v, y, half_y, self.y)  # (B, heads, Q, Y)
            return (columns[..., None, :] + rows[..., None]).flatten(-2)

    def _profile(self, mlp: nn.Module, centre: Tensor, half: Tensor, cells: Tensor) -> Tensor:
        offset = centre[..., None] - cells
        ends = torch.stack([offset - half[..., None], offset + half[..., None]], -1)
        return mlp(ends * self.scale).permute(0, 3, 1, 2)


class BoxFrameBias(nn.Module):
    """(B, Q, 8) boxes -> (B, heads, Q, Y X); sees the turned box itself.

    No gradient reaches the boxes: their references are detached, as in Plain-DETR.
    """

    def __init__(self, config: BoxRpbConfig, heads: int, grid: BevGrid) -> None:
        super().__init__()
        self.scale, self.reach = OFFSET_PER_CELL / grid.cell, config.reach
        self.heads, self.symmetric = heads, config.symmetric_heading
        self.along_u, self.along_v = (
            bias_mlp(config.hidden, heads),
            bias_mlp(config.hidden, heads),
        )
        x, y = cell_axes(grid)
        self.register_buffer('x', x.repeat(grid.rows), persistent=False)  # (Y X,)
        self.register_buffer('y', y.repeat_interleave(grid.columns), persistent=False)
        self.register_buffer(
            'places', torch.linspace(-config.reach, config.reach, config.knots), persistent=False
        )

    def forward(self, boxes: Tensor) -> Tensor:
        with torch.autocast(boxes.device.type, enabled=False):
            boxes = boxes.detach()
            u, v = self.coordinates(boxes)
            return self.lookup(self.table(self.along_u, boxes[..., 3]), u) + self.lookup(
                self.table(self.along_v, boxes[..., 4]), v
            )

    def coordinates(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Q, Y X) each: cells along the boxes' length and width, metres from their centres."""
        x, y, sin, cos = (boxes[..., i, None] for i in (0, 1, 6, 7))
        dx, dy = self.x - x, self.y - y
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        return (u.abs(), v.abs()) if self.symmetric else (u, v)

    def table(self, mlp: nn.Module, extent: Tensor) -> Tensor:
        """f at every knot for boxes of extents (B, Q) -> (B, Q, knots, heads)."""
        half = extent[..., None] / 2
        ends = torch.stack([-half - self.places, half - self.places], -1)
        return mlp(ends * self.scale)

    def lookup(self, table: Tensor, where: Tensor) -> Tensor:
        """Interpolate a table (B, Q, S, heads) at (B, Q, Y X) metres: (B, heads, Q, Y X)."""
        b, q, knots, heads = table.shape
        place = (where.clamp(-self.reach, self.reach) + self.reach) * (
            (knots - 1) / (2 * self.reach)
        )
        low = place.long().clamp(0, knots - 2)  # as integers: no number (NaN) reads no memory
        share = (place - low)[:, None]  # (B, 1, Q, Y X)
        first = torch.arange(b * q, device=table.device).reshape(b, q, 1) * knots
        index = (first + low).flatten()
        flat = table.flatten(0, 2)  # (B Q S, heads)
        ends = [
            flat.index_select(0, index + i).t().reshape(heads, b, q, -1).transpose(0, 1)
            for i in (0, 1)
        ]
        return ends[0] * (1 - share) + ends[1] * share
