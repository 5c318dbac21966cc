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
from metabev_ros.lab.datasets.box_overlap import box_iou

CLASS_COST, CENTRE_COST, IOU_COST = 0.15, 0.25, 0.25
GAMMA, ALPHA = 2.0, 0.25


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
