"""foxglove_msgs/SceneUpdate of a result: for Foxglove, where RViz is not at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabev_ros.config import MarkersConfig
from metabev_ros.structures import ModelInfo, PerceptionResult, class_colour
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.definitions import SCENE
from metabev_ros.wire.markers import duration, label_text, shown_boxes
from metabev_ros.wire.poses import pose, vector

OPACITY, TEXT_SIZE = 0.5, 0.6  # the latter in metres


def scene_update(
    result: PerceptionResult, model: ModelInfo, frame: str, markers: MarkersConfig
) -> Any:
    """One entity a class, which takes the place of the one before: cubes, texts if wanted."""
    found, classes = result.detections, model.detection_classes
    shown = shown_boxes(found, markers)
    stamp = header(result.sample.stamp_ns, frame).stamp
    cubes: dict[str, list[Any]] = {name: [] for name in classes}
    texts: dict[str, list[Any]] = {name: [] for name in classes}
    for box, score, label in zip(
        found.boxes[shown], found.scores[shown], found.labels[shown], strict=True
    ):
        name = classes[int(label)]
        cubes[name].append(_cube(box, name))
        if markers.text:
            texts[name].append(_text(box, name, float(score)))
    entities = [
        _message('SceneEntity')(
            timestamp=stamp,
            frame_id=frame,
            id=name,
            lifetime=duration(markers.lifetime),
            frame_locked=False,
            metadata=_metadata(result),
            arrows=[],
            cubes=cubes[name],
            spheres=[],
            cylinders=[],
            lines=[],
            triangles=[],
            texts=texts[name],
            models=[],
        )
        for name in classes
    ]
    return message_class(SCENE)(deletions=[], entities=entities)


def _metadata(result: PerceptionResult) -> list[Any]:
    """The label: what the boxes were made from."""
    sample = result.sample
    values = {'modality': sample.modality.name, 'sensors': ', '.join(sample.used_sensors)}
    return [_message('KeyValuePair')(key=key, value=value) for key, value in values.items()]


def _cube(box: np.ndarray, name: str) -> Any:
    place = pose(*box[:3], yaw=float(box[6]))
    return _message('CubePrimitive')(pose=place, size=vector(*box[3:6]), color=_colour(name))


def _text(box: np.ndarray, name: str, score: float) -> Any:
    top = float(box[2] + box[5] / 2)
    return _message('TextPrimitive')(
        pose=pose(box[0], box[1], top + TEXT_SIZE),
        billboard=True,
        font_size=TEXT_SIZE,
        scale_invariant=False,
        color=_colour(name, 1.0),
        text=label_text(name, score),
    )


def _colour(name: str, opacity: float = OPACITY) -> Any:
    red, green, blue = (part / 255 for part in class_colour(name))
    return _message('Color')(r=red, g=green, b=blue, a=opacity)


def _message(name: str) -> Any:
    return message_class(f'foxglove_msgs/msg/{name}')
