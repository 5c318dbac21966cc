"""Points -> fine pillars and the tables that lead from them to the BEV grid in two steps.

Pillars of a quarter of a BEV cell keep as many points as a person needs to be told from a pole.
Two by two they become cells of half a BEV cell, and these, two by two, BEV cells; every step names
only what is occupied. Nothing depends on where a sensor stands or on how bright it sees: heights
are also given above the ground found nearby, intensities by their logarithm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid, transform_points
from metabev_ros.preprocess.lift_splat import stable_order
from metabev_ros.preprocess.pillars import groups, nearest_cells
from metabev_ros.structures import Sweep

GROUND_PILLARS = 8  # edge of the cells in which the lowest point is looked for
_HIGHEST = 5.0  # metres above ground; more is as much
_BRIGHTEST = 255.0
_CHILDREN, _NEIGHBOURS = 4, 9


class Level(NamedTuple):
    """Occupied cells of one grid.

    Attributes:
        cells: (V,) flat cells, rising.
        grid: the grid.
    """

    cells: np.ndarray
    grid: BevGrid


def build_fine_pillars(
    sweep: Sweep, config: LidarBranchConfig, grid: BevGrid
) -> dict[str, np.ndarray]:
    """One sweep (or several merged into one) as the fine pillar encoder takes it.

    Of a pillar with more points than `points_per_pillar`, as many are taken in equal steps of
    their order: all sweeps and beams stay represented.

    Args:
        sweep: points in the LiDAR frame.
        config: sizes.
        grid: pillar grid in the ego frame; its cell is a quarter of the BEV cell.

    Returns:
        `points` (P, 10) float32, as `_features` names them. `point_table` (V, S) int32: rows of
        `points` of every pillar, the first one again in slots that are left. `fine_table` (V', 4)
        and `coarse_table` (V'', 4) int32: the pillars of every cell, the cells of every BEV cell,
        V and V' where there is none. `fine_neighbours` (V', 9) and `coarse_neighbours` (V'', 9)
        int32: the cells around every cell, row by row, V' and V'' where there is none. `bev_table`
        (Y X) int32: the row of every BEV cell, V'' where it is empty. Without a point in the grid
        all have one row that nothing refers to.
    """
    xyz = transform_points(sweep.ego_from_lidar, sweep.points[:, :3].astype(np.float64))
    cell = grid.cell_index(xyz[:, :2])
    keep = np.flatnonzero((cell >= 0) & (xyz[:, 2] > config.z_min) & (xyz[:, 2] < config.z_max))
    if not len(keep):
        return _nothing(config, grid)
    order = keep[stable_order(cell[keep])]
    cells, first, counts = groups(cell[order])
    if len(cells) > config.max_pillars:
        kept = nearest_cells(cells, grid, config.max_pillars)
        cells, order = cells[kept], order[np.repeat(kept, counts)]
        counts = counts[kept]
        first = np.cumsum(counts) - counts
    xyz = xyz.astype(np.float32).take(order, 0)
    used = np.minimum(counts, config.points_per_pillar)
    chosen, start = _spread(first, counts, used)
    lowest = np.minimum.reduceat(xyz[:, 2], first)
    pillars = Level(cells, grid)
    ground = _ground(pillars, lowest)
    points = sweep.points.take(order[chosen], 0)
    slot = np.arange(config.points_per_pillar)
    table = start[:, None] + np.where(slot < used[:, None], slot, 0)
    return {
        'points': _features(points, xyz.take(chosen, 0), pillars, counts, used, ground),
        'point_table': table.astype(np.int32),
        **_tables(pillars),
    }


def _nothing(config: LidarBranchConfig, grid: BevGrid) -> dict[str, np.ndarray]:
    nowhere, bev = np.int32(1), (grid.rows // 4) * (grid.columns // 4)
    return {
        'points': np.zeros((1, config.point_features), np.float32),
        'point_table': np.zeros((1, config.points_per_pillar), np.int32),
        'fine_table': np.full((1, _CHILDREN), nowhere),
        'fine_neighbours': np.full((1, _NEIGHBOURS), nowhere),
        'coarse_table': np.full((1, _CHILDREN), nowhere),
        'coarse_neighbours': np.full((1, _NEIGHBOURS), nowhere),
        'bev_table': np.full(bev, nowhere),
    }


def _spread(
    first: np.ndarray, counts: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the chosen points among all, pillar by pillar, and where each pillar begins."""
    start = np.cumsum(used) - used
    pillar = np.repeat(np.arange(len(used)), used)
    step = np.arange(len(pillar)) - start[pillar]
    return first[pillar] + step * counts[pillar] // used[pillar], start


