"""Publishers of the inputs: what the graph shows and no message can say.

A publisher of another type or with incompatible QoS is never heard: without this the sensor would
be NEVER without a reason. Two publishers of one sensor contradict each other: neither is believed
until one of them is silent, because their frames cannot be told apart.

The graph alone does not show two that speak: a driver that was killed and started again stays in
it for as long as its lease lasts (20 s with Fast DDS), beside its successor. Sequence numbers do:
those of one publisher only rise, and fall once where another takes over. Where two speak they fall
all the time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from metabev_ros.config import RigConfig
from metabev_ros.errors import clean_text

FALLS = 2  # of sequence numbers within FALL_WINDOW: more than one publisher speaks
FALL_WINDOW = 2.0  # seconds


@dataclass(frozen=True)
class Input:
    """One subscription: its topic as the rig writes it, its type and QoS."""

    topic: str
    msgtype: str
    qos: QoSProfile


@dataclass(frozen=True)
class GraphFindings:
    """Findings of the last look.

    Attributes:
        conflicts: topic of a sensor's data -> who publishes it, where more than one speaks.
        reasons: sensor -> why it may never be heard, or what else is wrong with its publishers.
        namesakes: other nodes with the name of this one.
    """

    conflicts: Mapping[str, str] = field(default_factory=dict[str, str])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    namesakes: int = 0


class GraphWatch:
    """Looks at the publishers of a node's inputs.

    Args:
        node: whose graph it is.
        rig: gives the sensor of each topic.
        inputs: what the node subscribes to.
    """

    def __init__(self, node: Node, rig: RigConfig, inputs: tuple[Input, ...]) -> None:
        self._node, self._inputs = node, inputs
        self._sensor_of = {sensor.topic: sensor.name for sensor in rig.sensors}
        self._data = frozenset(self._sensor_of)
        self._sensor_of |= {
            camera.info_topic: camera.name for camera in rig.cameras if camera.info_topic
        }
        self._last: dict[str, int] = {}
        self._falls: dict[str, deque[float]] = {topic: deque(maxlen=FALLS) for topic in self._data}

    def heard(self, topic: str, sequence: int | None) -> None:
        """Take note of a message; `sequence` is None where the middleware does not count."""
        if topic not in self._falls:
            return
        if sequence is None or sequence < self._last.get(topic, sequence):
            self._falls[topic].append(time.monotonic())
        if sequence is not None:
            self._last[topic] = sequence

    def _several_speak(self, topic: str) -> bool:
        falls = self._falls[topic]
        return len(falls) == FALLS and time.monotonic() - falls[0] < FALL_WINDOW

    def look(self) -> GraphFindings:
        """Ask the middleware's own copy of the graph; nothing is sent."""
        conflicts: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for item in self._inputs:
            publishers = self._node.get_publishers_info_by_topic(
                self._node.resolve_topic_name(item.topic)
            )
            misfits = [_misfit(item, info) for info in publishers]
            faults = [text for text in misfits if text]
            heard = [
                _name(info) for info, text in zip(publishers, misfits, strict=True) if not text
            ]
            if item.topic in self._data and len(heard) > 1 and self._several_speak(item.topic):
                conflicts[item.topic] = f'{len(heard)} publishers: {", ".join(sorted(heard))}'
                faults.insert(0, conflicts[item.topic])
            if faults and item.topic in self._sensor_of:
                reasons[self._sensor_of[item.topic]] = faults[0]
        own = (self._node.get_name(), self._node.get_namespace())
        same = self._node.get_node_names_and_namespaces().count(own)
        return GraphFindings(conflicts, reasons, max(0, same - 1))


def _misfit(item: Input, info: TopicEndpointInfo) -> str:
    """Reason why this publisher is never heard; '' if it is."""
    if info.topic_type != item.msgtype:
        return f'wrong type {clean_text(info.topic_type)} from {_name(info)}'
    compatibility, reason = qos_check_compatible(info.qos_profile, item.qos)
    if compatibility == QoSCompatibility.ERROR:
        reason = clean_text(reason.removeprefix('ERROR: '))
        return f'incompatible QoS of {_name(info)}: {reason}'
    return ''


def _name(info: TopicEndpointInfo) -> str:
    return clean_text(f'{info.node_namespace.rstrip("/")}/{info.node_name}', 64)
