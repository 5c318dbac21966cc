"""Outputs: their topics, and results as DetectionArray, BevMap, MarkerArray and OccupancyGrid.

The node publishes these bytes as they are and replay writes the same bytes into a bag, so both
say the same by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.geometry import BOX_EDGES, box_corners
from metabev_ros.structures import (
    DRIVABLE_CLASS,
    Detections,
    ModelInfo,
    PerceptionResult,
    class_colour,
)
from metabev_ros.wire.cdr import PACKAGE, header, message_class, serialize

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
MARKER_SCORE = 0.2  # boxes below are in DetectionArray, but only clutter a view
MARKER_LIMIT = 100
MOST_BOXES = 2000  # of one output; more is a broken model, not a crowded road
MARKER_LIFETIME_NS = 500_000_000
MARKER_EDGES = (*BOX_EDGES, (0, 7), (3, 4))  # the last two cross the front face


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


def encode_result(result: PerceptionResult, model: ModelInfo, frame: str) -> list[OutMessage]:
    """DetectionArray, BevMap, MarkerArray and OccupancyGrid of one result.

    The bytes are a pure function of the arguments.

    Raises:
        BackendError: if the result is not finite and valid.
    """
    check_result(result, len(model.detection_classes))
    head = header(result.sample.stamp_ns, frame)
    return [
        out_message(DETECTIONS, _detection_array(result, model, head)),
        out_message(BEV_MAP, _bev_map(result, model, head)),
        out_message(MARKERS, _marker_array(result.detections, model, head)),
        out_message(DRIVABLE_AREA, _occupancy_grid(result, model, head)),
    ]


def _used(result: PerceptionResult) -> tuple[list[str], np.ndarray]:
    reports = [report for report in result.sample.sensors if report.used]
    ages = np.array([to_seconds(report.age_ns) for report in reports], np.float32)
    return [report.name for report in reports], ages


def _detection_array(result: PerceptionResult, model: ModelInfo, head: Any) -> Any:
    names, ages = _used(result)
    classes = model.detection_classes
    kind = message_class(f'{PACKAGE}/msg/Detection')
    found = result.detections
    detections = [
        kind(
            class_name=classes[label],
            class_id=int(label),
            score=float(score),
            center=point(*box[:3]),
            size=vector(*box[3:6]),
            yaw=float(box[6]),
            velocity=vector(box[7], box[8], 0.0),
            has_covariance=False,
            position_covariance=np.zeros(9),
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


def _occupancy_grid(result: PerceptionResult, model: ModelInfo, head: Any) -> Any:
    grid = model.map_grid
    layer = model.map_classes.index(DRIVABLE_CLASS)
    free = np.clip(result.map_probabilities[layer], 0, 1)
    info = message_class('nav_msgs/msg/MapMetaData')(
        map_load_time=head.stamp,
        resolution=grid.cell,
        width=grid.columns,
        height=grid.rows,
        origin=_pose(grid.x_min, grid.y_min, 0.0),
    )
    return message_class(OUTPUT_TYPES[DRIVABLE_AREA])(
        header=head,
        info=info,
        data=np.rint((1 - free) * np.float32(100)).astype(np.int8).reshape(-1),
    )


def _marker_array(found: Detections, model: ModelInfo, head: Any) -> Any:
    """One LINE_LIST a class: a handful of markers however many boxes (a cube each costs 10x)."""
    shown = found.scores >= MARKER_SCORE
    shown[MARKER_LIMIT:] = False  # best first
    edges = box_corners(found.boxes[shown])[:, np.array(MARKER_EDGES).reshape(-1)]
    labels = found.labels[shown]
    names = model.detection_classes
    return message_class(OUTPUT_TYPES[MARKERS])(
        markers=[
            _line_list(head, name, edges[labels == index].reshape(-1, 3))
            for index, name in enumerate(names)
        ]
    )


def _line_list(head: Any, name: str, points: np.ndarray) -> Any:
    kind = message_class('visualization_msgs/msg/Marker')
    point = message_class('geometry_msgs/msg/Point')
    red, green, blue = (part / 255 for part in class_colour(name))
    color = message_class('std_msgs/msg/ColorRGBA')(r=red, g=green, b=blue, a=1.0)
    clear = not len(points)  # an empty LINE_LIST is an error in RViz: delete the old one instead
    return kind(
        header=head,
        ns=name,
        id=0,
        type=kind.LINE_LIST,
        action=kind.DELETE if clear else kind.ADD,
        pose=_pose(0.0, 0.0, 0.0),
        scale=vector(0.08, 0.0, 0.0),
        color=color,
        lifetime=message_class('builtin_interfaces/msg/Duration')(
            sec=0, nanosec=MARKER_LIFETIME_NS
        ),
        frame_locked=False,
        points=[point(*xyz) for xyz in points.tolist()],
        colors=[],
        texture_resource='',
        texture=_no_texture(),
        uv_coordinates=[],
        text='',
        mesh_resource='',
        mesh_file=message_class('visualization_msgs/msg/MeshFile')(
            filename='', data=np.zeros(0, np.uint8)
        ),
        mesh_use_embedded_materials=False,
    )


def _no_texture() -> Any:
    return message_class('sensor_msgs/msg/CompressedImage')(
        header=header(0, ''), format='', data=np.zeros(0, np.uint8)
    )


def point(x: float, y: float, z: float) -> Any:
    """geometry_msgs/Point."""
    return message_class('geometry_msgs/msg/Point')(x=float(x), y=float(y), z=float(z))


def vector(x: float, y: float, z: float) -> Any:
    """geometry_msgs/Vector3."""
    return message_class('geometry_msgs/msg/Vector3')(x=float(x), y=float(y), z=float(z))


def _pose(x: float, y: float, z: float) -> Any:
    quaternion = message_class('geometry_msgs/msg/Quaternion')(x=0.0, y=0.0, z=0.0, w=1.0)
    return message_class('geometry_msgs/msg/Pose')(position=point(x, y, z), orientation=quaternion)
