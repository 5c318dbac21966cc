"""One camera and one LiDAR: from a message to a placed, checked frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from metabev_ros.sensing.decoding import (
    compressed_size,
    decode_compressed_image,
    decode_image,
    decode_point_cloud,
)
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.transforms import TfTree
from metabev_ros.sensing.untrusted import byte_view, read_frame
from metabev_ros.structures import CameraCalibration, CameraImage, SensorKind, Sweep

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
        """What changed, '' for nothing.

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


class CameraInput:
    """Decoding, content checks and calibration of one camera."""

    def __init__(
        self, camera: CameraConfig, config: SensingConfig, prepare_image: PrepareImage, reduce: int
    ) -> None:
        self.monitor = SensorMonitor(camera.name, SensorKind.CAMERA, camera.rate_hz, config)
        self.frame = camera.frame.lstrip('/')
        self.compressed = camera.topic.endswith('compressed')
        self.pending: Reading | None = None
        self.changed = ''  # what changed in the calibration with the frame placed last
        self._watch = PlacementWatch()
        self._rectified = 'image_rect' in camera.topic
        self._reduce = reduce if self.compressed else 1
        self._prepare_image = prepare_image
        self._check = ImageCheck(config.frozen_frames)
        self._intrinsics: Intrinsics | None = None
        self._problem = 'no CameraInfo'
        self._fixed_pose: np.ndarray | None = None
        fixed = fixed_calibration(camera)
        self.is_fixed = fixed is not None
        if fixed is not None:
            self._intrinsics, self._fixed_pose = fixed

    def read_info(self, message) -> None:
        """Take a CameraInfo; one that is wrong makes the camera uncalibrated.

        Raises:
            SensorDataError: 'calibration'.
        """
        try:
            self._intrinsics = read_camera_info(message, self._rectified)
        except SensorDataError as error:
            self._intrinsics, self._problem = None, error.got
            raise

    def read(self, message, stamp_ns: int, arrival_ns: int) -> Reading:
        """Decode and check.

        Raises:
            SensorDataError: what `decoding` raises, 'frame', or 'calibration' for a compressed
                picture of another size than that of its CameraInfo.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError('frame', 'header.frame_id', self.frame, clean_text(frame))
        if self.compressed and self._intrinsics is not None:
            # A file of a few bytes may hold 32 million pixels: not before they are decoded.
            self._intrinsics.for_size(*compressed_size(byte_view(message.data, 'data')))
        if self.compressed:
            pixels, size = decode_compressed_image(message, self._reduce)
        else:
            pixels = decode_image(message)
            size = (pixels.shape[1], pixels.shape[0])
        return Reading(stamp_ns, arrival_ns, pixels, size, self._check.check(pixels))

    def place(self, reading: Reading, tf: TfTree) -> CameraImage:
        """Put the picture on the vehicle, at the network's input size.

        Raises:
            SensorDataError: 'calibration' or 'transform'.
        """
        if self._intrinsics is None:
            raise SensorDataError('calibration', 'CameraInfo', 'a usable one', self._problem)
        intrinsics = self._intrinsics.for_size(*reading.size)
        if self._reduce == 2:
            intrinsics = intrinsics.halved()
        pose = self._fixed_pose
        if pose is None:
            pose = tf.ego_from(self.frame, reading.stamp_ns)
        self.changed = self._watch.check(pose, intrinsics.matrix)
        calibration = CameraCalibration(
            intrinsics.width, intrinsics.height, intrinsics.matrix, pose, intrinsics.distortion
        )
        pixels, calibration = self._prepare_image(reading.data, calibration)
        return CameraImage(reading.stamp_ns, pixels, calibration)


class LidarInput:
    """Decoding, content checks and pose of the LiDAR."""

    def __init__(self, lidar: LidarConfig, config: SensingConfig) -> None:
        self.monitor = SensorMonitor(lidar.name, SensorKind.LIDAR, lidar.rate_hz, config)
        self.frame = lidar.frame.lstrip('/')
        self.pending: Reading | None = None
        self.changed = ''  # as CameraInput.changed
        self._watch = PlacementWatch()
        self._check = CloudCheck(config.frozen_frames)
        self._fixed_pose = None
        if lidar.ego_from_lidar is not None:
            self._fixed_pose = fixed_pose(
                f'rig.lidar.{lidar.name}.ego_from_lidar', lidar.ego_from_lidar
            )

    def read(self, message, stamp_ns: int, arrival_ns: int) -> Reading:
        """Decode and check.

        Raises:
            SensorDataError: what `decoding` raises, or 'transform' for an unknown frame.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError(
                'transform', 'header.frame_id', self.frame, f'frame {clean_text(frame)!r}'
            )
        points = decode_point_cloud(message)
        announced = int(message.width) * int(message.height)
        verdict = self._check.check(points, announced)
        points, clipped = limit_points(points)
        verdict = clipped if verdict is GOOD else verdict
        return Reading(stamp_ns, arrival_ns, points, (0, 0), verdict)

    def place(self, reading: Reading, tf: TfTree) -> Sweep:
        """Put the points on the vehicle.

        Raises:
            SensorDataError: 'transform'.
        """
        pose = self._fixed_pose
        if pose is None:
            pose = tf.ego_from(self.frame, reading.stamp_ns)
        self.changed = self._watch.check(pose, np.eye(3))
        return Sweep(reading.stamp_ns, reading.data, pose)
