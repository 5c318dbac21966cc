"""A drive as an MCAP bag with standard topics.

On the topics of `config/rigs/nuscenes_like.yaml`, absolute: CompressedImage (JPEG, rectified),
CameraInfo, PointCloud2 (fields x y z intensity ring time, packed; time is the lag in seconds,
0), /odom and /tf (odom -> base_link), /tf_static (base_link -> every sensor). The truth is on
/ground_truth/detections and /ground_truth/bev_map, with score 1 and modality NONE: no sensor
made it. Truth boxes that neither a LiDAR point nor a camera pixel shows are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import NUSCENES_MAP_GRID, rotation_to_quaternion
from metabev_ros.lab.datasets.synthetic.drive import DriveFrame
from metabev_ros.lab.datasets.synthetic.rig import LIDAR_ELEVATIONS
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, CameraCalibration

TRUTH_DETECTIONS, TRUTH_MAP = '/ground_truth/detections', '/ground_truth/bev_map'
ODOM_FRAME = 'odom'
JPEG_QUALITY = 90
_TRUTH = 'ground truth'
# PointField datatypes of sensor_msgs: UINT16 = 4, FLOAT32 = 7.
_CLOUD = np.dtype(
    [
        ('x', '<f4'),
        ('y', '<f4'),
        ('z', '<f4'),
        ('intensity', '<f4'),
        ('ring', '<u2'),
        ('time', '<f4'),
    ]
)
_POINT_FIELD = {'<f4': 7, '<u2': 4}


class Drive(Protocol):
    """Frames in the order of their stamps, rendered as they are taken."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[DriveFrame]: ...


def write_bag(
    drive: Drive, path: Path | str, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Writes all frames; the file appears under its name when complete.

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
            if index == 0:
                _write(
                    writer,
                    '/tf_static',
                    'tf2_msgs/msg/TFMessage',
                    frame.stamp_ns,
                    _mounts(frame, rig),
                )
            _write_frame(writer, frame, rig)
            if progress is not None:
                progress(index + 1, len(drive))
    return Path(path)


def _write(writer: BagWriter, topic: str, msgtype: str, stamp_ns: int, message: object) -> None:
    writer.write(topic, msgtype, stamp_ns, wire.serialize(message, msgtype))


def _write_frame(writer: BagWriter, frame: DriveFrame, rig: RigConfig) -> None:
    stamp = frame.stamp_ns
    _write(
        writer,
        '/tf',
        'tf2_msgs/msg/TFMessage',
        stamp,
        _transforms(stamp, [(ODOM_FRAME, rig.ego_frame, frame.odom_from_ego)]),
    )
    _write(
        writer,
        f'/{rig.odometry_topic}',
        'nav_msgs/msg/Odometry',
        stamp,
        _odometry(frame, rig.ego_frame),
    )
    for camera in rig.cameras:
        _write(
            writer,
            f'/{camera.info_topic}',
            'sensor_msgs/msg/CameraInfo',
            stamp,
            _camera_info(stamp, camera.frame, frame.calibrations[camera.name]),
        )
        _write(
            writer,
            f'/{camera.topic}',
            'sensor_msgs/msg/CompressedImage',
            stamp,
            _image(stamp, camera.frame, frame.images[camera.name]),
        )
    _write(
        writer,
        f'/{rig.lidar.topic}',
        'sensor_msgs/msg/PointCloud2',
        stamp,
        _cloud(stamp, rig.lidar.frame, frame.points),
    )
    _write(
        writer,
        TRUTH_DETECTIONS,
        wire.OUTPUT_TYPES[wire.DETECTIONS],
        stamp,
        _truth_boxes(frame, rig.ego_frame),
    )
    _write(
        writer, TRUTH_MAP, wire.OUTPUT_TYPES[wire.BEV_MAP], stamp, _truth_map(frame, rig.ego_frame)
    )


def _make(msgtype: str, **fields: Any) -> Any:
    return wire.message_class(msgtype)(**fields)


def _vector(values: Iterable[float]) -> Any:
    x, y, z = (float(value) for value in values)
    return _make('geometry_msgs/msg/Vector3', x=x, y=y, z=z)


def _point(values: Iterable[float]) -> Any:
    x, y, z = (float(value) for value in values)
    return _make('geometry_msgs/msg/Point', x=x, y=y, z=z)


def _quaternion(rotation: np.ndarray) -> Any:
    x, y, z, w = (float(value) for value in rotation_to_quaternion(rotation))
    return _make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w)


def _transforms(stamp_ns: int, links: Iterable[tuple[str, str, np.ndarray]]) -> Any:
    """TFMessage of (parent, child, parent_from_child) triples."""
    return _make(
        'tf2_msgs/msg/TFMessage',
        transforms=[
            _make(
                'geometry_msgs/msg/TransformStamped',
                header=wire.header(stamp_ns, parent),
                child_frame_id=child,
                transform=_make(
                    'geometry_msgs/msg/Transform',
                    translation=_vector(matrix[:3, 3]),
                    rotation=_quaternion(matrix[:3, :3]),
                ),
            )
            for parent, child, matrix in links
        ],
    )


