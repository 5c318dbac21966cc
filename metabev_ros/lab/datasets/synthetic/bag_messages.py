"""Messages that a drive's bag holds for one frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import NUSCENES_MAP_GRID, rotation_to_quaternion
from metabev_ros.lab.datasets.synthetic.drive import DriveFrame
from metabev_ros.lab.datasets.synthetic.rig import LIDAR_ELEVATIONS
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, CameraCalibration

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


def transforms(stamp_ns: int, links: Iterable[tuple[str, str, np.ndarray]]) -> Any:
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


def odometry(frame: DriveFrame, ego_frame: str) -> Any:
    """nav_msgs/Odometry of a frame."""
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


def camera_info(stamp_ns: int, frame_id: str, camera: CameraCalibration) -> Any:
    """sensor_msgs/CameraInfo of a rectified camera."""
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


def image(stamp_ns: int, frame_id: str, pixels: np.ndarray) -> Any:
    """sensor_msgs/CompressedImage, JPEG, of (H, W, 3) uint8 RGB.

    Raises:
        SensorDataError: if OpenCV cannot encode it.
    """
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


def cloud(stamp_ns: int, frame_id: str, points: np.ndarray) -> Any:
    """sensor_msgs/PointCloud2 of (P, 5) float32 POINT_COLUMNS."""
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


def truth_boxes(frame: DriveFrame, ego_frame: str) -> Any:
    """metabev_ros/Detections of the boxes that a sensor shows."""
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


def truth_map(frame: DriveFrame, ego_frame: str) -> Any:
    """metabev_ros/BevMap of the true layers."""
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
