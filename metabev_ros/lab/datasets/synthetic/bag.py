"""A drive as an MCAP bag with standard topics.

On the topics of `config/rigs/nuscenes_like.yaml`, absolute: CompressedImage (JPEG, rectified),
CameraInfo, PointCloud2 (fields x y z intensity ring time, packed; time is the lag in seconds,
0), /odom and /tf (odom -> base_link), /tf_static (base_link -> every sensor). The truth is on
/ground_truth/detections and /ground_truth/bev_map, with score 1 and modality NONE: no sensor
made it. Truth boxes that neither a LiDAR point nor a camera pixel shows are left out.
/ground_truth/objects has a point for each of the others, in their order, with its track, its
number of LiDAR points and its visibility.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.config import RigConfig, load_config
from metabev_ros.lab.datasets.synthetic import bag_messages as made
from metabev_ros.lab.datasets.synthetic.drive import DriveFrame
from metabev_ros.resources import DEFAULT_RIG, resource_path

TRUTH_DETECTIONS, TRUTH_MAP = '/ground_truth/detections', '/ground_truth/bev_map'
TRUTH_OBJECTS, TRUTH_ODOMETRY = '/ground_truth/objects', '/ground_truth/odometry'


class Drive(Protocol):
    """Frames in the order of their stamps, rendered as they are taken."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[DriveFrame]: ...


def write_bag(
    drive: Drive, path: Path | str, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write all frames; the file appears under its name when complete.

    Args:
        drive: what to write.
        path: the .mcap file.
        progress: called with (frames written, all frames) after each frame.

    Returns:
        The file.

    Raises:
        ConfigError: if the rig's sensors are not those of the drive.
    """
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    with BagWriter(path) as writer:
        for index, frame in enumerate(drive):
            stamp = frame.stamp_ns
            if index == 0:
                mounts = made.transforms(stamp, _mounts(frame, rig))
                _write(writer, '/tf_static', 'tf2_msgs/msg/TFMessage', stamp, mounts)
            for topic, msgtype, message in _messages(frame, rig):
                _write(writer, topic, msgtype, stamp, message)
            if progress is not None:
                progress(index + 1, len(drive))
    return Path(path)


def _write(writer: BagWriter, topic: str, msgtype: str, stamp_ns: int, message: Any) -> None:
    writer.write(topic, msgtype, stamp_ns, wire.serialize(message, msgtype))


def _mounts(frame: DriveFrame, rig: RigConfig) -> list[tuple[str, str, np.ndarray]]:
    """(ego, sensor, ego_from_sensor) of every sensor, by the names of their frames."""
    links = [
        (rig.ego_frame, camera.frame, frame.calibrations[camera.name].ego_from_camera)
        for camera in rig.cameras
    ]
    return [*links, (rig.ego_frame, rig.lidars[0].frame, frame.ego_from_lidar)]


def _messages(frame: DriveFrame, rig: RigConfig) -> Iterator[tuple[str, str, Any]]:
    """Yield (topic, type, message) of all that one frame gives."""
    stamp, ego = frame.stamp_ns, rig.ego_frame
    moved = made.transforms(stamp, [(made.ODOM_FRAME, ego, frame.odom_from_ego)])
    yield '/tf', 'tf2_msgs/msg/TFMessage', moved
    yield (
        f'/{rig.odometry_topic}',
        'nav_msgs/msg/Odometry',
        made.odometry(stamp, frame.odom_from_ego, frame.ego_velocity, (made.ODOM_FRAME, ego)),
    )
    for camera in rig.cameras:
        info = made.camera_info(stamp, camera.frame, frame.calibrations[camera.name])
        yield f'/{camera.info_topic}', 'sensor_msgs/msg/CameraInfo', info
        image = made.image(stamp, camera.frame, frame.images[camera.name])
        yield f'/{camera.topic}', 'sensor_msgs/msg/CompressedImage', image
    cloud = made.cloud(stamp, rig.lidars[0].frame, frame.points)
    yield f'/{rig.lidars[0].topic}', 'sensor_msgs/msg/PointCloud2', cloud
    yield (
        TRUTH_DETECTIONS,
        wire.OUTPUT_TYPES[wire.DETECTIONS],
        made.truth_boxes(stamp, frame.ground_truth, ego),
    )
    objects = made.truth_objects(stamp, frame.ground_truth, ego)
    yield TRUTH_OBJECTS, 'sensor_msgs/msg/PointCloud2', objects
    yield (
        TRUTH_MAP,
        wire.OUTPUT_TYPES[wire.BEV_MAP],
        made.truth_map(stamp, frame.ground_truth, ego),
    )
