"""Places of the sensors on the vehicle, and its motion between two stamps."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.geometry import (
    inverse_rigid,
    quaternion_to_rotation,
    rigid_transform,
    rotation_to_quaternion,
)
from metabev_ros.sensing.messages import Odometry, Quaternion, TFMessage, TransformStamped, Vector3
from metabev_ros.sensing.untrusted import header_stamp_ns

MAX_FRAMES = 1000
MAX_LEVER = 20.0  # metres from the ego origin to a sensor; more is a mistake
_DYNAMIC_AGE_NS = 500_000_000
_DYNAMIC_AHEAD_NS = 2_000_000_000  # a link stamped years ahead would never become too old
_EXTRAPOLATION_NS = 100_000_000


def _read_pose(translation: Vector3, rotation: Quaternion, where: str) -> np.ndarray:
    """(4, 4) of a Vector3/Point and a Quaternion.

    Raises:
        SensorDataError: 'transform'.
    """
    offset = np.array([translation.x, translation.y, translation.z], dtype=np.float64)
    try:
        with np.errstate(over='ignore'):  # 1e308 is refused in any case
            matrix = quaternion_to_rotation(rotation.x, rotation.y, rotation.z, rotation.w)
    except ConfigError as error:
        raise SensorDataError('transform', where, error.expected, error.got) from error
    if not (np.abs(offset) < 1e8).all():
        raise SensorDataError('transform', where, 'a finite translation', str(offset))
    return rigid_transform(matrix, offset)


class TfTree:
    """The newest transform of every frame to its parent, from /tf and /tf_static."""

    def __init__(self, ego_frame: str) -> None:
        self._ego = ego_frame.lstrip('/')
        # child: (parent, parent_from_child, stamp in ns or None when static)
        self._links: dict[str, tuple[str, np.ndarray, int | None]] = {}

    def update(self, message: TFMessage, static: bool) -> list[tuple[str, SensorDataError]]:
        """Take a tf2_msgs/TFMessage; a link that cannot be used keeps its last good value.

        Returns:
            (child frame, error) of every refused link.

        Raises:
            SensorDataError: 'transform' for more links at once than frames may be known.
        """
        if len(message.transforms) > MAX_FRAMES:
            raise SensorDataError(
                'transform',
                '/tf',
                f'at most {MAX_FRAMES} transforms',
                str(len(message.transforms)),
            )
        refused: list[tuple[str, SensorDataError]] = []
        for transform in message.transforms:
            child = str(transform.child_frame_id).lstrip('/')
            try:
                self._update_link(child, transform, static)
            except SensorDataError as error:
                refused.append((child, error))
        return refused

    def _update_link(self, child: str, transform: TransformStamped, static: bool) -> None:
        parent = str(transform.header.frame_id).lstrip('/')
        if not child or not parent or child == parent:
            raise SensorDataError(
                'transform',
                'TransformStamped',
                'two different frames',
                f'{clean_text(parent)} -> {clean_text(child)}',
            )
        if child not in self._links and len(self._links) >= MAX_FRAMES:
            raise SensorDataError('transform', '/tf', f'at most {MAX_FRAMES} frames', 'more')
        pose = _read_pose(
            transform.transform.translation,
            transform.transform.rotation,
            f'/tf {clean_text(parent)} -> {clean_text(child)}',
        )
        stamp = None if static else header_stamp_ns(transform.header)
        self._links[child] = (parent, pose, stamp)

    def clear_dynamic(self) -> None:
        """Forget /tf, keep /tf_static (a new epoch)."""
        self._links = {child: link for child, link in self._links.items() if link[2] is None}

    def ego_from(self, frame: str, stamp_ns: int) -> np.ndarray:
        """(4, 4) float64 ego_from_frame; dynamic links are taken as they are last known.

        Raises:
            SensorDataError: 'transform' if there is no chain, a dynamic link on it is 0.5 s
                older or 2 s newer than `stamp_ns`, or the sensor would be absurdly far away.
        """
        to_frame = self._chain(frame)
        to_ego = self._chain(self._ego)
        # The ego frame itself first: a wrong link above it must not lead around the right ones.
        common = next(
            (name for name in (self._ego, *to_frame) if name in to_ego and name in to_frame), None
        )
        if common is None:
            raise SensorDataError(
                'transform', '/tf', f'a chain {self._ego} -> {clean_text(frame)}', 'none'
            )
        pose = inverse_rigid(self._compose(to_ego, common, stamp_ns)) @ self._compose(
            to_frame, common, stamp_ns
        )
        if np.linalg.norm(pose[:3, 3]) > MAX_LEVER:
            raise SensorDataError(
                'transform',
                f'/tf {self._ego} -> {clean_text(frame)}',
                f'at most {MAX_LEVER:.0f} m',
                f'{np.linalg.norm(pose[:3, 3]):.1f} m',
            )
        return pose

    def _chain(self, frame: str) -> list[str]:
        """The frame and its ancestors, root last; stops where a cycle closes."""
        chain = [frame]
        while chain[-1] in self._links and self._links[chain[-1]][0] not in chain:
            chain.append(self._links[chain[-1]][0])
        return chain

    def _compose(self, chain: list[str], ancestor: str, stamp_ns: int) -> np.ndarray:
        """ancestor_from_frame of the chain's first frame."""
        pose = np.eye(4)
        for child in chain[: chain.index(ancestor)]:
            _, parent_from_child, stamp = self._links[child]
            if stamp is not None and not (
                -_DYNAMIC_AHEAD_NS <= stamp_ns - stamp <= _DYNAMIC_AGE_NS
            ):
                raise SensorDataError(
                    'transform',
                    f'/tf {clean_text(child)}',
                    'a transform newer than 0.5 s',
                    f'{(stamp_ns - stamp) / 1e9:.1f} s',
                )
            pose = parent_from_child @ pose
        return pose


