"""Points -> pillars and the table that puts them on the grid."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid, transform_points
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
    order = keep[np.argsort(cell[keep], kind='stable')]
    cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    if len(cells) > config.max_pillars:
        cells, first, counts = _nearest(cells, first, counts, grid, config.max_pillars)
    slot = np.arange(config.points_per_pillar)
    rows = first[:, None] + np.where(slot < counts[:, None], slot, 0)  # (V, S) into `order`
    chosen = order[rows]
    xyz, rest = xyz[chosen].astype(np.float32), points[chosen, 3:5]
    centres = grid.centres().reshape(-1, 2)[cells].astype(np.float32)
    used = np.minimum(counts, config.points_per_pillar).astype(np.float32)
    valid = slot < counts[:, None]
    mean_z = (xyz[..., 2] * valid).sum(1) / used
    pillars = np.empty((*chosen.shape, config.pillar_features), np.float32)
    pillars[..., :2] = xyz[..., :2] / 10
    pillars[..., 2] = xyz[..., 2]
    pillars[..., 3] = rest[..., 0] / 255
    pillars[..., 4] = rest[..., 1]
    pillars[..., 5:7] = (xyz[..., :2] - centres[:, None]) / grid.cell
    pillars[..., 7] = xyz[..., 2] - mean_z[:, None]
    pillars[..., 8] = np.log1p(used)[:, None]
    table = np.full(grid.rows * grid.columns, len(cells), np.int32)
    table[cells] = np.arange(len(cells), dtype=np.int32)
    return {'pillars': pillars, 'pillar_table': table}


def _nearest(
    cells: np.ndarray, first: np.ndarray, counts: np.ndarray, grid: BevGrid, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the pillars nearest to the ego; ties fall to the lower cell index."""
    distance = np.linalg.norm(grid.centres().reshape(-1, 2)[cells], axis=1)
    keep = np.sort(np.argsort(distance, kind='stable')[:limit])
    return cells[keep], first[keep], counts[keep]
