"""Boxes that an evaluation takes."""

from __future__ import annotations

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.structures import DETECTION_CLASSES


def valid_boxes(where: str, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The boxes as (N, 9) float64.

    Args:
        where: 'detections' or 'truth', for errors.

    Raises:
        ConfigError: for boxes without size, values that are not finite but for velocities, or
            labels that do not fit.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 9)
    labels = np.asarray(labels)
    if (
        len(labels) != len(boxes)
        or not np.isfinite(boxes[:, :7]).all()
        or (boxes[:, 3:6] <= 0).any()
    ):
        raise ConfigError(
            f'DetectionEvaluator.add.{where}',
            'finite boxes of positive size with one label each',
            f'{len(boxes)} boxes, {len(labels)} labels',
        )
    if len(labels) and not (0 <= labels.min() and labels.max() < len(DETECTION_CLASSES)):
        raise ConfigError(
            f'DetectionEvaluator.add.{where}.labels',
            f'0..{len(DETECTION_CLASSES) - 1}',
            f'{labels.min()}..{labels.max()}',
        )
    return boxes