class OdometryBuffer:
    """The last seconds of odom_from_ego, interpolated between messages."""

    def __init__(self, ego_frame: str) -> None:
        self._ego = ego_frame.lstrip('/')
        self._stamps: deque[int] = deque(maxlen=400)
        self._poses: deque[np.ndarray] = deque(maxlen=400)

    def clear(self) -> None:
        """Forget all poses."""
        self._stamps.clear()
        self._poses.clear()

    def update(self, message: Odometry, latest_ns: int) -> None:
        """Take a nav_msgs/Odometry; its child frame must be the ego frame.

        Args:
            message: stamped at `latest_ns` at the latest: one from the future would make all
                that follow look old.
            latest_ns: a little later than now.

        Raises:
            SensorDataError: 'stamp', 'transform' or 'frame'.
        """
        stamp = header_stamp_ns(message.header)
        if stamp > latest_ns:
            raise SensorDataError(
                'stamp',
                'Odometry',
                'a stamp that is not in the future',
                f'{(stamp - latest_ns) / 1e9:.3f} s ahead',
            )
        child = str(message.child_frame_id).lstrip('/')
        if child != self._ego:
            raise SensorDataError('frame', 'Odometry.child_frame_id', self._ego, clean_text(child))
        pose = _read_pose(message.pose.pose.position, message.pose.pose.orientation, 'Odometry')
        if self._stamps and stamp <= self._stamps[-1]:
            raise SensorDataError(
                'stamp', 'Odometry', f'a stamp after {self._stamps[-1]}', str(stamp)
            )
        self._stamps.append(stamp)
        self._poses.append(pose)

    def motion(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        """(4, 4) ego(target)_from_ego(source); None where odometry does not cover both stamps.

        Up to 0.1 s past the newest message the last motion is taken to go on.
        """
        target, source = self._pose_at(target_ns), self._pose_at(source_ns)
        if target is None or source is None:
            return None
        return inverse_rigid(target) @ source

    def _pose_at(self, stamp_ns: int) -> np.ndarray | None:
        if len(self._stamps) < 2 or stamp_ns < self._stamps[0]:
            return None
        if stamp_ns > self._stamps[-1] + _EXTRAPOLATION_NS:
            return None
        after = min(bisect_left(self._stamps, stamp_ns), len(self._stamps) - 1) or 1
        begin, end = self._stamps[after - 1], self._stamps[after]
        if end - begin > 10 * _EXTRAPOLATION_NS:
            return None  # a hole in the odometry
        return _interpolate(
            self._poses[after - 1], self._poses[after], (stamp_ns - begin) / (end - begin)
        )


def _interpolate(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Between two poses (share 0..1, a little beyond extrapolates): linear and slerp."""
    relative = rotation_to_quaternion(first[:3, :3].T @ second[:3, :3])
    half = np.arctan2(np.linalg.norm(relative[:3]), relative[3])
    axis = relative[:3] / max(np.linalg.norm(relative[:3]), 1e-12)
    x, y, z = axis * np.sin(half * share)
    turn = quaternion_to_rotation(x, y, z, np.cos(half * share))
    offset = first[:3, 3] + share * (second[:3, 3] - first[:3, 3])
    return rigid_transform(first[:3, :3] @ turn, offset)
