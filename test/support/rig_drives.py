"""Short drives of the ten shipped rigs, and where a point of the world is in their pictures.

The projection here is OpenCV's, with the CameraInfo of the bag (or the intrinsics of the rig file)
and the true poses of the drive: nothing of the front end's own geometry takes part.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, load_config
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_timing
from metabev_ros.lab.datasets.synthetic.timing import Kind
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_bag import write_vehicle_bag
from metabev_ros.lab.datasets.synthetic.vehicle_config import OdometryNoise
from metabev_ros.resources import resource_path
from metabev_ros.structures import CameraCalibration, DistortionModel, Modality

RIGS = {
    'nuscenes_like': Modality.FUSED,
    'four_cameras': Modality.FUSED,
    'eight_fisheye': Modality.FUSED,
    'one_camera': Modality.CAMERA,
    'cameras_only': Modality.CAMERA,
    'lidar_only': Modality.LIDAR,
    'two_lidars': Modality.FUSED,
    'fast_lidar': Modality.FUSED,
    'kitti_like': Modality.FUSED,
    'twelve_cameras': Modality.FUSED,
}
SECONDS = {'four_cameras': 0.7}  # four pictures of 1280 x 720 through a lens, 15 times a second
SEED = 11


def rig_path(name: str) -> Path:
    return resource_path(f'config/rigs/{name}.yaml')


@dataclass(frozen=True)
class Lens:
    """What a bag says of a camera's lens.

    Attributes:
        matrix: (3, 3), pixels.
    """

    width: int
    height: int
    matrix: np.ndarray
    model: str
    distortion: np.ndarray

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(P, 2) pixels of (P, 3) points before the camera."""
        points, still = np.ascontiguousarray(points)[:, None], np.zeros(3)
        if self.model == 'equidistant':
            found, _ = cv2.fisheye.projectPoints(
                points, still, still, self.matrix, self.distortion
            )
        else:
            found, _ = cv2.projectPoints(points, still, still, self.matrix, self.distortion)
        return found[:, 0]

    def calibration(self) -> CameraCalibration:
        """The same for the front end, in the origin."""
        return CameraCalibration(
            self.width,
            self.height,
            self.matrix,
            np.eye(4),
            self.distortion
            if self.distortion.any() or self.model == 'equidistant'
            else np.zeros(0),
            DistortionModel(self.model),
        )


@dataclass(frozen=True)
class RigBag:
    """A written drive.

    Attributes:
        sent: sensor -> stamp -> log time, nanoseconds, as the bag has them.
        lenses: camera -> what the bag, else the rig file, says of it.
    """

    name: str
    rig: RigConfig
    drive: VehicleDrive
    path: Path
    truths: dict[int, GroundTruth]
    sent: dict[str, dict[int, int]]
    lenses: dict[str, Lens]

    @property
    def end_ns(self) -> int:
        return max(max(times.values()) for times in self.sent.values())

    def true_time(self, sensor: str, stamp_ns: int) -> float:
        """Seconds of the drive at which a sensor measured what bears a stamp."""
        (event,) = (
            event
            for event in self.drive.events
            if event.source == sensor
            and event.stamp_ns == stamp_ns
            and event.kind in (Kind.IMAGE, Kind.SWEEP)
        )
        return event.time_ns * 1e-9

    def in_camera(self, camera: str, stamp_ns: int, points: np.ndarray, seconds: float):
        """(P, 3) in a camera at its stamp, of (P, 3) points in the ego frame at a time."""
        ego = self.drive.world.ego
        world_from_camera = (
            ego.world_from_ego(self.true_time(camera, stamp_ns))
            @ self.drive.mounts.cameras[camera].ego_from_camera
        )
        homogeneous = np.c_[points, np.ones(len(points))]
        world = ego.world_from_ego(seconds) @ homogeneous.T
        return (np.linalg.inv(world_from_camera) @ world)[:3].T


def box_points(truth: GroundTruth) -> np.ndarray:
    """(P, 3) centres and corners of the true boxes, in the ego frame of the truth."""
    found = []
    for x, y, z, length, width, height, yaw in truth.boxes[:, :7].astype(float):
        c, s = np.cos(yaw), np.sin(yaw)
        half = np.array([[a, b, h] for a in (-1, 0, 1) for b in (-1, 0, 1) for h in (-1, 0, 1)])
        local = half[np.abs(half).sum(1) != 1] * np.array([length, width, height]) / 2
        found.append(local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + (x, y, z))
    return np.concatenate(found) if found else np.zeros((0, 3))


def write_rig_bag(name: str, folder: Path) -> RigBag:
    """A second of a rig's drive at 15 m/s, with exact odometry."""
    rig = load_config(RigConfig, rig_path(name))
    config = dataclasses.replace(
        drive_for_rig(rig_path(name)), cruise=15.0, odometry=OdometryNoise(0, 0, 0, 0, 0, 0)
    )
    drive = VehicleDrive(rig, SEED, SECONDS.get(name, 1.0), config, find_timing(config.timing))
    path = folder / f'{name}.mcap'
    truths = write_vehicle_bag(drive, path, keep_truths=True)
    sent, lenses = _read(rig, path)
    return RigBag(name, rig, drive, path, truths, sent, lenses)


def _read(rig: RigConfig, path: Path) -> tuple[dict[str, dict[int, int]], dict[str, Lens]]:
    sensors = {'/' + sensor.topic: sensor.name for sensor in rig.sensors}
    infos = {'/' + camera.info_topic: camera for camera in rig.cameras if camera.info_topic}
    sent = {name: {} for name in rig.sensor_names}
    lenses = {
        camera.name: Lens(
            camera.intrinsics.width,
            camera.intrinsics.height,
            np.array(camera.intrinsics.matrix).reshape(3, 3),
            camera.intrinsics.distortion_model.value,
            np.array(camera.intrinsics.distortion or [0.0] * 5),
        )
        for camera in rig.cameras
        if camera.intrinsics is not None
    }
    for message in BagReader(path):
        if message.topic in sensors:
            sent[sensors[message.topic]][wire.read_stamp(message.cdr)] = message.log_time_ns
        elif message.topic in infos and infos[message.topic].name not in lenses:
            info = wire.deserialize(message.cdr, message.msgtype)
            camera = infos[message.topic]
            matrix, distortion = np.array(info.k).reshape(3, 3), np.array(info.d)
            if camera.rectified:
                matrix, distortion = np.array(info.p).reshape(3, 4)[:, :3], np.zeros(5)
            lenses[camera.name] = Lens(
                info.width, info.height, matrix, info.distortion_model, distortion
            )
    return sent, lenses
