"""One camera and one LiDAR: the steps from a message to a checked, placed frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, SensingConfig
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.calibration import (
    Intrinsics,
    fixed_calibration,
    fixed_pose,
    read_camera_info,
)
from metabev_ros.sensing.checks import GOOD, CloudCheck, ImageCheck, Verdict, limit_points
from metabev_ros.sensing.decoding import compressed_size, decode_compressed_image, decode_image
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.messages import CameraInfo, PointCloud2
from metabev_ros.sensing.point_clouds import decode_point_cloud
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.untrusted import byte_view, read_frame
from metabev_ros.structures import CameraCalibration, CameraImage, SensorKind, SensorState, Sweep

PrepareImage = Callable[[np.ndarray, CameraCalibration], tuple[np.ndarray, CameraCalibration]]


@dataclass(frozen=True)
class Reading:
    """Decoded data that waits for its calibration.

    Attributes:
        data: (H, W, 3) uint8 RGB or (P, 5) float32 points.
        size: (width, height) of the image before reduced decoding; (0, 0) for a cloud.
    """

    stamp_ns: int
    arrival_ns: int
    data: np.ndarray
    size: tuple[int, int]
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


class SensorInput:
    """Common part of a camera's and a LiDAR's input.

    Attributes:
        monitor: the health of the sensor.
        frame: the frame that its messages must name.
        pending: the frame that waits for its calibration.
        changed: what changed in the calibration with the frame placed last; '' for nothing.
    """

    def __init__(self, monitor: SensorMonitor, frame: str, fixed_pose: np.ndarray | None) -> None:
        self.monitor, self.frame = monitor, frame.lstrip('/')
        self.pending: Reading | None = None
        self.changed = ''
        self._fixed_pose = fixed_pose
        self._watch = PlacementWatch()

    def accept_content(self, reading: Reading) -> bool:
        """Let a sound frame pass (True); tell the monitor of any other."""
        self.pending = None
        verdict = reading.verdict
        if verdict.state not in (SensorState.INVALID, SensorState.FROZEN):
            return True
        self.monitor.bad(verdict.state, verdict.reason, reading.arrival_ns, reading.stamp_ns)
        return False

    def admit(self, reading: Reading, now_ns: int, is_needed: bool) -> bool:
        """Tell the monitor of a good frame; False while its sensor is not trusted again.

        Args:
            is_needed: see `SensorMonitor.good`.
        """
        verdict = reading.verdict
        if verdict is GOOD and self.changed:
            verdict = Verdict(SensorState.SUSPECT, self.changed)
        return self.monitor.good(reading.stamp_ns, now_ns, verdict, is_needed)

    def _pose(self, tf: TfTree, stamp_ns: int, intrinsics: np.ndarray) -> np.ndarray:
        """(4, 4) ego_from_sensor, of the rig file where it gives one; note what changed.

        Raises:
            SensorDataError: 'transform'.
        """
        pose = self._fixed_pose
        if pose is None:
            pose = tf.ego_from(self.frame, stamp_ns)
        self.changed = self._watch.check(pose, intrinsics)
        return pose


class CameraInput(SensorInput):
    """Decoding, content checks, calibration and preparation of one camera's images."""

    def __init__(
        self, camera: CameraConfig, config: SensingConfig, prepare_image: PrepareImage, reduce: int
    ) -> None:
        intrinsics, pose = fixed_calibration(camera) or (None, None)
        monitor = SensorMonitor(camera.name, SensorKind.CAMERA, camera.rate_hz, config)
        super().__init__(monitor, camera.frame, pose)
        self._compressed = camera.topic.endswith('compressed')
        self._rectified = 'image_rect' in camera.topic
        self._reduce = reduce if self._compressed else 1
        self._prepare_image = prepare_image
        self._check = ImageCheck(config.frozen_frames)
        self._intrinsics: Intrinsics | None = intrinsics
        self._problem = 'no CameraInfo'

    def read_info(self, message: CameraInfo) -> None:
        """Take a CameraInfo; one that is wrong makes the camera uncalibrated.

        Raises:
            SensorDataError: 'calibration'.
        """
        try:
            self._intrinsics = read_camera_info(message, self._rectified)
        except SensorDataError as error:
            self._intrinsics, self._problem = None, error.got
            raise

    def decode(self, message: Any) -> tuple[np.ndarray, tuple[int, int]]:
        """(H, W, 3) uint8 RGB, and (width, height) of the image before reduced decoding.

        Raises:
            SensorDataError: what `decoding` raises, 'frame', or 'calibration' for a compressed
                picture of another size than that of its CameraInfo.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError('frame', 'header.frame_id', self.frame, clean_text(frame))
        if self._compressed and self._intrinsics is not None:
            # A file of a few bytes may hold 32 million pixels: not before they are decoded.
            self._intrinsics.for_size(*compressed_size(byte_view(message.data, 'data')))
        if self._compressed:
            return decode_compressed_image(message, self._reduce)
        pixels = decode_image(message)
        return pixels, (pixels.shape[1], pixels.shape[0])

    def check(self, pixels: np.ndarray) -> Verdict:
        """Judge the camera by the content of its picture."""
        return self._check.check(pixels)

    def place(self, reading: Reading, tf: TfTree) -> CameraCalibration:
        """Find the camera on the vehicle: the calibration of the whole picture.

        Raises:
            SensorDataError: 'calibration' or 'transform'.
        """
        if self._intrinsics is None:
            raise SensorDataError('calibration', 'CameraInfo', 'a usable one', self._problem)
        intrinsics = self._intrinsics.for_size(*reading.size)
        if self._reduce == 2:
            intrinsics = intrinsics.halved()
        pose = self._pose(tf, reading.stamp_ns, intrinsics.matrix)
        return CameraCalibration(
            intrinsics.width, intrinsics.height, intrinsics.matrix, pose, intrinsics.distortion
        )

    def prepare(self, reading: Reading, calibration: CameraCalibration) -> CameraImage:
        """The picture and its calibration at the network's input size."""
        return CameraImage(reading.stamp_ns, *self._prepare_image(reading.data, calibration))


