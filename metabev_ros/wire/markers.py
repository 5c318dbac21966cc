"""visualization_msgs/MarkerArray of boxes, and parts of one for others: for RViz and Foxglove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metabev_ros.config import MarkersConfig
from metabev_ros.geometry import BOX_EDGES, box_corners
from metabev_ros.structures import Detections, ModelInfo, class_colour
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.poses import pose, vector

MARKER_LIMIT = 100
LINE_WIDTH = 0.08  # metres
MARKER_TEXT = 0.6  # metres, its height above a box and that of its letters
MARKER_EDGES = (*BOX_EDGES, (0, 7), (3, 4))  # the last two cross the front face


def shown_boxes(found: Detections, markers: MarkersConfig) -> np.ndarray:
    """(M,) bool: boxes that are drawn."""
    shown = found.scores >= markers.min_score
    shown[MARKER_LIMIT:] = False  # best first
    return shown


def label_text(name: str, score: float) -> str:
    """The text above a box."""
    return f'{name} {score:.2f}'


def duration(seconds: float) -> Any:
    """builtin_interfaces/Duration."""
    whole, rest = divmod(round(seconds * 1e9), 1_000_000_000)
    return message_class('builtin_interfaces/msg/Duration')(sec=whole, nanosec=rest)


def marker_array(found: Detections, model: ModelInfo, head: Any, markers: MarkersConfig) -> Any:
    """One LINE_LIST a class: a handful of markers however many boxes (a cube each costs 10x)."""
    shown = shown_boxes(found, markers)
    boxes, scores, labels = found.boxes[shown], found.scores[shown], found.labels[shown]
    edges = box_corners(boxes)[:, np.array(MARKER_EDGES).reshape(-1)]
    names, lifetime = model.detection_classes, duration(markers.lifetime)
    lists = [
        _line_list(head, name, edges[labels == index].reshape(-1, 3), lifetime)
        for index, name in enumerate(names)
    ]
    texts: list[Any] = []
    if markers.text:  # what is not written again vanishes with its lifetime
        for number, (box, score, label) in enumerate(zip(boxes, scores, labels, strict=True)):
            texts.append(
                text_marker(head, number, box, label_text(names[int(label)], score), lifetime)
            )
    return message_class('visualization_msgs/msg/MarkerArray')(markers=[*lists, *texts])


def _line_list(head: Any, name: str, points: np.ndarray, lifetime: Any) -> Any:
    red, green, blue = (part / 255 for part in class_colour(name))
    colour = message_class('std_msgs/msg/ColorRGBA')(r=red, g=green, b=blue, a=1.0)
    return lines_marker(head, name, points, lifetime, colour)


def lines_marker(
    head: Any,
    namespace: str,
    points: np.ndarray,
    lifetime: Any,
    colour: Any,
    colours: Sequence[Any] = (),
) -> Any:
    """A LINE_LIST of (P, 3) points, two a line; it deletes the one before where there is none.

    Args:
        colour: std_msgs/ColorRGBA of all.
        colours: of each point, in its place.
    """
    kind = message_class('visualization_msgs/msg/Marker')
    corner = message_class('geometry_msgs/msg/Point')
    clear = not len(points)  # an empty LINE_LIST is an error in RViz
    return _marker(
        header=head,
        ns=namespace,
        type=kind.LINE_LIST,
        action=kind.DELETE if clear else kind.ADD,
        scale=vector(LINE_WIDTH, 0.0, 0.0),
        color=colour,
        lifetime=lifetime,
        points=[corner(*xyz) for xyz in points.tolist()],
        colors=list(colours),
    )


def text_marker(head: Any, number: int, box: np.ndarray, text: str, lifetime: Any) -> Any:
    """Text above a box, which always faces who looks."""
    kind = message_class('visualization_msgs/msg/Marker')
    top = float(box[2] + box[5] / 2)
    return _marker(
        header=head,
        ns='text',
        id=number,
        type=kind.TEXT_VIEW_FACING,
        action=kind.ADD,
        pose=pose(box[0], box[1], top + MARKER_TEXT),
        scale=vector(0.0, 0.0, MARKER_TEXT),
        color=message_class('std_msgs/msg/ColorRGBA')(r=1.0, g=1.0, b=1.0, a=1.0),
        lifetime=lifetime,
        text=text,
    )


def _marker(**fields: Any) -> Any:
    """A Marker with these fields; the others say nothing."""
    plain: dict[str, Any] = {
        'id': 0,
        'pose': pose(0.0, 0.0, 0.0),
        'frame_locked': False,
        'points': [],
        'colors': [],
        'texture_resource': '',
        'texture': _no_texture(),
        'uv_coordinates': [],
        'text': '',
        'mesh_resource': '',
        'mesh_file': message_class('visualization_msgs/msg/MeshFile')(
            filename='', data=np.zeros(0, np.uint8)
        ),
        'mesh_use_embedded_materials': False,
    }
    return message_class('visualization_msgs/msg/Marker')(**(plain | fields))


def _no_texture() -> Any:
    return message_class('sensor_msgs/msg/CompressedImage')(
        header=header(0, ''), format='', data=np.zeros(0, np.uint8)
    )
