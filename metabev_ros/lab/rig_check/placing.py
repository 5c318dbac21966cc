"""Places and lenses of a rig's sensors, as a front end would find them in the bag."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import transform_points
from metabev_ros.lab.rig_check.look import BagLook, InfoLook, Placed, SweepLook, TopicLook
from metabev_ros.lab.rig_check.motion import STANDSTILL, Motion, carry
from metabev_ros.lab.rig_check.point_fields import find_point_time, point_lags
from metabev_ros.sensing.calibration import (
    Intrinsics,
    fixed_intrinsics,
    fixed_pose,
    read_camera_info,
)
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.wire import message_class


def by_topic(looks: dict[str, TopicLook], topic: str) -> TopicLook | None:
    """The look of a topic; a rig file may leave out the first slash."""
    wanted = topic.lstrip('/')
    return next((look for name, look in looks.items() if name.lstrip('/') == wanted), None)


def place_sensors(look: BagLook, rig: RigConfig) -> dict[str, Placed]:
    """Name -> place; all transforms are taken as they were last.

    Raises:
        ConfigError: a pose or lens of the rig file is none.
    """
    tree = TfTree(rig.ego_frame, [sensor.frame for sensor in rig.sensors])
    make = message_class('tf2_msgs/msg/TFMessage')
    for link in look.links.values():
        tree.update(make(transforms=[link.transform]), static=True)
    placed: dict[str, Placed] = {}
    for camera in rig.cameras:
        pose, why = _pose(tree, camera, camera.ego_from_camera)
        placed[camera.name] = Placed(pose, why, _lens(look, camera)[0])
    for lidar in rig.lidars:
        pose, why = _pose(tree, lidar, lidar.ego_from_lidar)
        placed[lidar.name] = Placed(pose, why)
    return placed


def _pose(
    tree: TfTree, sensor: CameraConfig | LidarConfig, fixed: tuple[float, ...] | None
) -> tuple[np.ndarray | None, str]:
    if fixed is not None:
        return fixed_pose(f'rig.{sensor.name}', fixed), ''
    try:
        return tree.ego_from(sensor.frame.lstrip('/'), 0), ''
    except SensorDataError as error:
        return None, error.got


def _lens(look: BagLook, camera: CameraConfig) -> tuple[Intrinsics | None, str]:
    fixed = fixed_intrinsics(camera)
    if fixed is not None:
        return fixed, ''
    info = info_of(look, camera)
    if info is None or info.last is None:
        return None, 'no CameraInfo'
    try:
        return read_camera_info(info.last, camera.rectified), ''
    except SensorDataError as error:
        return None, f'expected {error.expected}, got {error.got}'


def lens_problem(look: BagLook, camera: CameraConfig) -> str:
    """The reason why its CameraInfo is not usable, '' where it is."""
    return _lens(look, camera)[1]


def info_of(look: BagLook, camera: CameraConfig) -> InfoLook | None:
    """The CameraInfo that a camera of a rig names."""
    found = by_topic({**look.infos}, camera.info_topic)
    return found if isinstance(found, InfoLook) else None


def points_at(
    sweep: SweepLook, lidar: LidarConfig, pose: np.ndarray, motion: Motion, time_ns: int
) -> np.ndarray:
    """(P, 3) points of a sweep in the ego frame at a time near its stamp.

    The vehicle's motion is taken out, where it is known, with the points' own times where they
    have some.
    """
    points = transform_points(pose, sweep.points[:, :3].astype(np.float64))
    seconds: np.ndarray | float = (sweep.stamp_ns - time_ns) * 1e-9
    time = lidar.point_time or find_point_time([sweep])
    lags = point_lags(sweep, time) if time is not None else None
    if lags is not None and len(lags) == len(points):
        seconds = seconds + lags
    twist = motion.twist(time_ns)
    return carry(points, seconds, STANDSTILL if twist is None else twist)
