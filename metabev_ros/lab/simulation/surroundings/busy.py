"""Ground that objects need: what stands beside the road must not stand in them."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.models import CLASS_INDEX
from metabev_ros.lab.simulation.areas import Surface
from metabev_ros.lab.simulation.layout import Layout

_MARGIN = 0.35  # metres around a box
_STEP = 0.5  # seconds between two looks at those who walk and ride beside the road
_ON_FOOT = ('pedestrian', 'bicycle')


def busy_places(layout: Layout, seconds: float) -> list[np.ndarray]:
    """(N, 2) polygons that must stay free for as long as the ego drives.

    Args:
        seconds: how long that is, from t = 0.
    """
    private = (Surface.DRIVEWAY, Surface.SITE)
    found = [area.polygon for area in layout.areas if area.surface in private]
    everybody = layout.population
    boxes, exists = everybody.at(0.0)
    found += _outlines(boxes[exists])
    labels = [CLASS_INDEX[name] for name in _ON_FOOT]
    walkers = everybody.take(np.flatnonzero(np.isin(everybody.labels, labels)))
    for t in np.arange(_STEP, seconds + _STEP, _STEP):
        boxes, exists = walkers.at(float(t))
        found += _outlines(boxes[exists])
    return found


def _outlines(boxes: np.ndarray) -> list[np.ndarray]:
    """Corners of (M, 9) boxes in the plane, with a margin."""
    half = boxes[:, 3:5] / 2 + _MARGIN
    c, s = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    x, y = (half[:, None] * signs).transpose(2, 0, 1)
    corners = np.stack([c[:, None] * x - s[:, None] * y, s[:, None] * x + c[:, None] * y], axis=-1)
    return list(corners + boxes[:, None, :2])
