"""Hears the outputs of a running node and hands their bytes on; it publishes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import rclpy
import rclpy.utilities
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.node import ros_support

DEPTH = 5
# (topic relative to the node, serialized bytes)
Take = Callable[[str, bytes], None]


def subscribe(node: Node, watched: str, topics: Mapping[str, str], take: Take) -> None:
    """Subscribe to outputs of a node, best effort: who looks on never holds it up.

    Args:
        node: that hears.
        watched: name of the node, with its namespace.
        topics: relative to it -> message type.
        take: called on the executor's thread.

    Raises:
        MissingDependencyError: for a type that is not installed.
        ConfigError: for a name that no node can have.
    """
    for topic, msgtype in topics.items():
        kind, qos = ros_support.message_type(msgtype), ros_support.sensor_qos(DEPTH)

        def hear(cdr: Any, topic: str = topic) -> None:
            take(topic, bytes(cdr))

        try:
            node.create_subscription(kind, f'{watched.rstrip("/")}/{topic}', hear, qos, raw=True)
        except NameValidationException as error:
            raise ConfigError(
                '--node', 'the name of a ROS node, /perception', clean_text(watched)
            ) from error


def watch(watched: str, topics: Mapping[str, str], take: Take) -> None:
    """Hear a node from a process of its own, until a signal."""
    rclpy.init()
    node = Node('metabev_watch', start_parameter_services=False, enable_rosout=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        subscribe(node, watched, topics, take)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.utilities.try_shutdown()
