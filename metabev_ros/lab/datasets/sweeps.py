"""Several sweeps of a drive as one, made by the functions that make them on the vehicle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from metabev_ros.lab.datasets.synthetic import DriveFrame
from metabev_ros.lab.datasets.synthetic.bag_messages import odometry
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.sweeps import SweepHistory, points_in_ego
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.structures import Sweep

_EGO = 'base_link'


class Frames(Protocol):
    """Frames of a drive by their index."""

    def __getitem__(self, index: int, /) -> DriveFrame: ...


def frames_before(drive: Frames, index: int, sweeps: int) -> list[DriveFrame]:
    """The frames whose sweeps a sample at `index` holds, oldest first; fewer at the start."""
    return [drive[k] for k in range(max(0, index - sweeps + 1), index + 1)]


def merged_sweep(frames: Sequence[DriveFrame], sweeps: int) -> Sweep:
    """The sweep of the last frame, with those before it moved to where the vehicle is then.

    The motion comes from odometry messages, as those of the drive's bag.

    Args:
        frames: oldest first, at least one.
        sweeps: of the model; one gives the sweep as it was measured.
    """
    newest = frames[-1]
    if sweeps == 1:
        return Sweep(newest.stamp_ns, newest.points, newest.ego_from_lidar)
    motion, history = EgoMotion(_EGO, '', TfTree(_EGO)), SweepHistory(sweeps)
    for frame in frames[-sweeps:]:
        stamp_ns = frame.stamp_ns
        motion.update_odometry(
            odometry(stamp_ns, frame.odom_from_ego, frame.ego_velocity), stamp_ns
        )
        seconds = np.zeros(len(frame.points), np.float32)
        points, _ = points_in_ego(
            frame.points, seconds, stamp_ns, frame.ego_from_lidar, motion.motion
        )
        history.add(stamp_ns, points)
    return Sweep(newest.stamp_ns, history.merged(newest.stamp_ns, motion.motion)[0], np.eye(4))
