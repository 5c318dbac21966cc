"""Losses: Gaussian focal + L1 for boxes, focal + Dice for the map, cross-entropy for depth.

Each is a ratio of sums; `sum_over_ranks` makes them those of the batch of all processes. None is
weighted: the trainer weighs terms and tasks (the paper: detection x 10, map x 1; BEVFusion: boxes
x 0.25).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.errors import assert_never
from metabev_ros.lab.training.distributed import sum_over_ranks
from metabev_ros.lab.training.masks import asked_at, known_error
from metabev_ros.lab.training.matching import match_queries
from metabev_ros.lab.training.plain_detr import focal_sum, set_losses

# Weights of dx dy z log-l log-w log-h sin cos vx vy; velocity as in BEVFusion (0.2).
BOX_WEIGHTS = (2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)
HEADING = slice(6, 8)  # sine and cosine
DIRECTION_SLOPE = 2.0
QUERY_BOX_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)


@dataclass(frozen=True)
class HeadingLoss:
    """Weights of the headings of centre heads.

    An object that looks the same from both ends is as likely to head one way as the other where
    scenes are turned at will. L1 is then the same for any vector between both headings, and
    nothing is learnt, not even the axis. Like SECOND (Yan et al. 2018, section 3.2.2), a part of
    the loss takes a heading and its opposite as one, and a second one asks which of both it is.

    Attributes:
        either_way: share of L1 that is towards the nearer of both headings.
        direction_weight: of the logistic loss of the product of both vectors. At 1.5 it turns
            every heading round against an L1 that takes both directions as one, and leaves the
            axis where the direction cannot be known.
    """

    either_way: float = 0.0
    direction_weight: float = 0.0


def detection_loss(
    output: dict[str, Tensor],
    targets: Sequence[dict[str, Tensor]],
    config: ModelConfig,
    heading: HeadingLoss = HeadingLoss(),
) -> dict[str, Tensor]:
    """Unweighted loss terms of the detection head that the configuration names.

    Args:
        output: `NetworkOutput.detection`.
        targets: per sample what `targets.detection_targets` gives, on the same device.
        heading: of `box_loss`, for centre heads.

    Returns:
        `heatmap`, `boxes` and, for TransFusion and Plain-DETR, `classes`, for the latter also
        `overlap`; with groups of classes the centre head's terms are sums over the groups
        (BEVFusion).
    """
    truth, asked = torch.stack([target['heatmap'] for target in targets]), stacked_asked(targets)
    match config.head.detection:
        case DetectionHead.CENTER:
            return _center_loss(output, truth, asked, targets, config, heading)
        case DetectionHead.TRANSFUSION:
            classes, boxes = query_loss(output['class_logits'], output['boxes'], targets, config)
            return {
                'heatmap': heatmap_loss(output['heatmap'], truth, asked),
                'classes': classes,
                'boxes': boxes,
            }
        case DetectionHead.PLAIN_DETR:
            return {
                'heatmap': heatmap_loss(output['heatmap'], truth, asked),
                **set_losses(output, targets, config),
            }
        case _:
            assert_never(config.head.detection)


def _center_loss(
    output: dict[str, Tensor],
    truth: Tensor,
    asked: Tensor | None,
    targets: Sequence[dict[str, Tensor]],
    config: ModelConfig,
    heading: HeadingLoss,
) -> dict[str, Tensor]:
    """Terms of the centre heads; `truth` (B, K, Y, X) is the heatmap to be learnt."""
    counts = [len(group) for group in config.detection_groups]
    heatmaps, maps = output['heatmap'].split(counts, 1), output['boxes'].chunk(len(counts), 1)
    zero = output['heatmap'].new_zeros((), dtype=torch.float32)
    terms = {'heatmap': zero, 'boxes': zero}
    first, wanted = 0, [None] * len(counts) if asked is None else asked.split(counts, 1)
    for logits, layer, weight, part, count in zip(
        heatmaps, truth.split(counts, 1), wanted, maps, counts, strict=True
    ):
        mine = [(t['labels'] >= first) & (t['labels'] < first + count) for t in targets]
        terms['heatmap'] = terms['heatmap'] + heatmap_loss(logits, layer, weight)
        terms['boxes'] = terms['boxes'] + box_loss(
            part,
            [t['cells'][m] for t, m in zip(targets, mine, strict=True)],
            [t['channels'][m] for t, m in zip(targets, mine, strict=True)],
            heading,
        )
        first += count
    return terms


def stacked_asked(targets: Sequence[dict[str, Any]]) -> Tensor | None:
    """(B, K, Y, X) bool: cells in which an object would have been labelled; None: all are."""
    if all(target.get('asked') is None for target in targets):
        return None
    return torch.stack(
        [
            torch.ones_like(t['heatmap'], dtype=torch.bool) if t['asked'] is None else t['asked']
            for t in targets
        ]
    )


def heatmap_loss(logits: Tensor, target: Tensor, asked: Tensor | None = None) -> Tensor:
    """Gaussian focal loss (CornerNet: alpha 2, beta 4), averaged over the peaks.

    Args:
        logits, target: (B, K, Y, X).
        asked: (B, K, Y, X) bool, cells that count; None: all.
    """
    logits = logits.float()
    p = logits.sigmoid()
    positive, negative = target == 1, target != 1
    if asked is not None:
        positive, negative = positive & asked, negative & asked
    at_peaks = (F.logsigmoid(logits) * (1 - p) ** 2)[positive].sum()
    elsewhere = (F.logsigmoid(-logits) * p**2 * (1 - target) ** 4 * negative).sum()
    total, peaks = sum_over_ranks(torch.stack([at_peaks + elsewhere, positive.sum().float()]))
    return -total / peaks.clamp(min=1)


def box_loss(
    maps: Tensor,
    cells: list[Tensor],
    channels: list[Tensor],
    heading: HeadingLoss = HeadingLoss(),
) -> Tensor:
    """L1 at the centre cells, averaged over boxes.

    Args:
        maps: (B, 10, Y, X) of one group of classes.
        cells, channels: per sample (M,) flat cells and (M, 10) targets.
        heading: how headings count.
    """
    flat, wanted = maps.float().flatten(2), torch.cat(channels)
    predicted = torch.cat([flat[i][:, c].t() for i, c in enumerate(cells)])
    weights = predicted.new_tensor(BOX_WEIGHTS)
    error = known_error(predicted, wanted) * weights
    loss = error.sum()
    if heading.either_way:
        opposite = ((predicted + wanted).abs() * weights)[:, HEADING].sum(1)
        nearer = (error[:, HEADING].sum(1) - opposite).clamp(min=0)
        loss = loss - heading.either_way * nearer.sum()
    if heading.direction_weight:
        along = (predicted * wanted)[:, HEADING].sum(1)
        loss = loss + heading.direction_weight * F.softplus(-DIRECTION_SLOPE * along).sum()
    total, boxes = sum_over_ranks(torch.stack([loss, error.new_tensor(len(predicted))]))
    return total / boxes.clamp(min=1)


def query_loss(
    logits: Tensor, boxes: Tensor, targets: Sequence[dict[str, Tensor]], config: ModelConfig
) -> tuple[Tensor, Tensor]:
    """Class and box loss of TransFusion's queries after Hungarian matching.

    Sigmoid focal loss (gamma 2, alpha 0.25) of all queries, those without a box against no class,
    and L1 of the matched boxes; both divided by the number of matched queries (BEVFusion).

    Queries without a box whose centre lies where nobody looked are not pushed to the background.

    Args:
        logits: (B, K, P).
        boxes: (B, 10, P), x and y in cells from the grid's corner.
        targets: per sample `labels` (M,), `cells` (M,), `channels` (M, 10), `asked` (K, Y, X).
    """
    logits, boxes = logits.float(), boxes.float()
    wanted = torch.zeros_like(logits)
    weight = None
    if any(target.get('asked') is not None for target in targets):
        weight = torch.ones_like(logits, dtype=torch.bool)
    errors = [boxes.new_zeros(())]
    for i, target in enumerate(targets):
        truth = absolute_channels(target, config)
        queries, rows = match_queries(logits[i], boxes[i], truth, target['labels'], config)
        wanted[i, target['labels'][rows], queries] = 1.0
        if weight is not None:
            weight[i] = asked_at(boxes[i, :2].t(), target['asked'], weight[i])
            weight[i, :, queries] = (
                True  # a query with a box has to say the other classes' absence
            )
        difference = known_error(boxes[i][:, queries].t(), truth[rows])
        errors.append((difference * boxes.new_tensor(QUERY_BOX_WEIGHTS)).sum())
    focal, error, matched = sum_over_ranks(
        torch.stack([focal_sum(logits, wanted, weight), torch.stack(errors).sum(), wanted.sum()])
    )
    return focal / matched.clamp(min=1), error / matched.clamp(min=1)


def absolute_channels(target: dict[str, Tensor], config: ModelConfig) -> Tensor:
    """Box channels of `detection_targets`, (M, 10), with x and y from the grid's corner.

    There they count from the cell's corner; TransFusion's boxes count from the grid's.
    """
    columns = config.bev_grid.columns
    corner = torch.stack([target['cells'] % columns, target['cells'] // columns], 1)
    return torch.cat([target['channels'][:, :2] + corner, target['channels'][:, 2:]], 1)


def map_loss(logits: Tensor, target: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sigmoid focal (gamma 2, BEVFusion: mean over pixels, sum over classes) and Dice.

    Dice is ours: focal alone leaves thin classes (stop lines, dividers) below every threshold.

    Args:
        logits, target: (B, L, Y, X), target float 0 or 1.
        known: (B, L, Y, X) or (B, 1, Y, X) bool, cells that have a truth; None: all. A layer
            without any has no part in Dice.
    """
    logits = logits.float()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    p = logits.sigmoid()
    focal = cross * (p - target).abs() ** 2
    known = torch.ones_like(p[:, :1]) if known is None else known.to(p.dtype)
    sums = torch.stack(
        [(value * known).sum((0, 2, 3)) for value in (focal, p * target, p + target)]
    )
    sums = sum_over_ranks(torch.cat([sums, known.expand_as(p).sum((0, 2, 3))[None]]))
    focal, overlap, both, cells = sums
    dice = (1 - (2 * overlap + 1) / (both + 1))[cells > 0]
    mean = dice.mean() if len(dice) else overlap.sum() * 0
    return (focal / cells.clamp(min=1)).sum(), mean


def depth_loss(logits: list[Tensor | None], bins: list[Tensor | None]) -> Tensor:
    """Cross-entropy over depth bins where truth exists; the samples with cameras only."""
    present = [
        (depth, truth) for depth, truth in zip(logits, bins, strict=True) if depth is not None
    ]
    if not present:
        return torch.zeros(())
    depth = torch.cat([depth for depth, _ in present]).float()
    truth = torch.cat([truth for _, truth in present])
    total = F.cross_entropy(depth, truth, ignore_index=-1, reduction='sum')
    total, pixels = sum_over_ranks(torch.stack([total, (truth >= 0).sum().float()]))
    return total / pixels.clamp(min=1)
