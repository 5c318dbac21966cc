"""Messages that a drive's bag holds for one frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.config import LidarConfig, TimeUnit
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import NUSCENES_MAP_GRID, rotation_to_quaternion
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.measured import Sweep
from metabev_ros.lab.datasets.synthetic.rig import LIDAR_ELEVATIONS
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, CameraCalibration

ODOM_FRAME = 'odom'
JPEG_QUALITY = 90
_TRUTH = 'ground truth'
# PointField datatypes of sensor_msgs.
_CLOUD = np.dtype(
    {
        'names': ['x', 'y', 'z', 'intensity', 'ring', 'time'],
        'formats': ['<f4', '<f4', '<f4', '<f4', '<u2', '<f4'],
    }
)
_OBJECTS = np.dtype(
    {
        'names': ['x', 'y', 'z', 'track_id', 'num_lidar_pts', 'visibility'],
        'formats': ['<f4', '<f4', '<f4', '<i4', '<i4', '<f4'],
    }
)
_POINT_FIELD = {'<u2': 4, '<i4': 5, '<f4': 7, '<f8': 8}
_PER_SECOND = {TimeUnit.SECONDS: 1.0, TimeUnit.MICROSECONDS: 1e6, TimeUnit.NANOSECONDS: 1e9}


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


def odometry(
    stamp_ns: int,
    odom_from_ego: np.ndarray,
    velocity: np.ndarray,
    frames: tuple[str, str] = (ODOM_FRAME, 'base_link'),
    deviations: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
) -> Any:
    """nav_msgs/Odometry.

    Args:
        odom_from_ego: (4, 4); velocity: (3,) vx, vy in m/s and yaw rate in rad/s, ego frame.
        frames: names of odom and of the ego.
        deviations: of position in m, yaw in rad, velocity in m/s and yaw rate in rad/s.
    """
    vx, vy, rate = velocity
    pose = _make(
        'geometry_msgs/msg/Pose',
        position=_point(odom_from_ego[:3, 3]),
        orientation=_quaternion(odom_from_ego[:3, :3]),
    )
    twist = _make(
        'geometry_msgs/msg/Twist', linear=_vector((vx, vy, 0)), angular=_vector((0, 0, rate))
    )
    place, turn = _covariance(*deviations[:2]), _covariance(*deviations[2:])
    return _make(
        'nav_msgs/msg/Odometry',
        header=wire.header(stamp_ns, frames[0]),
        child_frame_id=frames[1],
        pose=_make('geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=place),
        twist=_make('geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=turn),
    )


def _covariance(linear: float, yaw: float) -> np.ndarray:
    """(36,) of deviations in x and y, and in yaw."""
    matrix = np.zeros((6, 6))
    matrix[0, 0] = matrix[1, 1] = linear**2
    matrix[5, 5] = yaw**2
    return matrix.reshape(-1)


def camera_info(stamp_ns: int, frame_id: str, camera: CameraCalibration) -> Any:
    """sensor_msgs/CameraInfo; without distortion it is that of a rectified camera."""
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
        distortion_model=camera.distortion_model.value,
        d=camera.distortion.astype(np.float64) if len(camera.distortion) else np.zeros(5),
        k=camera.intrinsics.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def raw_image(stamp_ns: int, frame_id: str, pixels: np.ndarray) -> Any:
    """sensor_msgs/Image, rgb8, of (H, W, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    return _make(
        'sensor_msgs/msg/Image',
        header=wire.header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(pixels).reshape(-1),
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
    """sensor_msgs/PointCloud2 of (P, 5) float32 POINT_COLUMNS of the 32-beam LiDAR."""
    cloud = np.zeros(len(points), dtype=_CLOUD)
    for column, name in enumerate(('x', 'y', 'z', 'intensity', 'time')):
        cloud[name] = points[:, column]
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    step = LIDAR_ELEVATIONS[1] - LIDAR_ELEVATIONS[0]
    cloud['ring'] = np.clip(np.rint((elevation - LIDAR_ELEVATIONS[0]) / step), 0, 31)
    return point_cloud(stamp_ns, frame_id, cloud)


def swept_cloud(stamp_ns: int, lidar: LidarConfig, sweep: Sweep) -> Any:
    """sensor_msgs/PointCloud2 of a sweep, with the fields that the rig file names."""
    time = lidar.point_time
    kinds: list[tuple[str, str]] = [(name, '<f4') for name in ('x', 'y', 'z', 'intensity')]
    kinds.append(('ring', '<u2'))
    if time is not None:
        is_float = time.unit is TimeUnit.SECONDS
        kinds.append((time.field, '<f8' if time.absolute else '<f4' if is_float else '<i4'))
    cloud = np.zeros(len(sweep.xyz), dtype=kinds)
    for column, name in enumerate(('x', 'y', 'z')):
        cloud[name] = sweep.xyz[:, column]
    cloud['intensity'], cloud['ring'] = sweep.intensity / lidar.intensity_scale, sweep.ring
    if time is not None:
        lag = sweep.lag.astype(np.float64) + (stamp_ns * 1e-9 if time.absolute else 0.0)
        cloud[time.field] = lag * _PER_SECOND[time.unit]
    return point_cloud(stamp_ns, lidar.frame, cloud)


def point_cloud(stamp_ns: int, frame_id: str, cloud: np.ndarray) -> Any:
    """sensor_msgs/PointCloud2 of a structured array."""
    fields = [
        _make(
            'sensor_msgs/msg/PointField',
            name=name,
            offset=offset,
            datatype=_POINT_FIELD[kind.str],
            count=1,
        )
        for name, (kind, offset, *_) in (cloud.dtype.fields or {}).items()
    ]
    return _make(
        'sensor_msgs/msg/PointCloud2',
        header=wire.header(stamp_ns, frame_id),
        height=1,
        width=len(cloud),
        fields=fields,
        is_bigendian=False,
        point_step=cloud.dtype.itemsize,
        row_step=cloud.dtype.itemsize * len(cloud),
        data=cloud.view(np.uint8),
        is_dense=True,
    )


def truth_boxes(stamp_ns: int, truth: GroundTruth, ego_frame: str) -> Any:
    """metabev_ros/Detections of the boxes that a sensor shows."""
    shown = _shown(truth)
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
            **wire.covariances(None),
        )
        for k in shown
    ]
    return _make(
        wire.OUTPUT_TYPES[wire.DETECTIONS],
        header=wire.header(stamp_ns, ego_frame),
        modality=0,
        sensors=[],
        sensor_ages=np.zeros(0, np.float32),
        model_hash=_TRUTH,
        detections=detections,
    )


