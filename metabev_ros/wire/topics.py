"""What is published: topics, their types, and one output as bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metabev_ros.wire.cdr import PACKAGE, serialize

HASH_DIGITS = 16  # of the model's hash, in messages

DETECTIONS, BEV_MAP, STATUS = 'detections', 'bev_map', 'status'
MARKERS, DRIVABLE_AREA, DIAGNOSTICS = 'markers', 'drivable_area', '/diagnostics'
OUTPUT_TYPES = {
    STATUS: f'{PACKAGE}/msg/PerceptionStatus',
    DETECTIONS: f'{PACKAGE}/msg/DetectionArray',
    BEV_MAP: f'{PACKAGE}/msg/BevMap',
    MARKERS: 'visualization_msgs/msg/MarkerArray',
    DRIVABLE_AREA: 'nav_msgs/msg/OccupancyGrid',
    DIAGNOSTICS: 'diagnostic_msgs/msg/DiagnosticArray',
}


@dataclass(frozen=True)
class OutMessage:
    """One output: topic relative to the node ('/...' is absolute), type, serialized bytes."""

    topic: str
    msgtype: str
    cdr: bytes


def out_message(topic: str, message: object) -> OutMessage:
    """A message of the type that belongs to `topic`, serialized."""
    msgtype = OUTPUT_TYPES[topic]
    return OutMessage(topic, msgtype, serialize(message, msgtype))


def to_seconds(nanoseconds: int | None) -> float:
    """NaN for an unknown age."""
    return math.nan if nanoseconds is None else nanoseconds * 1e-9
