"""Cells of the map that the sensors of a sample looked at.

A cell is seen where its middle on the ground (z = 0 of the ego frame) lies

- in the picture of a camera of the sample, no further away than the model's camera features reach;
- or nearer than some return of the LiDARs in the same degree of azimuth about the ego: beams went
  there. A sector without returns, and what lies behind the last one, were not seen.

What hides a place from a camera is not known; what a network says of a place nobody looked at is a
guess from its surroundings.
"""

from __future__ import annotations

import numpy as np

from metabev_ros.geometry import BevGrid, inverse_rigid, transform_points
from metabev_ros.structures import CameraCalibration, Sample, Sweep

SECTORS = 360
NEAR = 0.1  # metres before a camera's optical centre


def seen_cells(sample: Sample, grid: BevGrid, camera_reach: float) -> np.ndarray:
    """(Y, X) bool: the cells that the sensors of a sample's modality looked at.

    Args:
        camera_reach: metres from a camera, along its optical axis.
    """
    seen = np.zeros(grid.shape, bool)
    if sample.modality.has_camera:
        for image in sample.cameras.values():
            if image is not None:
                seen |= _in_picture(image.calibration, grid, camera_reach)
    if sample.modality.has_lidar and sample.sweep is not None:
        seen |= _within_returns(sample.sweep, grid)
    return seen


def _in_picture(calibration: CameraCalibration, grid: BevGrid, reach: float) -> np.ndarray:
    """(Y, X) bool: middles of cells that a camera shows; by the plane's homography."""
    camera_from_ego = inverse_rigid(calibration.ego_from_camera)
    ground = camera_from_ego[:3, [0, 1, 3]]  # of (x, y, 1) with z = 0
    middles = grid.centres()
    x, y = middles[0, :, 0], middles[:, 0, 1]

    def plane(row: np.ndarray) -> np.ndarray:
        return row[0] * x[None, :] + row[1] * y[:, None] + row[2]

    u, v, depth = (plane(row) for row in (*(calibration.intrinsics @ ground)[:2], ground[2]))
    # Middles of pixels are whole numbers: a picture begins half a pixel before the first one.
    right, low = calibration.width - 0.5, calibration.height - 0.5
    in_front = (depth >= NEAR) & (depth <= reach)
    inside = (u >= -0.5 * depth) & (u <= right * depth) & (v >= -0.5 * depth) & (v <= low * depth)
    return in_front & inside


def _within_returns(sweep: Sweep, grid: BevGrid) -> np.ndarray:
    """(Y, X) bool: middles of cells no further away than the furthest return of their degree."""
    points = transform_points(sweep.ego_from_lidar, sweep.points[:, :3].astype(np.float64))
    furthest = np.zeros(SECTORS)
    np.maximum.at(furthest, _sector(points[:, :2]), np.hypot(points[:, 0], points[:, 1]))
    middles = grid.centres()
    return np.hypot(middles[..., 0], middles[..., 1]) <= furthest[_sector(middles)]


def _sector(xy: np.ndarray) -> np.ndarray:
    """(...) int64 degree of azimuth of (..., 2) metres."""
    turn = np.arctan2(xy[..., 1], xy[..., 0]) * (SECTORS / (2 * np.pi))
    return np.floor(turn).astype(np.int64) % SECTORS
