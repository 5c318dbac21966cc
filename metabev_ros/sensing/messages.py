"""The ROS messages that are read, by their fields.

`wire` makes their classes when the program runs and a node gets those of rclpy: what a reader may
rely on is written down here. What a field holds is checked where it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Stamp(Protocol):
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


class Header(Protocol):
    """std_msgs/Header."""

    stamp: Stamp
    frame_id: str


class Image(Protocol):
    """sensor_msgs/Image; `data` is a byte buffer of one of several kinds."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: object


class CompressedImage(Protocol):
    """sensor_msgs/CompressedImage."""

    header: Header
    data: object


class PointField(Protocol):
    """sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int


class PointCloud2(Protocol):
    """sensor_msgs/PointCloud2."""

    header: Header
    height: int
    width: int
    fields: Sequence[PointField]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: object


class RegionOfInterest(Protocol):
    """sensor_msgs/RegionOfInterest."""

    x_offset: int
    y_offset: int
    height: int
    width: int


class CameraInfo(Protocol):
    """sensor_msgs/CameraInfo."""

    height: int
    width: int
    distortion_model: str
    d: Sequence[float]
    k: Sequence[float]
    p: Sequence[float]
    binning_x: int
    binning_y: int
    roi: RegionOfInterest


class Vector3(Protocol):
    """geometry_msgs/Vector3 or Point."""

    x: float
    y: float
    z: float


class Quaternion(Protocol):
    """geometry_msgs/Quaternion."""

    x: float
    y: float
    z: float
    w: float


class Transform(Protocol):
    """geometry_msgs/Transform."""

    translation: Vector3
    rotation: Quaternion


class TransformStamped(Protocol):
    """geometry_msgs/TransformStamped: parent (of the header) from child."""

    header: Header
    child_frame_id: str
    transform: Transform


class TFMessage(Protocol):
    """tf2_msgs/TFMessage."""

    transforms: Sequence[TransformStamped]


class Pose(Protocol):
    """geometry_msgs/Pose."""

    position: Vector3
    orientation: Quaternion


class PoseWithCovariance(Protocol):
    """geometry_msgs/PoseWithCovariance."""

    pose: Pose


class Odometry(Protocol):
    """nav_msgs/Odometry."""

    header: Header
    child_frame_id: str
    pose: PoseWithCovariance
