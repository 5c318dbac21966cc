"""The ground as a LiDAR sees it, in the ego frame: what roll, pitch and height should be zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR, FAR = 3.0, 25.0  # metres from the LiDAR, level
STEEPEST = 25.0  # degrees from the horizontal, of what may be the ground
_THICK = 0.12  # metres, of what lies in a plane
_TRIALS, _POINTS = 400, 5000
_LEAST_SHARE = 0.15  # of the points, in a plane that counts


@dataclass(frozen=True)
class Ground:
    """A plane that most of what is near lies in.

    Attributes:
        tilt: degrees between its normal and the ego's z axis.
        roll, pitch: degrees by which the points are turned about x and y, where it is level.
        height: metres of the plane over the ego frame's origin.
        at_lidar: metres of the plane over the ego frame below, or above, the LiDAR.
        below: share of all points that lie more than half a metre below the LiDAR, 0..1.
    """

    tilt: float
    roll: float
    pitch: float
    height: float
    at_lidar: float
    below: float


def find_ground(points: np.ndarray, lidar: np.ndarray) -> Ground | None:
    """Fit the largest plane that is about level (RANSAC, Fischler and Bolles 1981).

    Args:
        points: (P, 3) in the ego frame, metres.
        lidar: (3,) place of the LiDAR.

    Returns:
        The plane; None where no plane holds enough of the points.
    """
    away = np.hypot(points[:, 0] - lidar[0], points[:, 1] - lidar[1])
    near = points[(away > NEAR) & (away < FAR)].astype(np.float64)
    if len(near) < 200:
        return None
    rng = np.random.default_rng(0)  # the same bag gives the same answer
    near = near[rng.permutation(len(near))[:_POINTS]]
    normal, offset, share = _largest_plane(near, rng)
    if share < _LEAST_SHARE:
        return None
    height = offset / normal[2]
    at_lidar = (offset - normal[:2] @ lidar[:2]) / normal[2]
    return Ground(
        float(np.rad2deg(np.arccos(min(1.0, normal[2])))),
        float(np.rad2deg(np.arctan2(-normal[1], normal[2]))),
        float(np.rad2deg(np.arctan2(normal[0], normal[2]))),
        float(height),
        float(at_lidar),
        float((points[:, 2] < lidar[2] - 0.5).mean()),
    )


def _largest_plane(
    points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float, float]:
    """Unit normal that points up, its product with a point of the plane, share of the points."""
    chosen = points[rng.integers(0, len(points), (_TRIALS, 3))]
    normals = np.cross(chosen[:, 1] - chosen[:, 0], chosen[:, 2] - chosen[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals[length > 0] /= length[length > 0, None]
    normals *= np.where(normals[:, 2] < 0, -1.0, 1.0)[:, None]
    level = normals[:, 2] > np.cos(np.deg2rad(STEEPEST))
    if not level.any():
        return np.array([0.0, 0.0, 1.0]), 0.0, 0.0
    normals, offsets = normals[level], (normals * chosen[:, 0]).sum(axis=1)[level]
    counts = (np.abs(points @ normals.T - offsets) < _THICK).sum(axis=0)
    best = int(counts.argmax())
    inside = points[np.abs(points @ normals[best] - offsets[best]) < _THICK]
    centre = inside.mean(axis=0)
    normal = np.linalg.svd(inside - centre, full_matrices=False)[2][2]
    normal = normal if normal[2] > 0 else -normal
    return normal, float(normal @ centre), float(counts[best] / len(points))
