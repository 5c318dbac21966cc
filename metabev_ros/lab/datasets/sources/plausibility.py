"""Checks of labels and points against each other: calibration or boxes that cannot be right."""

from __future__ import annotations

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.world import count_points

NEAR_M = 30.0  # a visible object nearer than this has points
FEWEST_BOXES = 3  # one box may be empty; that three near ones are is no accident


def require_points_in_boxes(where: str, points: np.ndarray, boxes: np.ndarray) -> None:
    """Stop where boxes and points do not belong together.

    Args:
        where: names the frame in the error.
        points: (P, 3) float64 in the ego frame.
        boxes: (M, >=7) of objects that are in sight, in the same frame.

    Raises:
        ConfigError: where three or more boxes are near, and none of them has a point.
    """
    near = boxes[np.linalg.norm(boxes[:, :2], axis=1) < NEAR_M]
    if len(near) < FEWEST_BOXES or count_points(points, near).any():
        return
    raise ConfigError(
        where,
        f'points in some of the {len(near)} boxes nearer than {NEAR_M:g} m',
        'none in any',
        'calibration, labels and points are not of the same drive, or in another convention',
    )