class LidarInput(SensorInput):
    """Decoding, content checks and pose of the LiDAR."""

    def __init__(self, lidar: LidarConfig, config: SensingConfig) -> None:
        pose = None
        if lidar.ego_from_lidar is not None:
            pose = fixed_pose(f'rig.lidar.{lidar.name}.ego_from_lidar', lidar.ego_from_lidar)
        monitor = SensorMonitor(lidar.name, SensorKind.LIDAR, lidar.rate_hz, config)
        super().__init__(monitor, lidar.frame, pose)
        self._check = CloudCheck(config.frozen_frames)

    def decode(self, message: PointCloud2) -> tuple[np.ndarray, int]:
        """(P, 5) float32 points, and how many the message announced.

        Raises:
            SensorDataError: what `decoding` raises, or 'transform' for an unknown frame.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError(
                'transform', 'header.frame_id', self.frame, f'frame {clean_text(frame)!r}'
            )
        return decode_point_cloud(message), int(message.width) * int(message.height)

    def check(self, points: np.ndarray, announced: int) -> tuple[np.ndarray, Verdict]:
        """Judge the LiDAR by its points; the points that are used, and the verdict."""
        verdict = self._check.check(points, announced)
        points, clipped = limit_points(points)
        return points, clipped if verdict is GOOD else verdict

    def place(self, reading: Reading, tf: TfTree) -> Sweep:
        """Put the points on the vehicle.

        Raises:
            SensorDataError: 'transform'.
        """
        return Sweep(reading.stamp_ns, reading.data, self._pose(tf, reading.stamp_ns, np.eye(3)))
