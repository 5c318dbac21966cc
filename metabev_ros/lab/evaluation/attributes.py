"""The attribute of an object by its class and speed: the rule of BEVFusion and mmdet3d."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES, NO_ATTRIBUTE, GroundTruth
from metabev_ros.structures import DETECTION_CLASSES

MOVING_SPEED = 0.2  # m/s
_MOVING = {
    'car': 'vehicle.moving',
    'truck': 'vehicle.moving',
    'construction_vehicle': 'vehicle.moving',
    'bus': 'vehicle.moving',
    'trailer': 'vehicle.moving',
    'motorcycle': 'cycle.with_rider',
    'bicycle': 'cycle.with_rider',
    'pedestrian': 'pedestrian.moving',
}
_STILL = {
    'car': 'vehicle.parked',
    'truck': 'vehicle.parked',
    'construction_vehicle': 'vehicle.parked',
    'bus': 'vehicle.stopped',
    'trailer': 'vehicle.parked',
    'motorcycle': 'cycle.without_rider',
    'bicycle': 'cycle.without_rider',
    'pedestrian': 'pedestrian.standing',
}


def _indices(names: dict[str, str]) -> np.ndarray:
    return np.array(
        [
            ATTRIBUTES.index(names[name]) if name in names else NO_ATTRIBUTE
            for name in DETECTION_CLASSES
        ],
        np.int64,
    )


_MOVING_INDEX, _STILL_INDEX = _indices(_MOVING), _indices(_STILL)


def attributes_by_speed(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Attributes of boxes that bear none.

    Args:
        boxes: (N, 9); a velocity that is not known counts as standing.
        labels: (N,) indices into DETECTION_CLASSES.

    Returns:
        (N,) int64 indices into ATTRIBUTES; NO_ATTRIBUTE for barriers and cones.
    """
    labels = np.asarray(labels, np.int64)
    speed = np.linalg.norm(np.asarray(boxes, np.float64).reshape(-1, 9)[:, 7:9], axis=1)
    return np.where(speed > MOVING_SPEED, _MOVING_INDEX[labels], _STILL_INDEX[labels])


def true_attributes(truth: GroundTruth) -> np.ndarray:
    """Attributes of the truth: those that were annotated, else by the true speed.

    Returns:
        (M,) int64; NO_ATTRIBUTE where an object has none, or where neither attributes nor its
        velocity are known.
    """
    if truth.attributes is not None:
        return np.asarray(truth.attributes, np.int64)
    return attributes_where_known(truth.boxes, truth.labels)


def attributes_where_known(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Attributes by speed, NO_ATTRIBUTE where the velocity is not known."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 9)
    known = ~np.isnan(boxes[:, 7:9]).any(axis=1)
    return np.where(known, attributes_by_speed(boxes, labels), NO_ATTRIBUTE)
