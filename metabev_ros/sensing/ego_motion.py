"""The vehicle's own motion between two stamps, from odometry or TF."""

from __future__ import annotations

import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.geometry import inverse_rigid
from metabev_ros.sensing.messages import Odometry
from metabev_ros.sensing.pose_track import PoseTrack, read_pose
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.untrusted import header_stamp_ns


class EgoMotion:
    """Motion between the place of the vehicle at one stamp and that at another.

    Odometry where it covers both stamps, else TF.

    Args:
        motion_frame: the frame at rest that TF gives the vehicle's pose in, like `odom` or
            `map`; '' for none.
        tf: the tree that /tf goes into.
    """

    def __init__(self, ego_frame: str, motion_frame: str, tf: TfTree) -> None:
        self._ego, self._tf = ego_frame.lstrip('/'), tf
        self._odometry = PoseTrack()
        if motion_frame:
            tf.follow(motion_frame)

    @property
    def problem(self) -> str:
        """Say what was refused during the last second, in words; '' for nothing."""
        if self._odometry.problem:
            return f'odometry {self._odometry.problem}'
        return self._tf.motion_problem

    def clear(self) -> None:
        """Forget all odometry."""
        self._odometry = PoseTrack()

    def update_odometry(self, message: Odometry, latest_ns: int) -> None:
        """Take a nav_msgs/Odometry; its child frame must be the ego frame.

        Args:
            message: stamped at `latest_ns` at the latest.
            latest_ns: a little later than now.

        Raises:
            SensorDataError: 'stamp', 'transform', 'frame', or 'implausible' for a jump.
        """
        try:
            stamp_ns = self._check_header(message, latest_ns)
            pose = read_pose(message.pose.pose.position, message.pose.pose.orientation, 'Odometry')
        except SensorDataError as error:
            self._odometry.complain(error)
            raise
        self._odometry.add(stamp_ns, pose, 'Odometry')

    def _check_header(self, message: Odometry, latest_ns: int) -> int:
        """The stamp of a message that is of the vehicle and not from the future."""
        stamp_ns = header_stamp_ns(message.header)
        if stamp_ns > latest_ns:
            raise SensorDataError(
                'stamp',
                'Odometry',
                'a stamp that is not in the future',
                f'{(stamp_ns - latest_ns) / 1e9:.3f} s ahead',
            )
        child = str(message.child_frame_id).lstrip('/')
        if child != self._ego:
            raise SensorDataError('frame', 'Odometry.child_frame_id', self._ego, clean_text(child))
        return stamp_ns

    def motion(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        """(4, 4) float64 ego(target)_from_ego(source); None where it is not known.

        Up to 0.1 s past the newest pose the last motion is taken to go on. It is never known
        across a jump.
        """
        motion = self._from_odometry(target_ns, source_ns)
        return self._from_tf(target_ns, source_ns) if motion is None else motion

    def poses(self, stamp_ns: int) -> dict[str, np.ndarray]:
        """The vehicle's poses at a stamp: name of a frame at rest -> (4, 4) float64 rest_from_ego.

        Each source has frames of its own, another one behind each jump. What two stamps share
        leads from one to the other, as `motion` does, and later than that is kept: a name means
        the same until `clear`.
        """
        poses: dict[str, np.ndarray] = {}
        if (moving := self._odometry.moving(stamp_ns)) is not None:
            poses[f'odometry {moving[1]}'] = moving[0].matrix()
        if (placed := self._tf.motion_from_ego(stamp_ns)) is not None:
            poses[f'tf {placed[1]}'] = placed[0]
        return poses

    def _from_odometry(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        target, source = self._odometry.moving(target_ns), self._odometry.moving(source_ns)
        if target is None or source is None or target[1] != source[1]:
            return None
        return inverse_rigid(target[0].matrix()) @ source[0].matrix()

    def _from_tf(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        target = self._tf.motion_from_ego(target_ns)
        source = self._tf.motion_from_ego(source_ns)
        if target is None or source is None or target[1] != source[1]:
            return None
        return inverse_rigid(target[0]) @ source[0]
