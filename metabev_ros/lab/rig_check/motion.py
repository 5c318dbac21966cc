"""The vehicle's motion in a bag, and points moved by it from one time to another."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from metabev_ros.geometry import inverse_rigid, rotation_z
from metabev_ros.lab.rig_check.look import BagLook
from metabev_ros.sensing.pose_track import Pose, interpolate

_NEAR_NS = 200_000_000  # between two poses that are interpolated
_HALF_NS = 50_000_000  # around a time, of which the velocity is taken
STANDSTILL = np.zeros(3)


class Motion:
    """Poses of the ego frame in a frame at rest.

    Args:
        poses: (stamp in nanoseconds, pose), in any order.
    """

    def __init__(self, poses: list[tuple[int, Pose]]) -> None:
        known = dict(poses)
        self._stamps = sorted(known)
        self._poses = [known[stamp] for stamp in self._stamps]

    @property
    def is_known(self) -> bool:
        """Tell whether there is any."""
        return len(self._stamps) > 1

    def rest_from_ego(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) pose at a time; None outside of what is known."""
        place = bisect_left(self._stamps, stamp_ns)
        if place == len(self._stamps) or (place == 0 and self._stamps[0] != stamp_ns):
            return None
        if self._stamps[place] == stamp_ns:
            return self._poses[place].matrix()
        before, after = self._stamps[place - 1], self._stamps[place]
        if after - before > _NEAR_NS:
            return None
        share = (stamp_ns - before) / (after - before)
        return interpolate(self._poses[place - 1], self._poses[place], share).matrix()

    def twist(self, stamp_ns: int) -> np.ndarray | None:
        """(3,) forward and left velocity in m/s and yaw rate in rad/s around a time, or None.

        Close behind either end of what is known, that of the end.
        """
        if self.is_known:
            nearest = np.clip(
                stamp_ns, self._stamps[0] + _HALF_NS, max(self._stamps[-1] - _HALF_NS, 0)
            )
            stamp_ns = int(nearest) if abs(int(nearest) - stamp_ns) < _NEAR_NS else stamp_ns
        first = self.rest_from_ego(stamp_ns - _HALF_NS)
        last = self.rest_from_ego(stamp_ns + _HALF_NS)
        if first is None or last is None:
            return None
        step = inverse_rigid(first) @ last
        turn = np.arctan2(step[1, 0], step[0, 0])
        return np.array([step[0, 3], step[1, 3], turn]) / (2e-9 * _HALF_NS)


def find_motion(look: BagLook, odometry_topic: str, motion_frame: str, ego: str) -> Motion:
    """The motion that odometry tells; where there is none, that of the transform to the ego."""
    wanted = odometry_topic.lstrip('/')
    for topic, odometry in look.odometry.items():
        if wanted and topic.lstrip('/') == wanted and len(odometry.poses) > 1:
            return Motion(odometry.poses)
    link = look.links.get(ego)
    if link is not None and not link.is_static and motion_frame:
        return Motion(link.poses)
    return Motion([])


def carry(points: np.ndarray, seconds: np.ndarray | float, twist: np.ndarray) -> np.ndarray:
    """Points at rest, each seen at its own time, as the vehicle sees them at one time.

    Args:
        points: (P, 3) in the ego frame at their times.
        seconds: (P,) their times minus that time, within some tenths of a second.
        twist: (3,) of the vehicle, taken as constant.

    Returns:
        (P, 3) float64.
    """
    late = np.broadcast_to(np.asarray(seconds, np.float64), len(points))
    turn = twist[2] * late
    c, s = np.cos(turn), np.sin(turn)
    x = c * points[:, 0] - s * points[:, 1] + twist[0] * late
    y = s * points[:, 0] + c * points[:, 1] + twist[1] * late
    return np.stack([x, y, points[:, 2]], axis=1)


def turned_about(points: np.ndarray, centre: np.ndarray, yaw: float) -> np.ndarray:
    """(P, 3) points turned to the left about a vertical axis, radians."""
    return (points - centre) @ rotation_z(yaw).T + centre
