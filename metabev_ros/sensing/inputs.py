"""Common part of the inputs of cameras and LiDARs: time, place and trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.calibration import fixed_pose
from metabev_ros.sensing.checks import Verdict
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.time_offset import TimeOffset
from metabev_ros.structures import SensorKind, SensorState

Data = TypeVar('Data')


@dataclass(frozen=True)
class Reading(Generic[Data]):
    """Data of a message that waits for its calibration.

    Attributes:
        verdict: on what is known of its content so far.
    """

    stamp_ns: int
    arrival_ns: int
    data: Data
    verdict: Verdict


class PlacementWatch:
    """Says when the calibration changes between two frames: applied, but not in silence."""

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def check(self, pose: np.ndarray, matrix: np.ndarray) -> str:
        """Compare with the last frame; the change in words, '' for none.

        Args:
            pose: (4, 4) ego_from_sensor; 2 cm or 0.2 degrees between two frames is a change, a
                smaller step the suspension of a mount with a dynamic transform.
            matrix: (3, 3) intrinsics.
        """
        last, self._last = self._last, (pose, matrix)
        if last is None:
            return ''
        moved = float(np.linalg.norm(pose[:3, 3] - last[0][:3, 3]))
        turned = float(np.linalg.norm(pose[:3, :3] - last[0][:3, :3])) / np.sqrt(2)
        if moved > 0.02 or turned > np.deg2rad(0.2):
            return f'extrinsics changed: {moved * 100:.0f} cm, {np.rad2deg(turned):.1f} deg'
        return 'intrinsics changed' if not np.array_equal(matrix, last[1]) else ''


class SensorInput(Generic[Data]):
    """Common part of a camera's and a LiDAR's input.

    Args:
        sensor: of the rig.
        kind: camera or LiDAR.
        pose: 16 numbers of the rig file that fix its pose; None for TF.
        config: limits.

    Attributes:
        monitor: the health of the sensor.
        frame: the frame that its messages must name.
        offset: what is added to its stamps.
        pending: the frame that waits for its calibration.
        changed: what changed in the calibration with the frame placed last; '' for nothing.
    """

    def __init__(
        self,
        sensor: CameraConfig | LidarConfig,
        kind: SensorKind,
        pose: tuple[float, ...] | None,
        config: SensingConfig,
    ) -> None:
        self.monitor = SensorMonitor(sensor.name, kind, sensor.rate_hz, config)
        self.frame = sensor.frame.lstrip('/')
        self.offset = TimeOffset(sensor.time_offset, sensor.estimate_time_offset)
        self.pending: Reading[Data] | None = None
        self.changed = ''
        where = f'rig.{sensor.name}.ego_from_{kind.value}'
        self._fixed_pose = None if pose is None else fixed_pose(where, pose)
        self._watch = PlacementWatch()

    def accept_content(self, reading: Reading[Data]) -> bool:
        """Let a sound frame pass (True); tell the monitor of any other."""
        self.pending = None
        verdict = reading.verdict
        if verdict.state not in (SensorState.INVALID, SensorState.FROZEN):
            return True
        self.monitor.bad(verdict.state, verdict.reason, reading.arrival_ns, reading.stamp_ns)
        return False

    def pose(self, tf: TfTree, stamp_ns: int, intrinsics: np.ndarray) -> np.ndarray:
        """(4, 4) ego_from_sensor, of the rig file where it gives one; note what changed.

        Raises:
            SensorDataError: 'transform'.
        """
        pose = self._fixed_pose
        if pose is None:
            pose = tf.ego_from(self.frame, stamp_ns)
        self.changed = self._watch.check(pose, intrinsics)
        return pose

    def flag(self, verdict: Verdict) -> Verdict:
        """The verdict on a frame, or what changed in its calibration where that is all."""
        if verdict.state is SensorState.OK and self.changed:
            return Verdict(SensorState.SUSPECT, self.changed)
        return verdict


def require_frame(found: str, expected: str, reason: str) -> None:
    """Refuse a message that names another frame than the rig file.

    Raises:
        SensorDataError: with that reason.
    """
    if found != expected:
        got = f'frame {found!r}' if reason == 'transform' else found
        raise SensorDataError(reason, 'header.frame_id', expected, got)