def _ground(pillars: Level, lowest: np.ndarray) -> np.ndarray:
    """(V,) float32 height of the ground near every pillar, metres.

    It is the median of the lowest points of the 3 x 3 ground cells around: a return from below
    the road, or a wall without ground before it, does not move it.
    """
    grid, edge = pillars.grid, GROUND_PILLARS
    dense = np.full(grid.shape, np.inf, np.float32)
    dense.reshape(-1)[pillars.cells] = lowest
    rows, columns = -(-grid.rows // edge), -(-grid.columns // edge)
    padding = ((0, rows * edge - grid.rows), (0, columns * edge - grid.columns))
    dense = np.pad(dense, padding, constant_values=np.inf)
    least = dense.reshape(rows, edge, columns, edge).min((1, 3))
    padded = np.pad(least, 1, constant_values=np.inf)
    around = np.stack(
        [padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)], -1
    )
    around.sort(-1)
    middle = (np.isfinite(around).sum(-1, keepdims=True) - 1).clip(0) // 2
    ground = np.take_along_axis(around, middle, -1)[..., 0]
    row, column = np.divmod(pillars.cells, grid.columns)
    return ground[row // edge, column // edge]


def _features(
    points: np.ndarray,
    xyz: np.ndarray,
    pillars: Level,
    counts: np.ndarray,
    used: np.ndarray,
    ground: np.ndarray,
) -> np.ndarray:
    """Features of the chosen points.

    Args:
        points: (P, 5) float32 as measured, pillar by pillar; xyz: (P, 3) float32, ego frame.
        pillars: their cells.
        counts, used: (V,) points of every pillar, and how many of them were chosen.
        ground: (V,) metres.

    Returns:
        (P, 10) float32: x and y (25 m), z (m), logarithm of the intensity (0 for 0, 1 for 255),
        time lag (0.2 s), offset from the pillar's centre (pillars, x and y), height above the
        pillar's mean and above the ground (m, at most 5), logarithm of the number of points.
    """
    grid = pillars.grid
    row, column = np.divmod(pillars.cells, grid.columns)
    centres = np.stack([column, row], 1).astype(np.float32) * np.float32(grid.cell)
    centres += np.array([grid.x_min, grid.y_min], np.float32) + np.float32(grid.cell / 2)
    begin = np.cumsum(used) - used
    mean_z = np.add.reduceat(xyz[:, 2], begin) / used.astype(np.float32)
    features = np.empty((len(points), 10), np.float32)
    features[:, :2] = xyz[:, :2] / 25
    features[:, 2] = xyz[:, 2]
    intensity = np.clip(points[:, 3], 0, _BRIGHTEST)
    features[:, 3] = np.log1p(intensity) / np.float32(np.log1p(_BRIGHTEST))
    features[:, 4] = points[:, 4] * 5
    features[:, 5:7] = (xyz[:, :2] - np.repeat(centres, used, 0)) / grid.cell
    features[:, 7] = xyz[:, 2] - np.repeat(mean_z, used)
    features[:, 8] = np.minimum(xyz[:, 2] - np.repeat(ground, used), _HIGHEST)
    features[:, 9] = np.repeat(np.log1p(counts.astype(np.float32)) / 3, used)
    return features


def _tables(pillars: Level) -> dict[str, np.ndarray]:
    """The two steps from pillars to the BEV grid."""
    fine, fine_table = _merged(pillars)
    coarse, coarse_table = _merged(fine)
    return {
        'fine_table': fine_table,
        'fine_neighbours': _neighbours(fine),
        'coarse_table': coarse_table,
        'coarse_neighbours': _neighbours(coarse),
        'bev_table': _places(coarse),
    }


def _places(level: Level) -> np.ndarray:
    """(Y X) int32 row of every cell of the grid, V where it is not occupied."""
    places = np.full(level.grid.rows * level.grid.columns, len(level.cells), np.int32)
    places[level.cells] = np.arange(len(level.cells), dtype=np.int32)
    return places


def _merged(level: Level) -> tuple[Level, np.ndarray]:
    """The level of twice the cell, and (V', 4) int32 of its cells' children, row by row."""
    grid = level.grid.with_cell(2 * level.grid.cell)
    row, column = np.divmod(level.cells, level.grid.columns)
    parent = (row // 2) * grid.columns + column // 2
    is_occupied = np.zeros(grid.rows * grid.columns, bool)
    is_occupied[parent] = True
    merged = Level(np.flatnonzero(is_occupied), grid)
    table = np.full((len(merged.cells), _CHILDREN), len(level.cells), np.int32)
    place = _places(merged)[parent]
    table[place, (row % 2) * 2 + column % 2] = np.arange(len(level.cells), dtype=np.int32)
    return merged, table


def _neighbours(level: Level) -> np.ndarray:
    """(V, 9) int32 rows of the cells around every cell, itself among them."""
    grid, nobody = level.grid, len(level.cells)
    padded = np.pad(_places(level).reshape(grid.shape), 1, constant_values=nobody)
    row, column = np.divmod(level.cells, grid.columns)
    width = grid.columns + 2
    offset = (np.arange(3)[:, None] * width + np.arange(3)).reshape(-1)
    return padded.reshape(-1).take((row * width + column)[:, None] + offset)
