"""The ground of one output from above: map, points, boxes and what is true."""

from __future__ import annotations

import numpy as np

from metabev_ros.drawing import BevView, draw_bev
from metabev_ros.pages.messages import Frame

SHOWN_SCORE = 0.25
HALF_LENGTH = 51.0  # metres from the ego to the upper border of the bird's-eye view


def boxes_shown(frame: Frame | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, 9) boxes, (M,) labels and (M,) scores of those that are sure enough to be shown."""
    if frame is None:
        return np.zeros((0, 9), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
    found = frame.detections
    shown = found.scores >= SHOWN_SCORE
    return found.boxes[shown], found.labels[shown], found.scores[shown]


def draw_frame(
    frame: Frame | None,
    view: BevView,
    points: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    with_map: bool = True,
) -> np.ndarray:
    """(view.height, view.width, 3) uint8 RGB: map, points, boxes over the truth's outlines.

    Args:
        points: (P, >=3) metres in the ego frame; None for none.
        truth: (T, >=7) true boxes; None for none.
    """
    if frame is None:
        return draw_bev(view, points=points, truth=truth)
    boxes, labels, scores = boxes_shown(frame)
    return draw_bev(
        view,
        frame.map_probabilities if with_map else None,
        frame.map_grid,
        points,
        boxes,
        labels,
        scores,
        truth,
        frame.class_names,
        frame.map_classes,
    )
