"""Assignment of queries to boxes: TransFusion's Hungarian matching (Bai et al. 2022).

Cost of a pair = 0.15 x focal class cost + 0.25 x L1 of the centres as shares of the grid - 0.25 x
IoU of the boxes. It runs without gradient on the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from metabev_ros.config import ModelConfig

CLASS_COST, CENTRE_COST, IOU_COST = 0.15, 0.25, 0.25
GAMMA, ALPHA = 2.0, 0.25
# Corners of a unit square, counter-clockwise.
UNIT = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])


@torch.no_grad()
def match_queries(
    logits: Tensor, boxes: Tensor, truth: Tensor, labels: Tensor, config: ModelConfig
) -> tuple[Tensor, Tensor]:
    """The cheapest one-to-one matching of one sample.

    Args:
        logits: (K, P) class logits of the queries.
        boxes: (10, P) channels of the queries, x and y in cells from the grid's corner.
        truth: (M, 10) the same of the true boxes.
        labels: (M,) their classes.

    Returns:
        indices of queries and of true boxes, each (min(P, M),) int64 on the boxes' device.
    """
    cost = class_cost(logits)[:, labels] * CLASS_COST  # (P, M)
    share = boxes.new_tensor([config.bev_grid.columns, config.bev_grid.rows])
    cost = cost + CENTRE_COST * torch.cdist(boxes[:2].t() / share, truth[:, :2] / share, p=1)
    cell = config.bev_grid.cell
    overlap = box_iou(metric_boxes(boxes.t(), cell), metric_boxes(truth, cell))
    cost = cost.double().cpu().numpy() - IOU_COST * overlap
    # A network that has diverged must not end the run here: its step is not taken.
    queries, rows = linear_sum_assignment(np.nan_to_num(cost, nan=1e6, posinf=1e6, neginf=-1e6))
    return (
        torch.as_tensor(queries, device=boxes.device),
        torch.as_tensor(rows, device=boxes.device),
    )


def class_cost(logits: Tensor) -> Tensor:
    """(K, P) -> (P, K): focal loss of saying the class, less that of not saying it."""
    p = logits.sigmoid()
    positive = -F.logsigmoid(logits) * ALPHA * (1 - p) ** GAMMA
    negative = -F.logsigmoid(-logits) * (1 - ALPHA) * p**GAMMA
    return (positive - negative).t()


def metric_boxes(channels: Tensor, cell: float) -> np.ndarray:
    """(M, 10) channels -> (M, 7) float64 x y z length width height yaw, origin at the corner."""
    c = channels.double().cpu().numpy()
    size = np.exp(np.clip(c[:, 3:6], -3.0, 4.0))  # as `postprocess.decode_boxes`
    yaw = np.arctan2(c[:, 6], c[:, 7])
    return np.concatenate([c[:, :2] * cell, c[:, 2:3], size, yaw[:, None]], 1)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) IoU of upright boxes (N, 7) and (M, 7): x y z length width height yaw."""
    iou = np.zeros((len(first), len(second)))
    reach = np.linalg.norm(first[:, None, 3:5], axis=-1) + np.linalg.norm(second[:, 3:5], axis=-1)
    distance = np.linalg.norm(first[:, None, :2] - second[None, :, :2], axis=-1)
    i, j = np.nonzero(distance < reach / 2)
    if len(i) == 0:
        return iou
    a, b = first[i], second[j]
    top = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    common = overlap_area(corners(a), corners(b)) * np.clip(top - bottom, 0, None)
    iou[i, j] = common / (a[:, 3:6].prod(1) + b[:, 3:6].prod(1) - common)
    return iou


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