def truth_objects(stamp_ns: int, truth: GroundTruth, ego_frame: str) -> Any:
    """sensor_msgs/PointCloud2: of each box of `truth_boxes` what that message has no field for."""
    shown = _shown(truth)
    cloud = np.zeros(len(shown), dtype=_OBJECTS)
    for column, name in enumerate(('x', 'y', 'z')):
        cloud[name] = truth.boxes[shown, column]
    cloud['track_id'], cloud['num_lidar_pts'] = truth.track_ids[shown], truth.num_lidar_pts[shown]
    cloud['visibility'] = truth.visibility[shown]
    return point_cloud(stamp_ns, ego_frame, cloud)


def _shown(truth: GroundTruth) -> np.ndarray:
    """Rows of the boxes that a LiDAR point or a camera pixel shows."""
    return np.flatnonzero((truth.num_lidar_pts > 0) | (truth.visibility > 0))


def truth_map(stamp_ns: int, truth: GroundTruth, ego_frame: str) -> Any:
    """metabev_ros/BevMap of the true layers."""
    grid = NUSCENES_MAP_GRID
    return _make(
        wire.OUTPUT_TYPES[wire.BEV_MAP],
        header=wire.header(stamp_ns, ego_frame),
        modality=0,
        sensors=[],
        sensor_ages=np.zeros(0, np.float32),
        model_hash=_TRUTH,
        class_names=list(MAP_CLASSES),
        resolution=grid.cell,
        width=grid.columns,
        height=grid.rows,
        origin=_point((grid.x_min, grid.y_min, 0.0)),
        data=(truth.map_layers * np.uint8(255)).reshape(-1),
    )
