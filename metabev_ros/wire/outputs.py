"""Outputs: their topics, and results as DetectionArray, BevMap, MarkerArray and OccupancyGrid.

The node publishes these bytes as they are and replay writes the same bytes into a bag, so both
say the same by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabev_ros.class_errors import ClassErrors
from metabev_ros.config import MarkersConfig
from metabev_ros.coverage import seen_cells
from metabev_ros.errors import BackendError
from metabev_ros.structures import (
    DRIVABLE_CLASS,
    ModelInfo,
    PerceptionResult,
)
from metabev_ros.wire.cdr import PACKAGE, header, message_class, serialize
from metabev_ros.wire.grids import occupancy_grid
from metabev_ros.wire.markers import marker_array
from metabev_ros.wire.poses import point, pose_covariance, vector, velocity_covariance

HASH_DIGITS = 16  # of the model's hash, in messages

DETECTIONS, BEV_MAP, STATUS = 'detections', 'bev_map', 'status'
MARKERS, DRIVABLE_AREA, DIAGNOSTICS = 'markers', 'drivable_area', '/diagnostics'
TRACKS = 'tracks'
OUTPUT_TYPES = {
    STATUS: f'{PACKAGE}/msg/PerceptionStatus',
    DETECTIONS: f'{PACKAGE}/msg/DetectionArray',
    BEV_MAP: f'{PACKAGE}/msg/BevMap',
    MARKERS: 'visualization_msgs/msg/MarkerArray',
    DRIVABLE_AREA: 'nav_msgs/msg/OccupancyGrid',
    TRACKS: f'{PACKAGE}/msg/TrackArray',
    DIAGNOSTICS: 'diagnostic_msgs/msg/DiagnosticArray',
}
MOST_BOXES = 2000  # of one output; more is a broken model, not a crowded road


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


def check_result(result: PerceptionResult, classes: int) -> None:
    """Only finite, possible outputs leave this process (invariant "Possible outputs").

    Args:
        classes: how many the model tells apart.

    Raises:
        BackendError: naming what is wrong.
    """
    found = result.detections
    count = len(found.scores)
    shapes = (found.boxes.shape, found.scores.shape, found.labels.shape)
    checks = (
        ('shapes', shapes == ((count, 9), (count,), (count,)), '(M, 9), (M,) and (M,)'),
        ('number', count <= MOST_BOXES, f'at most {MOST_BOXES} boxes'),
        (
            'labels',
            bool(((found.labels >= 0) & (found.labels < classes)).all()),
            f'classes 0..{classes - 1}',
        ),
        ('boxes', bool(np.isfinite(found.boxes).all()), 'finite numbers'),
        ('sizes', bool((found.boxes[:, 3:6] > 0).all()), 'sizes above zero'),
        ('scores', bool(((found.scores >= 0) & (found.scores <= 1)).all()), 'scores in [0, 1]'),
        ('map', bool(np.isfinite(result.map_probabilities).all()), 'finite probabilities'),
    )
    for what, passed, expected in checks:
        if not passed:
            raise BackendError(
                f'pipeline output {what}', expected, 'other values', 'the sample is not published'
            )


def encode_result(
    result: PerceptionResult,
    model: ModelInfo,
    frame: str,
    markers: MarkersConfig | None = None,
    seen: np.ndarray | None = None,
) -> list[OutMessage]:
    """DetectionArray, BevMap, MarkerArray and OccupancyGrid of one result.

    The bytes are a pure function of the arguments.

    Args:
        markers: None: as shipped.
        seen: (Y, X) bool, cells that the sensors looked at; None: found out here.

    Raises:
        BackendError: if the result is not finite and valid.
    """
    check_result(result, len(model.detection_classes))
    head = header(result.sample.stamp_ns, frame)
    if seen is None:
        seen = seen_cells(result.sample, model.map_grid, model.camera_reach)
    drivable = result.map_probabilities[model.map_classes.index(DRIVABLE_CLASS)]
    blocked, found = 1 - np.clip(drivable, 0, 1), result.detections
    return [
        out_message(DETECTIONS, _detection_array(result, model, head)),
        out_message(BEV_MAP, _bev_map(result, model, head)),
        out_message(MARKERS, marker_array(found, model, head, markers or MarkersConfig())),
        out_message(DRIVABLE_AREA, occupancy_grid(blocked, seen, result, model, frame)),
    ]


def _used(result: PerceptionResult) -> tuple[list[str], np.ndarray]:
    reports = [report for report in result.sample.sensors if report.used]
    ages = np.array([to_seconds(report.age_ns) for report in reports], np.float32)
    return [report.name for report in reports], ages


def _detection_array(result: PerceptionResult, model: ModelInfo, head: Any) -> Any:
    names, ages = _used(result)
    classes = model.detection_classes
    kind = message_class(f'{PACKAGE}/msg/Detection')
    found, measured = result.detections, model.errors.get(result.sample.modality, {})
    detections = [
        kind(
            class_name=classes[label],
            class_id=int(label),
            score=float(score),
            center=point(*box[:3]),
            size=vector(*box[3:6]),
            yaw=float(box[6]),
            velocity=vector(box[7], box[8], 0.0),
            **covariances(measured.get(classes[int(label)])),
        )
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    ]
    return message_class(OUTPUT_TYPES[DETECTIONS])(
        header=head,
        modality=int(result.sample.modality),
        sensors=names,
        sensor_ages=ages,
        model_hash=model.hash[:HASH_DIGITS],
        detections=detections,
    )


def _bev_map(result: PerceptionResult, model: ModelInfo, head: Any) -> Any:
    names, ages = _used(result)
    grid = model.map_grid
    data = np.rint(np.clip(result.map_probabilities, 0, 1) * np.float32(255)).astype(np.uint8)
    return message_class(OUTPUT_TYPES[BEV_MAP])(
        header=head,
        modality=int(result.sample.modality),
        sensors=names,
        sensor_ages=ages,
        model_hash=model.hash[:HASH_DIGITS],
        class_names=list(model.map_classes),
        resolution=grid.cell,
        width=grid.columns,
        height=grid.rows,
        origin=point(grid.x_min, grid.y_min, 0.0),
        data=data.reshape(-1),
    )


def covariances(errors: ClassErrors | None) -> dict[str, Any]:
    """The fields of a Detection that say what is known of its errors; all zero without."""
    moving = None if errors is None else errors.velocity
    of_box = pose_covariance(errors)
    return {
        'has_covariance': errors is not None,
        'position_covariance': of_box[:3, :3].reshape(-1),
        'yaw_variance': float(of_box[5, 5]),
        'has_velocity_covariance': moving is not None,
        'velocity_covariance': velocity_covariance(errors)[:3, :3].reshape(-1),
    }
