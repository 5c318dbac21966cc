"""Tables and pillars as they were made before a moving vehicle was the normal case.

Kept for `ego_motion.py`, which measures beside them: the tables sort points instead of runs, the
pillars are filled slot by slot. Both give what the product gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.config import LidarBranchConfig, ModelConfig
from metabev_ros.geometry import BevGrid, transform_points
from metabev_ros.preprocess.lift_splat import HEIGHT_RANGE, Tables
from metabev_ros.structures import CameraCalibration, Sweep


class TablesBefore:
    """`LiftSplatTables` by points, without a cache: a moving vehicle never meets one."""

    def __init__(self, config: ModelConfig) -> None:
        self._config, self._grid = config.camera, config.splat_grid

    def __call__(self, calibrations: Sequence[CameraCalibration]) -> Tables:
        return self._build(np.concatenate([self.view_cells(c) for c in calibrations]))

    def view_cells(self, calibration: CameraCalibration) -> np.ndarray:
        """(D h w) int32 BEV cell of every lifted point of one view, -1 outside."""
        config = self._config
        h, w = config.feature_shape
        u = (np.arange(w) + 0.5) * config.stride - 0.5
        v = (np.arange(h) + 0.5) * config.stride - 0.5
        depth = config.depth_min + (np.arange(config.depth_bins) + 0.5) * config.depth_step
        rays = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
        rays = np.concatenate([rays, np.ones((len(rays), 1))], 1)
        ego_from_pixel = calibration.ego_from_camera[:3, :3] @ np.linalg.inv(
            calibration.intrinsics
        )
        xyz = depth[:, None, None] * (rays @ ego_from_pixel.T)
        xyz += calibration.ego_from_camera[:3, 3]
        cells = self._grid.cell_index(xyz[..., :2])
        low, high = HEIGHT_RANGE
        cells[(xyz[..., 2] < low) | (xyz[..., 2] > high)] = -1
        return cells.reshape(-1)

    def _build(self, cells: np.ndarray) -> Tables:
        h, w = self._config.feature_shape
        entries, per_view = self._config.splat_row, self._config.depth_bins * h * w
        grid_cells = self._grid.rows * self._grid.columns
        points = np.flatnonzero(cells >= 0)
        points = points[_stable_order(cells[points])].astype(np.int32)
        counts = np.bincount(cells[cells >= 0], minlength=grid_cells)
        active = np.flatnonzero(counts)
        counts = counts[active]
        rows_of = -(-counts // entries)
        row0 = np.cumsum(rows_of) - rows_of
        rows = max(int(rows_of.sum()), 1)
        place = np.arange(len(points)) + np.repeat(
            row0 * entries - (np.cumsum(counts) - counts), counts
        )
        depth_table = np.full(rows * entries, len(cells), np.int32)
        pixel_table = np.zeros(rows * entries, np.int32)
        depth_table[place] = points
        pixel_table[place] = points // per_view * (h * w) + points % (h * w)
        width = int(rows_of.max(initial=1))
        slot = np.arange(width)
        cell_table = np.where(slot < rows_of[:, None], row0[:, None] + slot, rows)
        grid_table = np.full(grid_cells, len(active), np.int32)
        grid_table[active] = np.arange(len(active), dtype=np.int32)
        return {
            'depth_table': depth_table.reshape(rows, entries),
            'pixel_table': pixel_table.reshape(rows, entries),
            'cell_table': cell_table.astype(np.int32).reshape(-1, width),
            'grid_table': grid_table,
        }


def _stable_order(cells: np.ndarray) -> np.ndarray:
    order = np.argsort(cells.astype(np.uint16), kind='stable')
    high = (cells >> 16).astype(np.uint16)
    return order[np.argsort(high[order], kind='stable')] if high.any() else order


def pillars_before(
    sweep: Sweep, config: LidarBranchConfig, grid: BevGrid
) -> dict[str, np.ndarray]:
    """`build_pillars` slot by slot, for a sweep that has points on the grid."""
    points = sweep.points
    xyz = transform_points(sweep.ego_from_lidar, points[:, :3].astype(np.float64))
    cell = grid.cell_index(xyz[:, :2])
    keep = np.flatnonzero((cell >= 0) & (xyz[:, 2] > config.z_min) & (xyz[:, 2] < config.z_max))
    order = keep[np.argsort(cell[keep], kind='stable')]
    cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    if len(cells) > config.max_pillars:
        distance = np.linalg.norm(grid.centres().reshape(-1, 2)[cells], axis=1)
        nearest = np.sort(np.argsort(distance, kind='stable')[: config.max_pillars])
        cells, first, counts = cells[nearest], first[nearest], counts[nearest]
    slot = np.arange(config.points_per_pillar)
    rows = first[:, None] + np.where(slot < counts[:, None], slot, 0)
    chosen = order[rows]
    xyz, rest = xyz[chosen].astype(np.float32), points[chosen, 3:5]
    centres = grid.centres().reshape(-1, 2)[cells].astype(np.float32)
    used = np.minimum(counts, config.points_per_pillar).astype(np.float32)
    mean_z = (xyz[..., 2] * (slot < counts[:, None])).sum(1) / used
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
