"""Places of the frames of a whole bag at any of its stamps, for labels.

The front end knows the last two seconds and what has come until now. Labels are made when the
drive is over: here poses lie on both sides of a stamp and are interpolated.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import inverse_rigid
from metabev_ros.sensing.messages import Odometry, TFMessage
from metabev_ros.sensing.pose_track import (
    EXTRAPOLATION_NS,
    MAX_SPEED,
    Pose,
    interpolate,
    read_pose,
)
from metabev_ros.sensing.untrusted import header_stamp_ns

STILL_NS = 1_000_000  # this close in time nothing has moved
MAX_FRAMES = 1000
MAX_POSES = 4_000_000  # of all frames together; a quarter of a gigabyte
_HOLE_NS = 1_000_000_000  # nothing is known between two poses farther apart
_NOISE_METRES = 0.5
_MAX_CHAIN = 32
_MAX_NAME = 256
_STANDING_FRAMES = ('odom', 'map')  # of REP 105


class PoseLog:
    """All poses of one frame in another."""

    def __init__(self) -> None:
        self._stamps, self._numbers = array('q'), array('d')
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Take a pose; one at a stamp that is known already is passed over."""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            if stamp_ns == self._stamps[-1]:
                return
            self._is_sorted = False
        self._stamps.append(stamp_ns)
        self._numbers.extend(pose)

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) float64 parent_from_child; None where it is not known.

        Up to 0.1 s beyond the ends the motion there is taken to go on.
        """
        self._sort()
        stamps, count = self._stamps, len(self._stamps)
        after = bisect_left(stamps, stamp_ns)
        near = [index for index in (after - 1, after) if 0 <= index < count]
        if not near:
            return None
        nearest = min(near, key=lambda index: abs(stamps[index] - stamp_ns))
        away = abs(stamps[nearest] - stamp_ns)
        held = self._pose(nearest).matrix() if away <= STILL_NS else None
        if away == 0 or count == 1:
            return held
        second = min(max(after, 1), count - 1)
        start, end = self._pose(second - 1), self._pose(second)
        apart = stamps[second] - stamps[second - 1]
        metres = float(np.linalg.norm(np.subtract(start[:3], end[:3])))
        is_jump = metres > MAX_SPEED * apart / 1e9 + _NOISE_METRES
        is_beyond = len(near) == 1 and away > EXTRAPOLATION_NS
        if is_jump or is_beyond or apart > _HOLE_NS:
            return held
        return interpolate(start, end, (stamp_ns - stamps[second - 1]) / apart).matrix()

    def _pose(self, index: int) -> Pose:
        return Pose(*self._numbers[7 * index : 7 * index + 7])

    def _sort(self) -> None:
        if self._is_sorted:
            return
        stamps = np.array(self._stamps)
        _, order = np.unique(stamps, return_index=True)
        numbers = np.array(self._numbers).reshape(-1, 7)[order]
        self._stamps = array('q', stamps[order].tolist())
        self._numbers = array('d', numbers.reshape(-1).tolist())
        self._is_sorted = True


class FrameLog:
    """The frames of a bag: TF, odometry, and where the rig file says that sensors sit.

    Args:
        rig: gives the ego frame, and the fixed poses of sensors, which count before TF.

    Attributes:
        refused: messages or links that cannot be used.
        truth: poses of the ego frame that are not measured; they count before odometry.
    """

    def __init__(self, rig: RigConfig) -> None:
        self._rig, self._ego = rig, rig.ego_frame.lstrip('/')
        self._fixed: dict[str, tuple[str, np.ndarray]] = {}
        self._logs: dict[str, tuple[str, PoseLog]] = {}
        self._odometry: tuple[str, PoseLog] | None = None
        self._count, self.refused = 0, 0
        self.truth = PoseLog()
        self._rig_poses = {
            camera.frame.lstrip('/'): np.array(camera.ego_from_camera).reshape(4, 4)
            for camera in rig.cameras
            if camera.ego_from_camera is not None
        } | {
            lidar.frame.lstrip('/'): np.array(lidar.ego_from_lidar).reshape(4, 4)
            for lidar in rig.lidars
            if lidar.ego_from_lidar is not None
        }

    @property
    def ego_frame(self) -> str:
        """Name of the ego frame, without a slash before it."""
        return self._ego

    # ---------------------------------------------------------------------------------- taking
    def add_tf(self, message: TFMessage, is_static: bool) -> None:
        """Take a tf2_msgs/TFMessage; links that cannot be used are counted."""
        for link in message.transforms[:MAX_FRAMES]:
            child = str(link.child_frame_id).lstrip('/')
            parent = str(link.header.frame_id).lstrip('/')
            try:
                pose = read_pose(link.transform.translation, link.transform.rotation, '/tf')
                stamp_ns = 0 if is_static else header_stamp_ns(link.header)
                self._require_room(child, parent)
            except SensorDataError:
                self.refused += 1
                continue
            if is_static:
                self._fixed[child] = parent, pose.matrix()
                continue
            known = self._logs.get(child)
            if known is None or known[0] != parent:
                known = self._logs[child] = parent, PoseLog()
            known[1].add(stamp_ns, pose)

    def _require_room(self, child: str, parent: str) -> None:
        """Refuse links that say nothing, and more of them than memory holds.

        Raises:
            SensorDataError
        """
        is_name = 0 < len(child) <= _MAX_NAME and 0 < len(parent) <= _MAX_NAME
        is_full = len(self._fixed) + len(self._logs) >= MAX_FRAMES or self._count >= MAX_POSES
        if child == parent or not is_name or is_full:
            raise SensorDataError('transform', '/tf', 'a link, and room for it', child[:64])
        self._count += 1

    def add_odometry(self, message: Odometry, is_truth: bool = False) -> None:
        """Take a nav_msgs/Odometry of the ego frame; others are counted."""
        try:
            stamp_ns = header_stamp_ns(message.header)
            pose = read_pose(message.pose.pose.position, message.pose.pose.orientation, 'Odometry')
        except SensorDataError:
            self.refused += 1
            return
        frame, child = (str(n).lstrip('/') for n in (message.header.frame_id,
                                                     message.child_frame_id))  # fmt: skip
        if child != self._ego or self._count >= MAX_POSES:
            self.refused += 1
            return
        self._count += 1
        if is_truth:
            self.truth.add(stamp_ns, pose)
            return
        if self._odometry is None or self._odometry[0] != frame:
            self._odometry = frame, PoseLog()
        self._odometry[1].add(stamp_ns, pose)

    # ---------------------------------------------------------------------------------- asking
    def ego_from(self, frame: str, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) float64 ego_from_frame at a stamp; None where it is not known."""
        frame = frame.lstrip('/')
        if frame in self._rig_poses:
            return self._rig_poses[frame]
        up, down = self._chain(frame), self._chain(self._ego)
        common = next((name for name in up if name in down), None)
        if common is None:
            return self._ego_from_odometry(up, stamp_ns)
        from_frame = self._compose(up[: up.index(common)], stamp_ns)
        from_ego = self._compose(down[: down.index(common)], stamp_ns)
        if from_frame is None or from_ego is None:
            return None
        return inverse_rigid(from_ego) @ from_frame

    def _ego_from_odometry(self, up: list[str], stamp_ns: int) -> np.ndarray | None:
        """The same where odometry and TF tell of different frames above the vehicle."""
        if self._odometry is None or self._odometry[0] not in up:
            return None
        odom_from_ego = self._odometry[1].at(stamp_ns)
        odom_from_frame = self._compose(up[: up.index(self._odometry[0])], stamp_ns)
        if odom_from_ego is None or odom_from_frame is None:
            return None
        return inverse_rigid(odom_from_ego) @ odom_from_frame

    def world_from_ego(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) float64 pose in a frame that stands still; None where it is not known.

        One frame for the whole bag: that of poses that are not measured, else of odometry, else
        the rig's motion frame, else `odom` or `map` of TF.
        """
        if len(self.truth):
            return self.truth.at(stamp_ns)
        if self._odometry is not None:
            return self._odometry[1].at(stamp_ns)
        chain = self._chain(self._ego)
        for name in (self._rig.motion_frame.lstrip('/'), *_STANDING_FRAMES):
            if name in chain:
                return self._compose(chain[: chain.index(name)], stamp_ns)
        return None

    def motion(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        """(4, 4) float64 ego(target)_from_ego(source); None where it is not known."""
        if abs(target_ns - source_ns) <= STILL_NS:
            return np.eye(4)
        target, source = self.world_from_ego(target_ns), self.world_from_ego(source_ns)
        if target is None or source is None:
            return None
        return inverse_rigid(target) @ source

    def _link(self, child: str) -> tuple[str, np.ndarray | PoseLog] | None:
        found = self._fixed.get(child) or self._logs.get(child)
        if found is None and child == self._ego:
            return self._odometry
        return found

    def _chain(self, frame: str) -> list[str]:
        """The frame and its ancestors; stops where a cycle closes."""
        chain = [frame]
        while (link := self._link(chain[-1])) and link[0] not in chain:
            chain.append(link[0])
            if len(chain) > _MAX_CHAIN:
                break
        return chain

    def _compose(self, path: Iterable[str], stamp_ns: int) -> np.ndarray | None:
        """ancestor_from_frame of the links from a frame up."""
        pose = np.eye(4)
        for child in path:
            link = self._link(child)
            step = None if link is None else link[1]
            step = step.at(stamp_ns) if isinstance(step, PoseLog) else step
            if step is None:
                return None
            pose = step @ pose
        return pose
