"""The node's outputs: bytes from `wire` go out as they are, the label always first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher

from metabev_ros import wire
from metabev_ros.config import OutputsConfig
from metabev_ros.config.outputs import REQUIRE
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.node import ros_support
from metabev_ros.wire import OutMessage

RESULTS = (wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA, wire.TRACKS)
DEPTHS = {wire.STATUS: 100, wire.DIAGNOSTICS: 10}


def private_name(topic: str) -> str:
    """Outputs are private to the node (`~/detections`); '/diagnostics' is absolute."""
    return topic if topic.startswith('/') else f'~/{topic}'


def _publisher(node: LifecycleNode, topic: str, msgtype: str) -> LifecyclePublisher:
    kind = ros_support.message_type(msgtype)
    latched = wire.is_latched_output(topic)
    qos = ros_support.latched_qos(1) if latched else ros_support.reliable_qos(DEPTHS.get(topic, 5))
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


def available_outputs(
    config: OutputsConfig, map_classes: Iterable[str], tell: Callable[[str], None]
) -> dict[str, str]:
    """Topic -> type of the standard outputs that are wanted and can be published here.

    Args:
        tell: gets one line that names the packages of those that cannot.

    Raises:
        MissingDependencyError: for one that the configuration requires.
    """
    available: dict[str, str] = {}
    missing: dict[str, list[str]] = {}
    for topic, output in wire.chosen_outputs(config, map_classes, with_auto=True).items():
        if ros_support.has_message_type(output.msgtype):
            available[topic] = output.msgtype
        elif wire.mode_of(config, output) == REQUIRE:
            ros_support.message_type(output.msgtype)  # says what is missing
        else:
            missing.setdefault(output.package, []).append(private_name(topic))
    if missing:
        hints = [
            f'{", ".join(topics)} ({ros_support.install_hint(package)})'
            for package, topics in missing.items()
        ]
        tell(f'not offered, for want of their message packages: {"; ".join(hints)}')
    return available


class OutputPublishers:
    """One lifecycle publisher an output topic; silent while the node is not active.

    Args:
        standard: topic -> type of outputs that are made only while somebody subscribes.

    Raises:
        ConfigError: from the constructor, for a topic or QoS that cannot be.
        MissingDependencyError: from the constructor, for a message type that is not installed.
    """

    def __init__(self, node: LifecycleNode, standard: dict[str, str]) -> None:
        self._node, self._standard = node, tuple(standard)
        self._results = (*RESULTS, *(t for t in standard if t != wire.SENSOR_PANEL))
        self._publishers = {
            topic: _publisher(node, topic, msgtype)
            for topic, msgtype in (wire.OUTPUT_TYPES | standard).items()
        }

    def _is_taken(self, topic: str) -> bool:
        publisher = self._publishers.get(topic)  # none once they were destroyed
        return publisher is not None and publisher.get_subscription_count() > 0

    @property
    def is_read(self) -> bool:
        """True while anybody subscribes to a result; the label and the panel do not count."""
        return any(self._is_taken(topic) for topic in self._results)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The standard outputs that somebody subscribes to."""
        return tuple(topic for topic in self._standard if self._is_taken(topic))

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
