"""Differences between sources of ROS: a distribution has every package, the wheels do not."""

from __future__ import annotations

import importlib

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from metabev_ros.errors import MissingDependencyError

_INSTALL = {
    'tf2_msgs': '`make setup` builds it beside the wheels; with a distribution: '
    'apt install ros-$ROS_DISTRO-tf2-msgs',
    'metabev_ros': 'run `make setup` (or colcon build) and source its environment',
}


def message_type(msgtype: str) -> type:
    """The generated class of 'package/msg/Name'.

    Raises:
        MissingDependencyError: if its package is not importable here.
    """
    package, _, name = msgtype.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f'message type {msgtype}',
            f'the Python package {package}.msg',
            str(error),
            _INSTALL.get(package, install_hint(package)),
        ) from error


def install_hint(package: str) -> str:
    """The command that puts a ROS package onto the machine."""
    return f'apt install ros-$ROS_DISTRO-{package.replace("_", "-")}'


def has_message_type(msgtype: str) -> bool:
    """True if `message_type` would find it."""
    try:
        message_type(msgtype)
    except MissingDependencyError:
        return False
    return True


# Since Iron rclpy hands what the middleware knows of a message to callbacks that take it; Humble's
# calls every callback with the message alone.
GIVES_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')


def sensor_qos(depth: int) -> QoSProfile:
    """Best effort: matches publishers of either reliability."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def reliable_qos(depth: int) -> QoSProfile:
    """Reliable, nothing for late joiners: an old frame must never pass for a new one."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


def latched_qos(depth: int) -> QoSProfile:
    """Reliable and kept for late joiners: /tf_static, and grids for nav2's StaticLayer."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def overridable() -> QoSOverridingOptions:
    """The policies that parameters `qos_overrides./topic.subscription.<policy>` may change."""
    return QoSOverridingOptions(
        [QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY, QoSPolicyKind.DEPTH]
    )
