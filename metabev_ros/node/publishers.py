"""The node's outputs: bytes from `wire` go out as they are, the label always first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher

from metabev_ros import wire
from metabev_ros.node import ros_support
from metabev_ros.wire import OutMessage

RESULTS = (wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA, wire.TRACKS)
DEPTHS = {wire.STATUS: 100, wire.DIAGNOSTICS: 10}


def private_name(topic: str) -> str:
    """Outputs are private to the node (`~/detections`); '/diagnostics' is absolute."""
    return topic if topic.startswith('/') else f'~/{topic}'


class OutputPublishers:
    """One lifecycle publisher an output topic; silent while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers = {
            topic: cast(
                LifecyclePublisher,
                node.create_lifecycle_publisher(
                    ros_support.message_type(msgtype),
                    private_name(topic),
                    ros_support.reliable_qos(DEPTHS.get(topic, 5)),
                ),
            )
            for topic, msgtype in wire.OUTPUT_TYPES.items()
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
