"""Losses of the Plain-DETR head: hybrid matching with turned boxes.

Of every layer, for the one-to-one queries and, with each true box repeated, for the one-to-many
queries: sigmoid focal loss of the classes, L1 of the box codes and velocities, and 1 - GIoU. Cost
of a pair in matching: 2 x focal class cost + L1 of the codes - 2 x exact IoU of the turned boxes.

Differences from Plain-DETR: the loss's GIoU is that of the boxes' extents along the reference's
axes, in 3D, as if both had its yaw (smooth, and 0 for equal boxes; yaw has its own codes); there
is no stage loss of proposals, whose place the heatmap loss takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from metabev_ros.config import ModelConfig
from metabev_ros.config.plain_detr import OffsetNorm
from metabev_ros.geometry import BevGrid
from metabev_ros.lab.training.distributed import sum_over_ranks
from metabev_ros.lab.training.masks import asked_at, known_error
from metabev_ros.lab.training.matching import ALPHA, GAMMA, box_iou, class_cost
from metabev_ros.network.box_coding import axis_units, encode, floored_sizes, from_channels

CLASS_WEIGHT, CODE_WEIGHT, OVERLAP_WEIGHT = 2.0, 1.0, 2.0  # in cost and loss (Plain-DETR)
VELOCITY_WEIGHT = 0.2  # in the loss (BEVFusion)


def set_losses(
    output: dict[str, Tensor], targets: Sequence[dict[str, Tensor]], config: ModelConfig
) -> dict[str, Tensor]:
    """`classes`, `boxes` and `overlap`: sums over the layers, per true box, both groups.

    Args:
        output: of `PlainDetrHead`; without one-to-many queries there is one group only.
        targets: per sample `labels` (M,), `cells` (M,), `channels` (M, 10).
    """
    detr, first = config.head.plain_detr, config.head.proposals
    assert detr is not None  # `HeadConfig` checks it
    hybrid = detr.hybrid
    groups = [(slice(0, first), 1, 1.0)]
    if output['layer_logits'].shape[2] > first:
        groups.append((slice(first, None), hybrid.repeats, hybrid.weight))
    truths = [true_boxes(target, config.bev_grid) for target in targets]
    asked = [target.get('asked') for target in targets]
    sums = sum_over_ranks(
        torch.stack(
            [
                _group_sums(output, part, repeats, truths, asked, config)
                for part, repeats, _ in groups
            ]
        )
    )
    weights = sums.new_tensor([weight for _, _, weight in groups])
    focal, codes, overlap = (
        (weights[:, None] * sums[:, :3] / sums[:, 3:].clamp(min=1)).sum(0).unbind()
    )
    return {
        'classes': CLASS_WEIGHT * focal,
        'boxes': CODE_WEIGHT * codes,
        'overlap': OVERLAP_WEIGHT * overlap,
    }


def true_boxes(target: dict[str, Tensor], grid: BevGrid) -> tuple[Tensor, Tensor, Tensor]:
    """(M, 8) boxes, (M, 2) velocities and (M,) labels of `targets.detection_targets`."""
    cells, channels = target['cells'], target['channels']
    corner = torch.stack([cells % grid.columns, cells // grid.columns], 1)
    boxes, velocity = from_channels(
        torch.cat([channels[:, :2] + corner, channels[:, 2:]], 1), grid
    )
    return boxes, velocity, target['labels']


def _group_sums(
    output: dict[str, Tensor],
    part: slice,
    repeats: int,
    truths: list,
    asked: Sequence[Tensor | None],
    config: ModelConfig,
) -> Tensor:
    """(4,): focal, code and velocity L1, 1 - GIoU, each over layers and samples; true boxes."""
    detr, names = config.head.plain_detr, ('logits', 'codes', 'references', 'boxes')
    assert detr is not None  # `HeadConfig` checks it
    norm = detr.offset_norm
    logits, codes, references, boxes = layers = [
        output[f'layer_{name}'][:, :, part] for name in names
    ]
    pairs, truth, speeds, classes = [], [], [], []
    for sample, (true, velocity, labels) in enumerate(truths):
        for layer in range(logits.shape[1]):
            queries, rows = match_boxes(
                *(values[sample, layer] for values in layers), true, labels, repeats, norm
            )
            place = torch.full_like(queries, sample), torch.full_like(queries, layer), queries
            pairs.append(torch.stack(place))
            truth.append(true[rows])
            speeds.append(velocity[rows])
            classes.append(labels[rows])
    at, wanted = tuple(torch.cat(pairs, 1)), torch.zeros_like(logits)
    wanted[(*at, torch.cat(classes))] = 1.0
    codes, references = codes[at], references[at]
    true_codes = encode(torch.cat(truth), references, norm)
    slips = known_error(output['layer_velocities'][:, :, part][at], torch.cat(speeds)).sum()
    error = (codes - true_codes).abs().sum() + VELOCITY_WEIGHT * slips
    overlap = (1 - aligned_giou(codes, true_codes, references, norm)).sum()
    count = logits.new_tensor(repeats * sum(len(labels) for _, _, labels in truths))
    weight = _asked_queries(boxes, asked, logits, config.bev_grid)
    if weight is not None:
        weight[at] = True
    return torch.stack([focal_sum(logits, wanted, weight), error, overlap, count])


def _asked_queries(
    boxes: Tensor, asked: Sequence[Tensor | None], logits: Tensor, grid: BevGrid
) -> Tensor | None:
    """(B, layers, P, K) bool: queries whose centre lies where somebody looked; None: all."""
    if all(cells is None for cells in asked):
        return None
    weight = torch.ones_like(logits, dtype=torch.bool)
    corner = boxes.new_tensor([grid.x_min, grid.y_min])
    for sample, cells in enumerate(asked):
        for layer in range(logits.shape[1]):
            places = (boxes[sample, layer, :, :2] - corner) / grid.cell
            weight[sample, layer] = asked_at(places, cells, weight[sample, layer].t()).t()
    return weight


@torch.no_grad()
def match_boxes(
    logits: Tensor,
    codes: Tensor,
    references: Tensor,
    boxes: Tensor,
    truth: Tensor,
    labels: Tensor,
    repeats: int,
    norm: OffsetNorm,
) -> tuple[Tensor, Tensor]:
    """The cheapest matching of one sample in which every true box takes `repeats` queries.

    Args:
        logits: (P, K); codes, references, boxes: (P, 8).
        truth: (M, 8); labels: (M,).

    Returns:
        indices of queries and of true boxes, each (min(P, repeats M),) int64 on their device.
    """
    wanted = encode(truth[None], references[:, None], norm)  # (P, M, 8)
    distance = (codes[:, None] - wanted).abs().sum(-1)
    cost = CLASS_WEIGHT * class_cost(logits.t())[:, labels] + CODE_WEIGHT * distance
    cost = cost.double().cpu().numpy() - OVERLAP_WEIGHT * box_iou(_upright(boxes), _upright(truth))
    # A network that has diverged must not end the run here: its step is not taken.
    cost = np.nan_to_num(cost, nan=1e6, posinf=1e6, neginf=-1e6)
    queries, columns = linear_sum_assignment(np.tile(cost, (1, repeats)))
    rows = columns % max(len(truth), 1)
    return (
        torch.as_tensor(queries, device=boxes.device),
        torch.as_tensor(rows, device=boxes.device),
    )


def _upright(boxes: Tensor) -> np.ndarray:
    """(M, 8) -> (M, 7) float64 x y z length width height yaw."""
    array = boxes.double().cpu().numpy()
    return np.concatenate([array[:, :6], np.arctan2(array[:, 6:7], array[:, 7:])], 1)


def aligned_giou(codes: Tensor, wanted: Tensor, references: Tensor, norm: OffsetNorm) -> Tensor:
    """(M,) generalised IoU in 3D of two codes' boxes, both turned like the reference."""
    units = torch.stack(axis_units(references, norm), -1)
    sizes = torch.stack(floored_sizes(references), -1)
    low, high, volumes = [], [], []
    for code in (codes, wanted):
        centre, half = code[:, :3] * units, sizes * code[:, 3:6].exp() / 2
        low.append(centre - half)
        high.append(centre + half)
        volumes.append((2 * half).prod(-1))
    inner = (torch.minimum(*high) - torch.maximum(*low)).clamp(min=0).prod(-1)
    outer = (torch.maximum(*high) - torch.minimum(*low)).prod(-1)
    union = volumes[0] + volumes[1] - inner
    return inner / union - (outer - union) / outer


def focal_sum(logits: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sigmoid focal loss (gamma 2, alpha 0.25), summed.

    Args:
        logits, wanted: of one shape; wanted 0 or 1.
        weight: of the same shape, bool: what counts; None: all.
    """
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
    off = (logits.sigmoid() - wanted).abs()
    alpha = ALPHA * wanted + (1 - ALPHA) * (1 - wanted)
    terms = alpha * off**GAMMA * cross
    return terms.sum() if weight is None else (terms * weight).sum()
