"""The yaw of a LiDAR against the vehicle's motion.

What stands still falls on itself when sweeps are laid over each other by odometry, but only where
the LiDAR looks where its pose says: one that is turned by an angle sees the vehicle drift aside by
that angle's share of the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.rig_check.motion import turned_about

LEAST_WAY, MOST_WAY = 3.0, 25.0  # metres between two sweeps that are compared
_ANGLES = np.arange(-9.0, 9.01, 1.0)  # degrees
_LOW, _HIGH = 0.4, 4.0  # metres over the ground, of what is compared
_REACH, _CELL = 40.0, 0.2  # metres
_MOST_PAIRS = 6
_MOST_POINTS = 4000


@dataclass(frozen=True)
class PlacedSweep:
    """One sweep.

    Attributes:
        points: (P, 3) in the ego frame at its stamp, motion within the sweep taken out.
        rest_from_ego: (4, 4).
    """

    points: np.ndarray
    rest_from_ego: np.ndarray


@dataclass(frozen=True)
class Turn:
    """The yaw at which sweeps fall on each other best.

    Attributes:
        degrees: to the left.
        gain: the agreement there as a share of that without a turn; 1 and more.
        pairs: of sweeps.
    """

    degrees: float
    gain: float
    pairs: int


def find_turn(sweeps: Sequence[PlacedSweep], lidar: np.ndarray) -> Turn | None:
    """Try angles; None where the vehicle did not move far enough.

    Args:
        sweeps: of one LiDAR.
        lidar: (3,) its place in the ego frame.
    """
    pairs = [
        (first, second)
        for first, second in combinations(sweeps, 2)
        if LEAST_WAY <= _way(first, second) <= MOST_WAY
    ]
    if not pairs:
        return None
    chosen = pairs[:: max(1, len(pairs) // _MOST_PAIRS)][:_MOST_PAIRS]
    scores = np.sum([_agreement(*pair, lidar) for pair in chosen], axis=0)
    best = int(scores.argmax())
    usual = float(scores[len(_ANGLES) // 2])
    return Turn(float(_ANGLES[best]), float(scores[best]) / max(usual, 1e-9), len(chosen))


def _way(first: PlacedSweep, second: PlacedSweep) -> float:
    return float(np.linalg.norm(first.rest_from_ego[:2, 3] - second.rest_from_ego[:2, 3]))


def _agreement(first: PlacedSweep, second: PlacedSweep, lidar: np.ndarray) -> np.ndarray:
    """(angles,) mean density of the first sweep where the second one has points."""
    first_from_second = inverse_rigid(first.rest_from_ego) @ second.rest_from_ego
    here, there = _standing(first.points), _standing(second.points)
    found = []
    for angle in np.deg2rad(_ANGLES):
        density = _density(turned_about(here, lidar, angle))
        moved = transform_points(first_from_second, turned_about(there, lidar, angle))
        found.append(_at(density, moved))
    return np.array(found)


def _standing(points: np.ndarray) -> np.ndarray:
    """Some of the points that stand over the ground and are near."""
    keep = (points[:, 2] > _LOW) & (points[:, 2] < _HIGH)
    keep &= np.hypot(points[:, 0], points[:, 1]) < _REACH
    kept = points[keep]
    return kept[:: max(1, len(kept) // _MOST_POINTS)]


def _cells(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index = np.floor((points[:, :2] + _REACH) / _CELL).astype(int)
    size = int(2 * _REACH / _CELL)
    inside = ((index >= 0) & (index < size)).all(axis=1)
    return index[inside, 1], index[inside, 0]


def _density(points: np.ndarray) -> np.ndarray:
    size = int(2 * _REACH / _CELL)
    image = np.zeros((size, size), np.float32)
    image[_cells(points)] = 1.0
    return cv2.GaussianBlur(image, (0, 0), 0.8)


def _at(density: np.ndarray, points: np.ndarray) -> float:
    rows, columns = _cells(points)
    return float(density[rows, columns].sum()) / max(1, len(points))
