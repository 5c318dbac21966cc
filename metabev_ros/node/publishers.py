"""The node's outputs: bytes from `wire` go out as they are, the label always first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher

from metabev_ros import wire
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.node import ros_support
from metabev_ros.wire import OutMessage

RESULTS = (wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA)
DEPTHS = {wire.STATUS: 100, wire.DIAGNOSTICS: 10}


def private_name(topic: str) -> str:
    """Outputs are private to the node (`~/detections`); '/diagnostics' is absolute."""
    return topic if topic.startswith('/') else f'~/{topic}'


def _publisher(node: LifecycleNode, topic: str, msgtype: str) -> LifecyclePublisher:
    kind = ros_support.message_type(msgtype)
    qos = ros_support.reliable_qos(DEPTHS.get(topic, 5))
    try:
        publisher = node.create_lifecycle_publisher(
            kind,
            private_name(topic),
            qos,
            qos_overriding_options=ros_support.overridable(),
        )
    except Exception as error:  # the middleware has classes of its own for each reason
        raise ConfigError(
            f'output {topic}',
            'a topic and QoS that can be published',
            clean_text(str(error).partition('\n')[0] or type(error).__name__, 200),
            'correct the remapping or the qos_overrides',
        ) from error
    return cast(LifecyclePublisher, publisher)


class OutputPublishers:
    """One lifecycle publisher an output topic; silent while the node is not active.

    Raises:
        ConfigError: from the constructor, for a topic or QoS that cannot be.
        MissingDependencyError: from the constructor, for a message type that is not installed.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers = {
            topic: _publisher(node, topic, msgtype) for topic, msgtype in wire.OUTPUT_TYPES.items()
        }

    @property
    def is_read(self) -> bool:
        """True while anybody subscribes to a result; the label alone does not count."""
        return any(
            publisher.get_subscription_count() > 0
            for topic, publisher in self._publishers.items()
            if topic in RESULTS
        )

    def send(self, messages: Iterable[OutMessage]) -> None:
        """Publish in the given order; nothing once ROS was shut down by a signal."""
        for message in messages:
            if not self._node.context.ok():
                return
            self._publishers[message.topic].publish(message.cdr)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}
