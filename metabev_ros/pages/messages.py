"""The node's messages as pages and the judge of the demonstration keep them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid
from metabev_ros.structures import (
    DETECTION_CLASSES,
    MAP_CLASSES,
    Detections,
    Modality,
    SensorKind,
    SensorReport,
    SensorState,
)

_Member = TypeVar('_Member', bound=enum.IntEnum)
MOST_CELLS = 16 * 2**20  # of all layers of a map


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
    """Boxes and map of one stamp, from DetectionArray and BevMap.

    Attributes:
        sensors: names of those that it was made from.
        map_probabilities: (K, Y, X) float32 on `map_grid`, in the order of `map_classes`; None
            where there is no map.
        class_names: of the boxes' labels.
    """

    modality: Modality
    sensors: tuple[str, ...]
    detections: Detections
    map_probabilities: np.ndarray | None
    map_grid: BevGrid = NUSCENES_MAP_GRID
    map_classes: tuple[str, ...] = MAP_CLASSES
    class_names: tuple[str, ...] = DETECTION_CLASSES


def node_prefix(topics: Mapping[str, str]) -> str | None:
    """The topics of a node's outputs up to its name: '/perception/'; None where there is none.

    Args:
        topics: topic -> message type; of several nodes the first by name counts.
    """
    kind = wire.OUTPUT_TYPES[wire.STATUS]
    found = sorted(
        topic.removesuffix(wire.STATUS)
        for topic, msgtype in topics.items()
        if msgtype == kind and topic.endswith(f'/{wire.STATUS}')
    )
    return found[0] if found else None


def _member(kind: type[_Member], value: int) -> _Member:
    try:
        return kind(value)
    except ValueError as error:
        raise SensorDataError('value', kind.__name__, 'one of its values', str(value)) from error


def read_output(message: BagMessage, topic: str) -> Output:
    """The label of a DetectionArray or BevMap.

    Raises:
        SensorDataError: for bytes that are none, and for values that nothing has.
    """
    content = wire.deserialize(message.cdr, message.msgtype)
    ages = {
        clean_text(name): round(float(age) * 1e9)
        for name, age in zip(content.sensors, content.sensor_ages, strict=False)
        if np.isfinite(age)
    }
    return Output(
        topic,
        wire.stamp_to_ns(content.header.stamp),
        message.log_time_ns,
        _member(Modality, content.modality),
        ages,
    )


def read_status(message: BagMessage) -> Status:
    """A PerceptionStatus.

    Raises:
        SensorDataError: for bytes that are none, and for values that nothing has.
    """
    content = wire.deserialize(message.cdr, message.msgtype)
    reports = tuple(
        SensorReport(
            clean_text(s.name),
            SensorKind.CAMERA if s.kind == 1 else SensorKind.LIDAR,
            _member(SensorState, s.state),
            s.used,
            None,
            round(float(s.age) * 1e9) if np.isfinite(s.age) else None,
            float(s.rate),
            clean_text(s.reason, 256),
            int(s.received),
            int(s.rejected),
        )
        for s in content.sensors
    )
    return Status(
        wire.stamp_to_ns(content.header.stamp),
        message.log_time_ns,
        content.is_heartbeat,
        _member(Modality, content.modality),
        reports,
        float(content.latency),
        dict(
            zip(map(clean_text, content.stages), map(float, content.stage_latencies), strict=False)
        ),
        clean_text(f'{content.model_name} {content.model_hash} on {content.backend}', 128),
        int(content.outputs),
        int(content.dropped_samples),
    )


def read_detections(message: Any) -> Detections:
    """The boxes of a DetectionArray.

    Raises:
        SensorDataError: for boxes that are not finite.
    """
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
    boxes = np.array(rows, np.float32).reshape(-1, 9)
    if not np.isfinite(boxes).all():
        raise SensorDataError('boxes', wire.DETECTIONS, 'finite numbers', 'others')
    return Detections(
        boxes,
        np.array([d.score for d in message.detections], np.float32),
        np.array([d.class_id for d in message.detections], np.int64),
    )


def read_frame(boxes: bytes, layers: bytes | None) -> Frame:
    """One output, of a DetectionArray and the BevMap of its stamp.

    Raises:
        SensorDataError: for bytes that are none, or a map whose size is not what it says.
    """
    message = wire.deserialize(boxes, wire.OUTPUT_TYPES[wire.DETECTIONS])
    names = dict(enumerate(DETECTION_CLASSES))
    names |= {int(d.class_id): clean_text(d.class_name) for d in message.detections}
    frame = Frame(
        _member(Modality, message.modality),
        tuple(map(clean_text, message.sensors)),
        read_detections(message),
        None,
        class_names=tuple(names.get(index, '?') for index in range(max(names) + 1)),
    )
    return frame if layers is None else _with_layers(frame, layers)


def _with_layers(frame: Frame, cdr: bytes) -> Frame:
    message = wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.BEV_MAP])
    shape = len(message.class_names), int(message.height), int(message.width)
    count, where = int(np.prod(shape, dtype=object)), wire.BEV_MAP
    if count != len(message.data) or not 0 < count <= MOST_CELLS:
        raise SensorDataError('size', where, f'{shape} cells', f'{len(message.data)} bytes')
    x, y, cell = message.origin.x, message.origin.y, round(float(message.resolution), 6)
    try:
        grid = BevGrid(x, x + shape[2] * cell, y, y + shape[1] * cell, cell)
    except (ConfigError, ValueError, OverflowError) as error:
        raise SensorDataError('grid', where, 'cells of a size', str(error)) from error
    layers = np.asarray(message.data, np.uint8).reshape(shape).astype(np.float32) / 255
    names = tuple(map(clean_text, message.class_names))
    return replace(frame, map_probabilities=layers, map_grid=grid, map_classes=names)
