"""The node's messages as the judge keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.structures import Detections, Modality, SensorKind, SensorReport, SensorState


@dataclass(frozen=True)
class Output:
    """One DetectionArray or BevMap: its label, and when it came.

    Attributes:
        wall_ns: reception, clock of the recorder.
        ages_ns: sensor name -> stamp of the output minus stamp of that sensor's data.
    """

    topic: str
    stamp_ns: int
    wall_ns: int
    modality: Modality
    ages_ns: dict[str, int]

    @property
    def sensors(self) -> frozenset[str]:
        """Names of the sensors that the label holds."""
        return frozenset(self.ages_ns)


@dataclass(frozen=True)
class Status:
    """One PerceptionStatus.

    Attributes:
        outputs, dropped: samples published and samples replaced by newer ones since the start.
    """

    stamp_ns: int
    wall_ns: int
    is_heartbeat: bool
    modality: Modality
    sensors: tuple[SensorReport, ...]
    latency_s: float
    stages: dict[str, float]
    model: str
    outputs: int = 0
    dropped: int = 0

    def state(self, sensor: str) -> SensorState:
        """State that the message gives a sensor."""
        return next(report.state for report in self.sensors if report.name == sensor)


@dataclass(frozen=True)
class Diagnostic:
    """The node's own entry of one DiagnosticArray."""

    wall_ns: int
    level: int


@dataclass(frozen=True)
class Frame:
    """Boxes and map of one stamp, from DetectionArray and BevMap."""

    modality: Modality
    sensors: tuple[str, ...]
    detections: Detections
    map_probabilities: np.ndarray | None


def read_output(message: BagMessage, topic: str) -> Output:
    """The label of a DetectionArray or BevMap."""
    content = wire.deserialize(message.cdr, message.msgtype)
    ages = {
        name: round(float(age) * 1e9)
        for name, age in zip(content.sensors, content.sensor_ages, strict=True)
    }
    return Output(
        topic,
        wire.stamp_to_ns(content.header.stamp),
        message.log_time_ns,
        Modality(content.modality),
        ages,
    )


def read_status(message: BagMessage) -> Status:
    """A PerceptionStatus."""
    content = wire.deserialize(message.cdr, message.msgtype)
    reports = tuple(
        SensorReport(
            s.name,
            SensorKind.CAMERA if s.kind == 1 else SensorKind.LIDAR,
            SensorState(s.state),
            s.used,
            None,
            None if np.isnan(s.age) else round(float(s.age) * 1e9),
            float(s.rate),
            s.reason,
            int(s.received),
            int(s.rejected),
        )
        for s in content.sensors
    )
    return Status(
        wire.stamp_to_ns(content.header.stamp),
        message.log_time_ns,
        content.is_heartbeat,
        Modality(content.modality),
        reports,
        float(content.latency),
        dict(zip(content.stages, map(float, content.stage_latencies), strict=True)),
        f'{content.model_name} {content.model_hash} on {content.backend}',
        int(content.outputs),
        int(content.dropped_samples),
    )


def read_detections(message: Any) -> Detections:
    """The boxes of a DetectionArray."""
    rows = [
        (
            d.center.x,
            d.center.y,
            d.center.z,
            d.size.x,
            d.size.y,
            d.size.z,
            d.yaw,
            d.velocity.x,
            d.velocity.y,
        )
        for d in message.detections
    ]
    return Detections(
        np.array(rows, np.float32).reshape(-1, 9),
        np.array([d.score for d in message.detections], np.float32),
        np.array([d.class_id for d in message.detections], np.int64),
    )


def read_layers(cdr: bytes) -> np.ndarray:
    """(K, Y, X) float32 probabilities."""
    message = wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.BEV_MAP])
    shape = len(message.class_names), message.height, message.width
    return np.asarray(message.data, np.float32).reshape(shape) / 255
