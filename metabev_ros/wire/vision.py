"""vision_msgs/Detection3DArray of a result.

It has no place for modality, sensors and velocity: ~/status bears the label of the same stamp.
"""

from __future__ import annotations

from typing import Any

from metabev_ros.structures import ModelInfo, PerceptionResult
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.definitions import VISION
from metabev_ros.wire.poses import pose, pose_covariance, vector, with_covariance


def vision_detections(result: PerceptionResult, model: ModelInfo, frame: str) -> Any:
    """One hypothesis a box; the covariance is all zero where no errors were measured."""
    head = header(result.sample.stamp_ns, frame)
    errors = model.errors.get(result.sample.modality, {})
    classes, found = model.detection_classes, result.detections
    detections: list[Any] = []
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        name = classes[int(label)]
        place = pose(*box[:3], yaw=float(box[6]))
        hypothesis = _message('ObjectHypothesisWithPose')(
            hypothesis=_message('ObjectHypothesis')(class_id=name, score=float(score)),
            pose=with_covariance(place, pose_covariance(errors.get(name))),
        )
        shape = _message('BoundingBox3D')(center=place, size=vector(*box[3:6]))
        detections.append(
            _message('Detection3D')(header=head, results=[hypothesis], bbox=shape, id='')
        )
    return message_class(VISION)(header=head, detections=detections)


def _message(name: str) -> Any:
    return message_class(f'vision_msgs/msg/{name}')
