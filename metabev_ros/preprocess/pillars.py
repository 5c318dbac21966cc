"""Points -> pillars and the table that puts them on the grid."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid, transform_points
from metabev_ros.preprocess.lift_splat import stable_order
from metabev_ros.structures import Sweep


def build_pillars(sweep: Sweep, config: LidarBranchConfig, grid: BevGrid) -> dict[str, np.ndarray]:
    """One sweep as the LiDAR encoder takes it.

    Args:
        sweep: points in the LiDAR frame.
        config: sizes.
        grid: pillar grid in the ego frame.

    Returns:
        `pillars` (V, S, 9) float32: x, y, z (ego, tens of metres for x and y), intensity / 255,
        time lag (s), offset from the pillar centre in pillars (x, y), height above the pillar's
        mean (m), log of the count; unused slots repeat the first point. `pillar_table` (Y' X')
        int32: row of `pillars`, V where a cell is empty. V >= 1: an empty sweep gives one zero
        pillar that no cell refers to.
    """
    points = sweep.points
    xyz = transform_points(sweep.ego_from_lidar, points[:, :3].astype(np.float64))
    cell = grid.cell_index(xyz[:, :2])
    keep = np.flatnonzero((cell >= 0) & (xyz[:, 2] > config.z_min) & (xyz[:, 2] < config.z_max))
    if not len(keep):
        return {
            'pillars': np.zeros((1, config.points_per_pillar, config.pillar_features), np.float32),
            'pillar_table': np.ones(grid.rows * grid.columns, np.int32),
        }
    order = keep[stable_order(cell[keep])]
    cells, first, counts = groups(cell[order])
    if len(cells) > config.max_pillars:
        kept = nearest_cells(cells, grid, config.max_pillars)
        cells, order = cells[kept], order[np.repeat(kept, counts)]
        counts = counts[kept]
        first = np.cumsum(counts) - counts
    slot = np.arange(config.points_per_pillar)
    rows = first[:, None] + np.where(slot < counts[:, None], slot, 0)  # (V, S) into `order`
    # `take` has a fast path for rows that a plain index lacks.
    points, xyz = points.take(order, 0), xyz.astype(np.float32).take(order, 0)
    features = _features(points, xyz, cells, counts, rows, grid)
    table = np.full(grid.rows * grid.columns, len(cells), np.int32)
    table[cells] = np.arange(len(cells), dtype=np.int32)
    return {'pillars': features.take(rows, 0), 'pillar_table': table}


def groups(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct values of sorted (P,) cells, the place of the first of each, and their counts."""
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    return cells[first], first, np.diff(first, append=len(cells))


def _features(
    points: np.ndarray,
    xyz: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    rows: np.ndarray,
    grid: BevGrid,
) -> np.ndarray:
    """Features of every point: once a point and not once a slot, since slots are more.

    Args:
        points: (P, 5) float32 in the LiDAR frame, sorted by pillar.
        xyz: (P, 3) float32, the same in the ego frame.
        cells, counts: (V,) cell and number of points of every pillar.
        rows: (V, S) point of every slot.
        grid: pillar grid.

    Returns:
        (P, 9) float32, as `build_pillars` names them.
    """
    centres = grid.centres().reshape(-1, 2)[cells].astype(np.float32)
    slots: int = rows.shape[1]
    used = np.minimum(counts, slots).astype(np.float32)
    is_used = np.arange(slots) < counts[:, None]
    mean_z = (xyz[:, 2].take(rows) * is_used).sum(1) / used
    features = np.empty((len(points), 9), np.float32)
    features[:, :2] = xyz[:, :2] / 10
    features[:, 2] = xyz[:, 2]
    features[:, 3] = points[:, 3] / 255
    features[:, 4] = points[:, 4]
    features[:, 5:7] = (xyz[:, :2] - np.repeat(centres, counts, 0)) / grid.cell
    features[:, 7] = xyz[:, 2] - np.repeat(mean_z, counts)
    features[:, 8] = np.repeat(np.log1p(used), counts)
    return features


def nearest_cells(cells: np.ndarray, grid: BevGrid, limit: int) -> np.ndarray:
    """(V,) bool: the pillars nearest to the ego; ties fall to the lower cell index."""
    distance = np.linalg.norm(grid.centres().reshape(-1, 2)[cells], axis=1)
    border = np.partition(distance, limit - 1)[limit - 1]
    is_kept = distance < border
    tied = np.flatnonzero(distance == border)
    is_kept[tied[: limit - np.count_nonzero(is_kept)]] = True
    return is_kept