def _mounts(frame: DriveFrame, rig: RigConfig) -> Any:
    links = [
        (rig.ego_frame, camera.frame, frame.calibrations[camera.name].ego_from_camera)
        for camera in rig.cameras
    ]
    links.append((rig.ego_frame, rig.lidar.frame, frame.ego_from_lidar))
    return _transforms(frame.stamp_ns, links)


def _odometry(frame: DriveFrame, ego_frame: str) -> Any:
    vx, vy, rate = frame.ego_velocity
    pose = _make(
        'geometry_msgs/msg/Pose',
        position=_point(frame.odom_from_ego[:3, 3]),
        orientation=_quaternion(frame.odom_from_ego[:3, :3]),
    )
    twist = _make(
        'geometry_msgs/msg/Twist', linear=_vector((vx, vy, 0)), angular=_vector((0, 0, rate))
    )
    return _make(
        'nav_msgs/msg/Odometry',
        header=wire.header(frame.stamp_ns, ODOM_FRAME),
        child_frame_id=ego_frame,
        pose=_make('geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=np.zeros(36)),
        twist=_make('geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=np.zeros(36)),
    )


def _camera_info(stamp_ns: int, frame_id: str, camera: CameraCalibration) -> Any:
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.intrinsics
    region = _make(
        'sensor_msgs/msg/RegionOfInterest',
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _make(
        'sensor_msgs/msg/CameraInfo',
        header=wire.header(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=camera.intrinsics.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _image(stamp_ns: int, frame_id: str, pixels: np.ndarray) -> Any:
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise SensorDataError(
            'jpeg', f'bag image {frame_id}', 'an image OpenCV can encode', f'shape {pixels.shape}'
        )
    return _make(
        'sensor_msgs/msg/CompressedImage',
        header=wire.header(stamp_ns, frame_id),
        format='rgb8; jpeg compressed bgr8',
        data=data.reshape(-1),
    )


def _cloud(stamp_ns: int, frame_id: str, points: np.ndarray) -> Any:
    cloud = np.zeros(len(points), dtype=_CLOUD)
    for column, name in enumerate(('x', 'y', 'z', 'intensity', 'time')):
        cloud[name] = points[:, column]
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    step = LIDAR_ELEVATIONS[1] - LIDAR_ELEVATIONS[0]
    cloud['ring'] = np.clip(np.rint((elevation - LIDAR_ELEVATIONS[0]) / step), 0, 31)
    fields = [
        _make(
            'sensor_msgs/msg/PointField',
            name=name,
            offset=offset,
            datatype=_POINT_FIELD[kind.str],
            count=1,
        )
        for name, (kind, offset, *_) in (_CLOUD.fields or {}).items()
    ]
    return _make(
        'sensor_msgs/msg/PointCloud2',
        header=wire.header(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=_CLOUD.itemsize,
        row_step=_CLOUD.itemsize * len(points),
        data=cloud.view(np.uint8),
        is_dense=True,
    )


def _truth_boxes(frame: DriveFrame, ego_frame: str) -> Any:
    truth = frame.ground_truth
    shown = np.flatnonzero((truth.num_lidar_pts > 0) | (truth.visibility > 0))
    detections = [
        _make(
            'metabev_ros/msg/Detection',
            class_name=DETECTION_CLASSES[truth.labels[k]],
            class_id=int(truth.labels[k]),
            score=1.0,
            center=_point(truth.boxes[k, :3]),
            size=_vector(truth.boxes[k, 3:6]),
            yaw=float(truth.boxes[k, 6]),
            velocity=_vector((*truth.boxes[k, 7:9], 0)),
            has_covariance=False,
            position_covariance=np.zeros(9),
        )
        for k in shown
    ]
    return _make(
        wire.OUTPUT_TYPES[wire.DETECTIONS],
        header=wire.header(frame.stamp_ns, ego_frame),
        modality=0,
        sensors=[],
        sensor_ages=np.zeros(0, np.float32),
        model_hash=_TRUTH,
        detections=detections,
    )


def _truth_map(frame: DriveFrame, ego_frame: str) -> Any:
    grid = NUSCENES_MAP_GRID
    return _make(
        wire.OUTPUT_TYPES[wire.BEV_MAP],
        header=wire.header(frame.stamp_ns, ego_frame),
        modality=0,
        sensors=[],
        sensor_ages=np.zeros(0, np.float32),
        model_hash=_TRUTH,
        class_names=list(MAP_CLASSES),
        resolution=grid.cell,
        width=grid.columns,
        height=grid.rows,
        origin=_point((grid.x_min, grid.y_min, 0.0)),
        data=(frame.ground_truth.map_layers * np.uint8(255)).reshape(-1),
    )
