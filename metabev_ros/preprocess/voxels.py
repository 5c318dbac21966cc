"""Points -> voxels: hard voxelisation as in mmcv, and the sparse encoder's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid, transform_points
from metabev_ros.structures import Sweep

# Lower bound of z in VoxelNet's nuScenes configurations (LiDAR frame).
VOXELNET_Z_MIN = -5.0


@dataclass(frozen=True)
class Voxels:
    """Points of a sweep grouped by voxel.

    Attributes:
        coords: (V, 3) int32 z, y, x; voxels in the order in which points arrive.
        counts: (V,) int32 points kept, 1..max_points.
        points: (sum of counts,) int64 rows of the points kept, voxel by voxel, each in arrival
            order.
    """

    coords: np.ndarray
    counts: np.ndarray
    points: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """(V,) first entry of each voxel in `points`."""
        return np.cumsum(self.counts) - self.counts


def hard_voxelise(
    xyz: np.ndarray,
    origin: ArrayLike,
    voxel_size: ArrayLike,
    shape: tuple[int, int, int],
    max_points: int,
    max_voxels: int,
) -> Voxels:
    """Hard voxelisation, equal to mmcv's deterministic `hard_voxelize`, also in its rounding.

    A voxel is opened by the first point that falls into it and none is after `max_voxels`; a
    voxel takes its first `max_points` points.

    Args:
        xyz: (P, 3); used as float32, as mmcv does.
        origin: (3,) x, y, z of the grid's corner, metres.
        voxel_size: (3,) edges x, y, z, metres.
        shape: (Z, Y, X) voxels.
    """
    relative = xyz.astype(np.float32) - np.asarray(origin, np.float32)
    cell = np.floor(relative / np.asarray(voxel_size, np.float32))  # (P, 3) x y z
    inside = np.flatnonzero(((cell >= 0) & (cell < np.array(shape[::-1]))).all(1))
    x, y, z = cell[inside].astype(np.int64).T
    key = (z * shape[1] + y) * shape[2] + x
    order = np.argsort(key, kind='stable')
    opens = np.diff(key[order], prepend=-1) != 0
    first = order[opens]  # per voxel, by key
    number = np.empty(len(first), np.int64)  # by key -> by arrival
    number[np.argsort(first, kind='stable')] = np.arange(len(first))
    group = np.cumsum(opens) - 1
    slot = np.arange(len(order)) - np.flatnonzero(opens)[group]
    voxel = number[group]
    kept = (slot < max_points) & (voxel < max_voxels)
    by_arrival = np.argsort(voxel[kept], kind='stable')
    opener = np.sort(first)[:max_voxels]
    return Voxels(
        np.stack([z, y, x], 1)[opener].astype(np.int32),
        np.bincount(voxel[kept], minlength=len(opener)).astype(np.int32),
        inside[order[kept][by_arrival]],
    )


def build_voxels(sweep: Sweep, config: LidarBranchConfig, grid: BevGrid) -> dict[str, np.ndarray]:
    """One sweep (or several merged into one) as VoxelNet's encoder takes it.

    Values stay raw, as weights of mmdetection3d and BEVFusion expect them: metres, intensity
    0..255, seconds. Those weights know z in the LiDAR frame, from -5 m on, so z is given as if
    `config.z_min` were that.

    Args:
        sweep: points in the LiDAR frame.
        config: sizes; z limits in the ego frame.
        grid: voxel grid in the ego frame (`ModelConfig.voxel_grid`).

    Returns:
        `voxel_features` (V, 5) float32: mean x, y (ego, metres), z - z_min - 5 (metres),
        intensity 0..255, time lag (s) of the first `points_per_voxel` points. `voxel_coords`
        (V, 4) int32: batch (0), z, y, x, in rising order, y from the grid's y_max down
        (`config.sparse` says why). V >= 1: a sweep without a point in the grid gives one row of
        zeros with z = -1, a voxel that is nowhere.
    """
    points = sweep.points
    xyz = transform_points(sweep.ego_from_lidar, points[:, :3].astype(np.float64))
    voxels = hard_voxelise(
        xyz,
        (grid.x_min, grid.y_min, config.z_min),
        (grid.cell, grid.cell, config.voxel_height),
        (config.voxel_layers, grid.rows, grid.columns),
        config.points_per_voxel,
        config.max_voxels,
    )
    if not len(voxels.coords):
        return {
            'voxel_features': np.zeros((1, config.voxel_features), np.float32),
            'voxel_coords': np.array([[0, -1, 0, 0]], np.int32),
        }
    rows = np.concatenate([xyz, points[:, 3:5]], 1)[voxels.points]
    rows[:, 2] += VOXELNET_Z_MIN - config.z_min
    mean = np.add.reduceat(rows, voxels.starts) / voxels.counts[:, None]
    z, y, x = voxels.coords.T
    y = grid.rows - 1 - y
    # Neighbours in space lie near each other in memory: the gathers of the encoder are faster.
    order = np.lexsort((x, y, z))
    coords = np.stack([np.zeros_like(z), z, y, x], 1)
    return {
        'voxel_features': mean[order].astype(np.float32),
        'voxel_coords': np.ascontiguousarray(coords[order]),
    }
