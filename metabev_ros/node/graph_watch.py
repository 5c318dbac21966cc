"""Publishers of the inputs: what the graph shows and no message can say.

A publisher of another type or with incompatible QoS is never heard: without this the sensor would
be NEVER without a reason. Two publishers of one sensor contradict each other: neither is believed
until one of them is silent, because their frames cannot be told apart.

The graph alone does not show two that speak: a driver that was killed and started again stays in
it for as long as its lease lasts (20 s with Fast DDS), beside its successor. Sequence numbers do
(`speakers`). One that speaks now and then is named and its frames are dropped; those of the other
are used.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from metabev_ros.config import RigConfig
from metabev_ros.errors import clean_text
from metabev_ros.node.speakers import Speakers
from metabev_ros.sensing.topics import rig_topics


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
        seconds: sensor -> who publishes it, where a second one spoke that is not believed.
        namesakes: other nodes with the name of this one.
    """

    conflicts: Mapping[str, str] = field(default_factory=dict[str, str])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: Mapping[str, str] = field(default_factory=dict[str, str])
    namesakes: int = 0


class GraphWatch:
    """Looks at the publishers of a node's inputs.

    Args:
        node: whose graph it is.
        rig: gives the sensor of each topic.
        inputs: what the node subscribes to.

    Attributes:
        dropped: topic -> messages of a second publisher, which are not believed.
        conflicts: of the last look, see `GraphFindings`.
    """

    def __init__(self, node: Node, rig: RigConfig, inputs: tuple[Input, ...]) -> None:
        self._node, self._inputs = node, inputs
        topics = rig_topics(rig)
        self.sensor_of = {name: topic.sensor for name, topic in topics.items() if topic.sensor}
        self._speakers = {name: Speakers() for name, topic in topics.items() if topic.is_data}
        self.dropped: Counter[str] = Counter()
        self.conflicts: Mapping[str, str] = {}

    def heard(self, topic: str, number: int | None, publisher: bytes = b'') -> bool:
        """Take note of a message; whether it is believed.

        Args:
            topic: as the rig writes it.
            number: of its publisher's messages; None where the middleware does not count.
            publisher: its identity; b'' where that is not known.
        """
        speakers = self._speakers.get(topic)
        if speakers is None or speakers.hear(number, time.monotonic(), publisher):
            return True
        self.dropped[topic] += 1
        return False

    def look(self) -> GraphFindings:
        """Ask the middleware's own copy of the graph; nothing is sent."""
        conflicts: dict[str, str] = {}
        reasons: dict[str, str] = {}
        seconds: dict[str, str] = {}
        for item in self._inputs:
            publishers = self._node.get_publishers_info_by_topic(
                self._node.resolve_topic_name(item.topic)
            )
            misfits = [_misfit(item, info) for info in publishers]
            faults = [text for text in misfits if text]
            heard = sorted(
                _name(info) for info, text in zip(publishers, misfits, strict=True) if not text
            )
            sensor, speakers = self.sensor_of.get(item.topic), self._speakers.get(item.topic)
            if sensor and speakers is not None:
                now = time.monotonic()
                if speakers.is_contested(now) and len(heard) > 1:
                    conflicts[item.topic] = f'{len(heard)} publishers: {", ".join(heard)}'
                    faults.insert(0, conflicts[item.topic])
                elif speakers.has_second(now):
                    seconds[sensor] = _second(publishers, speakers.rivals(now))
            if faults and sensor:
                reasons[sensor] = faults[0]
        self.conflicts = conflicts
        own = (self._node.get_name(), self._node.get_namespace())
        same = self._node.get_node_names_and_namespaces().count(own)
        return GraphFindings(conflicts, reasons, seconds, max(0, same - 1))


def _second(publishers: list[TopicEndpointInfo], rivals: frozenset[bytes]) -> str:
    """Names a second publisher that is not believed; it may have left the graph already."""
    known = [info for info in publishers if _gid(info) in rivals]
    if known:
        return f'a second publisher is not believed: {", ".join(sorted(map(_name, known)))}'
    names = f': {", ".join(sorted(map(_name, publishers)))}' if len(publishers) > 1 else ''
    return f'2 publishers speak, one is not believed{names}'


def _gid(info: TopicEndpointInfo) -> bytes:
    return bytes(cast('list[int]', info.endpoint_gid))[:16]


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
