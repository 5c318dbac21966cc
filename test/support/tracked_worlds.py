"""Objects that move as one says, seen from a vehicle that moves, for the tests of tracking."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from metabev_ros.config import TrackingConfig
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality
from metabev_ros.tracking import Tracker
from metabev_ros.tracks import TrackedObjects, TrackState

T0 = 1_700_000_000_000_000_000
CAR, TRUCK, BARRIER, BICYCLE, PERSON = (
    DETECTION_CLASSES.index(name) for name in ('car', 'truck', 'barrier', 'bicycle', 'pedestrian')
)
SIZES = {CAR: (4.5, 1.9, 1.6), TRUCK: (7.0, 2.5, 3.0), PERSON: (0.7, 0.7, 1.8)}
STILL = rigid_transform(np.eye(3), [0, 0, 0])


def tracker(**limits) -> Tracker:
    """A tracker with these limits, else the default ones."""
    return Tracker(TrackingConfig(**limits), DETECTION_CLASSES)


def ns(seconds: float) -> int:
    """The stamp of a time."""
    return T0 + round(seconds * 1e9)


def boxes(*objects: tuple[float, float], label: int = CAR, velocity=(0.0, 0.0), yaw=0.0):
    """(M, 9) boxes of one class at x, y."""
    made = np.zeros((len(objects), 9), np.float32)
    for row, (x, y) in zip(made, objects, strict=True):
        row[:] = [x, y, 0.8, *SIZES.get(label, (2.0, 0.8, 1.5)), yaw, *velocity]
    return made


def found(*parts: np.ndarray, labels: Iterable[int] = (), scores: Iterable[float] = ()):
    """Detections of boxes; cars with a score of 0.8 by default."""
    joined = np.concatenate(parts) if parts else np.zeros((0, 9), np.float32)
    kinds = np.array(list(labels) or [CAR] * len(joined), np.int64)
    sure = np.array(list(scores) or [0.8] * len(joined), np.float32)
    return Detections(joined, sure, kinds)


def pose(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, frame: str = 'odometry 0'):
    """`ego_poses` of a vehicle there."""
    return {frame: rigid_transform(rotation_z(yaw), [x, y, 0.0])}


def from_vehicle(in_rest: np.ndarray, poses) -> np.ndarray:
    """(M, 9) boxes of the frame at rest as the vehicle sees them."""
    (rest_from_ego,) = poses.values()
    ego_from_rest = inverse_rigid(rest_from_ego)
    seen = in_rest.astype(np.float64)
    turn = ego_from_rest[:3, :3]
    seen[:, :3] = seen[:, :3] @ turn.T + ego_from_rest[:3, 3]
    seen[:, 6] += np.arctan2(turn[1, 0], turn[0, 0])
    seen[:, 7:9] = seen[:, 7:9] @ turn[:2, :2].T
    return seen.astype(np.float32)


def follow(
    following: Tracker, path, until: float, since: float = 0.0, period: float = 0.1, poses=None
) -> TrackedObjects:
    """Show a tracker `path(t)` with a LiDAR from `since` until before `until`; the last tracks."""
    told = None
    for step in range(round(since / period), round(until / period)):
        t = step * period
        told = following.look(ns(t), path(t), Modality.LIDAR, poses or pose())
    assert told is not None
    return told


def ids(told: TrackedObjects, state: TrackState | None = None) -> list[int]:
    """Identities, of one state or all."""
    return [track.id for track in told.tracks if state is None or track.state is state]
