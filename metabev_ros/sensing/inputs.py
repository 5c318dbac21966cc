"""One camera and one LiDAR: from a message to a placed, checked frame."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.calibration import (
    Intrinsics,
    fixed_calibration,
    fixed_pose,
    read_camera_info,
)
from metabev_ros.sensing.content import CloudCheck, ImageCheck, Verdict
from metabev_ros.sensing.decoding import (
    decode_compressed_image,
    decode_image,
    decode_point_cloud,
)
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.transforms import TfTree
from metabev_ros.sensing.untrusted import read_frame, sanitise
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


class CameraInput:
    """Decoding, content checks and calibration of one camera."""

    def __init__(self, camera: CameraConfig, config: SensingConfig, prepare_image: PrepareImage,
                 reduce: int) -> None:
        self.monitor = SensorMonitor(camera.name, SensorKind.CAMERA, camera.rate_hz, config)
        self.frame = camera.frame.lstrip('/')
        self.compressed = camera.topic.endswith('compressed')
        self.pending: Reading | None = None
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
            SensorDataError: what `decoding` raises, or 'frame'.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError('frame', 'header.frame_id', self.frame, sanitise(frame))
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
        calibration = CameraCalibration(intrinsics.width, intrinsics.height, intrinsics.matrix,
                                        pose, intrinsics.distortion)
        pixels, calibration = self._prepare_image(reading.data, calibration)
        return CameraImage(reading.stamp_ns, pixels, calibration)


class LidarInput:
    """Decoding, content checks and pose of the LiDAR."""

    def __init__(self, lidar: LidarConfig, config: SensingConfig) -> None:
        self.monitor = SensorMonitor(lidar.name, SensorKind.LIDAR, lidar.rate_hz, config)
        self.frame = lidar.frame.lstrip('/')
        self.pending: Reading | None = None
        self._check = CloudCheck(config.frozen_frames)
        self._fixed_pose = None
        if lidar.ego_from_lidar is not None:
            self._fixed_pose = fixed_pose(f'rig.lidar.{lidar.name}.ego_from_lidar',
                                          lidar.ego_from_lidar)

    def read(self, message, stamp_ns: int, arrival_ns: int) -> Reading:
        """Decode and check.

        Raises:
            SensorDataError: what `decoding` raises, or 'transform' for an unknown frame.
        """
        frame = read_frame(message.header)
        if frame != self.frame:
            raise SensorDataError('transform', 'header.frame_id', self.frame,
                                  f'frame {sanitise(frame)!r}')
        points = decode_point_cloud(message)
        announced = int(message.width) * int(message.height)
        verdict = self._check.check(points, announced)
        return Reading(stamp_ns, arrival_ns, points, (0, 0), verdict)

    def place(self, reading: Reading, tf: TfTree) -> Sweep:
        """Put the points on the vehicle.

        Raises:
            SensorDataError: 'transform'.
        """
        pose = self._fixed_pose
        if pose is None:
            pose = tf.ego_from(self.frame, reading.stamp_ns)
        return Sweep(reading.stamp_ns, reading.data, pose)
