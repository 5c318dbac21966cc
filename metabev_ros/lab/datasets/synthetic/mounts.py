"""Lenses and places of a rig's sensors: the rig file first, then the drive's mounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.rig import BODY_FROM_OPTICAL
from metabev_ros.lab.datasets.synthetic.vehicle_config import (
    CameraMount,
    LidarMount,
    VehicleConfig,
)
from metabev_ros.sensing.calibration import fixed_intrinsics, fixed_pose
from metabev_ros.structures import CameraCalibration

_ROOF = 1.6  # metres, of cameras that no file places


@dataclass(frozen=True)
class Mounts:
    """A rig as the simulation has it.

    Attributes:
        cameras: name -> calibration; without distortion where the images are rectified.
        lidars: name -> its beams and columns; poses: name -> (4, 4) ego_from_lidar, which counts.
        notes: what had to be made up.
    """

    cameras: dict[str, CameraCalibration]
    lidars: dict[str, LidarMount]
    poses: dict[str, np.ndarray]
    notes: tuple[str, ...]


def place_sensors(rig: RigConfig, config: VehicleConfig) -> Mounts:
    """Give every sensor of the rig a lens and a place.

    Raises:
        ConfigError: if a pose of the rig file is none.
    """
    cameras, lidars, poses = {}, {}, {}
    notes: list[str] = []
    by_camera = {mount.name: mount for mount in config.cameras}
    for k, camera in enumerate(rig.cameras):
        mount = by_camera.get(camera.name)
        if mount is None:
            mount = _somewhere(camera, k, len(rig.cameras))
            if camera.intrinsics is None or camera.ego_from_camera is None:
                notes.append(f'{camera.name}: no mount in the drive preset, placed at yaw '
                             f'{mount.yaw:.0f} degrees')  # fmt: skip
        cameras[camera.name] = _calibration(camera, mount)
    by_lidar = {mount.name: mount for mount in config.lidars}
    for lidar in rig.lidars:
        mount = by_lidar.get(lidar.name)
        if mount is None:
            mount = LidarMount(lidar.name)
            notes.append(f'{lidar.name}: no mount in the drive preset, taken as 32 beams')
        poses[lidar.name] = _lidar_pose(lidar, mount)
        lidars[lidar.name] = mount
    return Mounts(cameras, lidars, poses, tuple(notes))


def _somewhere(camera: CameraConfig, index: int, count: int) -> CameraMount:
    """One of `count` cameras that look around."""
    yaw = -360.0 * index / count
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    return CameraMount(camera.name, (1.0 + 0.6 * float(c), 0.6 * float(s), _ROOF), yaw)


def mount_pose(mount: CameraMount) -> np.ndarray:
    """(4, 4) ego_from_camera."""
    pitch, roll = np.deg2rad(mount.pitch), np.deg2rad(mount.roll)
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    down = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    over = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    turned = rotation_z(float(np.deg2rad(mount.yaw)))
    if pitch or roll:
        turned = turned @ down @ over
    return rigid_transform(turned @ BODY_FROM_OPTICAL, mount.position)


def _calibration(camera: CameraConfig, mount: CameraMount) -> CameraCalibration:
    where = f'rig.cameras.{camera.name}'
    fixed, pose = fixed_intrinsics(camera), mount_pose(mount)
    if camera.ego_from_camera is not None:
        pose = fixed_pose(f'{where}.ego_from_camera', camera.ego_from_camera)
    if fixed is None:
        width, height = mount.width, mount.height
        cx, cy = mount.centre or ((width - 1) / 2, (height - 1) / 2)
        matrix = np.array([[mount.focal, 0, cx], [0, mount.focal, cy], [0, 0, 1.0]])
        model, distortion = mount.distortion_model, mount.distortion
    else:
        width, height, matrix = fixed.width, fixed.height, fixed.matrix
        model, distortion = fixed.distortion_model, fixed.distortion
    if camera.rectified:
        return CameraCalibration(width, height, matrix, pose)
    return CameraCalibration(width, height, matrix, pose, np.array(distortion), model)


def _lidar_pose(lidar: LidarConfig, mount: LidarMount) -> np.ndarray:
    if lidar.ego_from_lidar is None:
        return rigid_transform(rotation_z(float(np.deg2rad(mount.yaw))), mount.position)
    return fixed_pose(f'rig.lidars.{lidar.name}.ego_from_lidar', lidar.ego_from_lidar)
