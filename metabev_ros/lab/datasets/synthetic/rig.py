"""Poses of the sensors: a rig shaped like that of nuScenes, in round numbers.

Angles and focal lengths follow Caesar et al., nuScenes (CVPR 2020); every camera is level.
"""

from __future__ import annotations

import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.config import DriveConfig
from metabev_ros.structures import CameraCalibration

# name: (yaw in degrees, position in the ego frame in metres, focal length at 1600 px)
CAMERA_MOUNTS = {
    'CAM_FRONT': (0.0, (1.7, 0.0, 1.5), 1266.0),
    'CAM_FRONT_RIGHT': (-55.0, (1.5, -0.5, 1.5), 1266.0),
    'CAM_BACK_RIGHT': (-110.0, (1.0, -0.5, 1.5), 1266.0),
    'CAM_BACK': (180.0, (0.0, 0.0, 1.5), 809.0),
    'CAM_BACK_LEFT': (110.0, (1.0, 0.5, 1.5), 1266.0),
    'CAM_FRONT_LEFT': (55.0, (1.5, 0.5, 1.5), 1266.0),
}
LIDAR_NAME = 'LIDAR_TOP'
LIDAR_POSITION = (0.94, 0.0, 1.84)
LIDAR_ELEVATIONS = np.deg2rad(np.linspace(-30.67, 10.67, 32))
_PRINCIPAL_POINT = (808.0, 491.0)
# Columns: the optical axes (right, down, forward) in a level body frame.
BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
# The ego car itself: x_min, x_max, y_min, y_max, z_max in metres around base_link.
EGO_BOX = (-1.0, 3.7, -0.95, 0.95, 1.75)


def camera_calibrations(config: DriveConfig) -> dict[str, CameraCalibration]:
    """The six calibrations at the drive's image size."""
    scale = config.image_width / 1600
    cropped = round(900 * scale) - config.image_height
    cx = (_PRINCIPAL_POINT[0] + 0.5) * scale - 0.5
    cy = (_PRINCIPAL_POINT[1] + 0.5) * scale - 0.5 - cropped
    calibrations = {}
    for name, (yaw, position, focal) in CAMERA_MOUNTS.items():
        intrinsics = np.array([[focal * scale, 0, cx], [0, focal * scale, cy], [0, 0, 1.0]])
        pose = rigid_transform(rotation_z(np.deg2rad(yaw)) @ BODY_FROM_OPTICAL, position)
        calibrations[name] = CameraCalibration(
            config.image_width, config.image_height, intrinsics, pose
        )
    return calibrations


def ego_from_lidar() -> np.ndarray:
    """(4, 4): the LiDAR's x points right, its y forward, its z up."""
    return rigid_transform(rotation_z(-np.pi / 2), LIDAR_POSITION)
