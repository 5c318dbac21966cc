"""geometry_msgs of points, vectors and poses, covariances included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metabev_ros.class_errors import ClassErrors
from metabev_ros.wire.cdr import message_class


def point(x: float, y: float, z: float) -> Any:
    """geometry_msgs/Point."""
    return message_class('geometry_msgs/msg/Point')(x=float(x), y=float(y), z=float(z))


def vector(x: float, y: float, z: float) -> Any:
    """geometry_msgs/Vector3."""
    return message_class('geometry_msgs/msg/Vector3')(x=float(x), y=float(y), z=float(z))


def pose(x: float, y: float, z: float, yaw: float = 0.0) -> Any:
    """geometry_msgs/Pose that is level.

    Args:
        yaw: radians, counter-clockwise from +x.
    """
    quaternion = message_class('geometry_msgs/msg/Quaternion')(
        x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)
    )
    return message_class('geometry_msgs/msg/Pose')(position=point(x, y, z), orientation=quaternion)


def with_covariance(of_box: Any, covariance: np.ndarray) -> Any:
    """geometry_msgs/PoseWithCovariance of a pose and a (6, 6) matrix."""
    return message_class('geometry_msgs/msg/PoseWithCovariance')(
        pose=of_box, covariance=covariance.reshape(-1)
    )


def twist(x: float, y: float, covariance: np.ndarray) -> Any:
    """geometry_msgs/TwistWithCovariance of a level velocity and a (6, 6) matrix."""
    plain = message_class('geometry_msgs/msg/Twist')(
        linear=vector(x, y, 0.0), angular=vector(0.0, 0.0, 0.0)
    )
    return message_class('geometry_msgs/msg/TwistWithCovariance')(
        twist=plain, covariance=covariance.reshape(-1)
    )


def pose_covariance(errors: ClassErrors | None) -> np.ndarray:
    """(6, 6) float64 of x y z and turns about them; all zero, 'unknown', where none was measured.

    Boxes are level: of the turns that about z alone has a variance.
    """
    if errors is None:
        return np.zeros((6, 6))
    plane, height, yaw = errors.position**2, errors.height**2, errors.yaw**2
    return np.diag([plane, plane, height, 0.0, 0.0, yaw])


def velocity_covariance(errors: ClassErrors | None) -> np.ndarray:
    """(6, 6) float64 of a twist; all zero, 'unknown', where none was measured."""
    if errors is None or errors.velocity is None:
        return np.zeros((6, 6))
    return np.diag([errors.velocity**2, errors.velocity**2, 0.0, 0.0, 0.0, 0.0])
