"""Overlap of upright boxes of any turn: their IoU in space and seen from above."""

from __future__ import annotations

import numpy as np

# Corners of a unit square, counter-clockwise.
UNIT = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) IoU of upright boxes (N, 7) and (M, 7): x y z length width height yaw."""
    i, j = _near(first, second)
    iou = np.zeros((len(first), len(second)))
    if len(i) == 0:
        return iou
    a, b = first[i], second[j]
    top = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    common = overlap_area(corners(a), corners(b)) * np.clip(top - bottom, 0, None)
    iou[i, j] = common / (a[:, 3:6].prod(1) + b[:, 3:6].prod(1) - common)
    return iou


def footprint_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) IoU of the footprints of (N, 7) and (M, 7) boxes, seen from above."""
    i, j = _near(first, second)
    iou = np.zeros((len(first), len(second)))
    if len(i) == 0:
        return iou
    a, b = first[i], second[j]
    common = overlap_area(corners(a), corners(b))
    iou[i, j] = common / (a[:, 3:5].prod(1) + b[:, 3:5].prod(1) - common)
    return iou


def _near(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both that can meet, pair by pair."""
    reach = np.linalg.norm(first[:, None, 3:5], axis=-1) + np.linalg.norm(second[:, 3:5], axis=-1)
    distance = np.linalg.norm(first[:, None, :2] - second[None, :, :2], axis=-1)
    i, j = np.nonzero(distance < reach / 2)
    return i, j


def corners(boxes: np.ndarray) -> np.ndarray:
    """(N, 7) -> (N, 4, 2) footprint corners, counter-clockwise."""
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    return (UNIT * boxes[:, None, 3:5]) @ rotation.transpose(0, 2, 1) + boxes[:, None, :2]


def overlap_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area of the intersection of convex quadrilaterals, pair by pair: (N, 4, 2) twice -> (N,).

    The intersection's corners are corners of one inside the other and crossings of edges.
    """
    crossings, crossed = _edge_crossings(first, second)
    points = np.concatenate([first, second, crossings], 1)  # (N, 24, 2)
    valid = np.concatenate([_inside(first, second), _inside(second, first), crossed], 1)
    count = valid.sum(1)
    centre = (points * valid[..., None]).sum(1) / np.maximum(count, 1)[:, None]
    around = points - centre[:, None]
    angle = np.where(valid, np.arctan2(around[..., 1], around[..., 0]), np.inf)
    order = np.argsort(angle, axis=1)
    ring = np.take_along_axis(around, order[..., None], 1)
    kept = np.take_along_axis(valid, order, 1)
    ring = np.where(kept[..., None], ring, ring[:, :1])  # what is left out closes the ring
    following = np.roll(ring, -1, axis=1)
    area = (ring[..., 0] * following[..., 1] - ring[..., 1] * following[..., 0]).sum(1) / 2
    return np.where(count >= 3, area, 0.0)


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(N, 4) whether each point lies inside or on the border of its polygon."""
    edge = np.roll(polygon, -1, axis=1) - polygon
    to = points[:, :, None] - polygon[:, None]
    cross = edge[:, None, :, 0] * to[..., 1] - edge[:, None, :, 1] * to[..., 0]
    return np.asarray((cross >= -1e-9).all(-1))


def _edge_crossings(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 16, 2) points and (N, 16) whether the two edges cross there."""
    a = (np.roll(first, -1, axis=1) - first)[:, :, None]
    b = (np.roll(second, -1, axis=1) - second)[:, None]
    between = second[:, None] - first[:, :, None]
    with np.errstate(divide='ignore', invalid='ignore'):  # parallel edges do not cross
        across = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        s = (between[..., 0] * b[..., 1] - between[..., 1] * b[..., 0]) / across
        t = (between[..., 0] * a[..., 1] - between[..., 1] * a[..., 0]) / across
    crossed = (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1) & (np.abs(across) > 1e-12)
    points = first[:, :, None] + np.where(crossed, s, 0.0)[..., None] * a
    return points.reshape(len(first), 16, 2), crossed.reshape(len(first), 16)
