"""Values at the nodes of a square grid, straight between them on two triangles a cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require


@dataclass(frozen=True)
class NodeGrid:
    """Nodes (row, column) at origin + (column, row) * cell.

    Each cell is cut from its lowest to its highest corner: a finer grid of the same cut nests.

    Attributes:
        origin: (2,) world metres of node (0, 0).
        cell: metres.
        values: (R, C) or (R, C, K) at the nodes.
    """

    origin: np.ndarray
    cell: float
    values: np.ndarray

    def __post_init__(self) -> None:
        require(self.cell > 0, 'node grid', 'a cell of more than 0 metres', self.cell)
        enough = self.values.ndim in (2, 3) and min(self.values.shape[:2]) >= 2
        require(enough, 'node grid', '(R, C, ...) values of at least 2 x 2', self.values.shape)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Values at (..., 2) world points, (...) or (..., K); those outside take the border's."""
        rows, columns = self.values.shape[:2]
        x = (xy[..., 0] - self.origin[0]) / self.cell
        y = (xy[..., 1] - self.origin[1]) / self.cell
        x = np.minimum(np.maximum(x, 0), columns - 1)
        y = np.minimum(np.maximum(y, 0), rows - 1)
        column = np.minimum(x.astype(np.int32), columns - 2)
        row = np.minimum(y.astype(np.int32), rows - 2)
        u, v = x - column, y - row
        first = row * columns + column
        below = u >= v
        flat = self.values.reshape(rows * columns, -1)
        middle = np.where(below, first + 1, first + columns)
        a, b = flat.take(first, axis=0), flat.take(middle, axis=0)
        c = flat.take(first + (columns + 1), axis=0)
        dtype = np.result_type(self.values.dtype, np.float32)
        near = np.maximum(u, v).astype(dtype)[..., None]
        far = np.minimum(u, v).astype(dtype)[..., None]
        c -= b
        b -= a
        c *= far
        b *= near
        mixed = a + b
        mixed += c
        return mixed[..., 0] if self.values.ndim == 2 else mixed

    def points(self) -> np.ndarray:
        """(R, C, 2) world metres of the nodes."""
        rows, columns = self.values.shape[:2]
        x = self.origin[0] + self.cell * np.arange(columns)
        y = self.origin[1] + self.cell * np.arange(rows)
        return np.stack(np.meshgrid(x, y), axis=-1)


def straightened(values: np.ndarray, step: int, where: np.ndarray) -> np.ndarray:
    """Node values (R, C) with blocks of `step` x `step` cells made two flat triangles each.

    Nodes on the edge of such a block lie on its edge, so that a neighbour meets it without a gap.

    Args:
        where: ((R - 1) / step, (C - 1) / step) bool, the blocks.
    """
    flat = values.copy()
    part = np.arange(step + 1) / step
    u, v = np.meshgrid(part, part)
    near, far = np.maximum(u, v), np.minimum(u, v)
    below = u >= v
    row, column = np.nonzero(where)
    a, b = values[row * step, column * step], values[row * step, (column + 1) * step]
    c, d = values[(row + 1) * step, column * step], values[(row + 1) * step, (column + 1) * step]
    middle = np.where(below, b[:, None, None], c[:, None, None])
    first, last = a[:, None, None], d[:, None, None]
    block = first + near * (middle - first) + far * (last - middle)
    rows = row[:, None, None] * step + np.arange(step + 1)[:, None]
    columns = column[:, None, None] * step + np.arange(step + 1)
    flat[rows, columns] = block
    return flat
