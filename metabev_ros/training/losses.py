"""Losses: Gaussian focal + L1 for boxes, focal + Dice for the map, cross-entropy for depth.

Each is a ratio of sums; `sum_over_ranks` makes them those of the batch of all processes.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from metabev_ros.training.distributed import sum_over_ranks

# Weights of dx dy z log-l log-w log-h sin cos vx vy; velocity as in BEVFusion (0.2).
BOX_WEIGHTS = (2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)


def heatmap_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Gaussian focal loss (CornerNet: alpha 2, beta 4), averaged over the peaks.

    Args:
        logits, target: (B, K, Y, X).
    """
    logits = logits.float()
    p = logits.sigmoid()
    positive = target == 1
    at_peaks = (F.logsigmoid(logits) * (1 - p) ** 2)[positive].sum()
    elsewhere = (F.logsigmoid(-logits) * p ** 2 * (1 - target) ** 4 * ~positive).sum()
    total, peaks = sum_over_ranks(torch.stack([at_peaks + elsewhere, positive.sum().float()]))
    return -total / peaks.clamp(min=1)


def box_loss(maps: Tensor, cells: list[Tensor], channels: list[Tensor]) -> Tensor:
    """L1 at the centre cells, averaged over boxes.

    Args:
        maps: (B, 10, Y, X).
        cells, channels: per sample (M,) flat cells and (M, 10) targets.
    """
    flat = maps.float().flatten(2)
    predicted = torch.cat([flat[i][:, c].t() for i, c in enumerate(cells)])
    error = (predicted - torch.cat(channels)).abs() * predicted.new_tensor(BOX_WEIGHTS)
    total, boxes = sum_over_ranks(torch.stack([error.sum(), error.new_tensor(len(predicted))]))
    return total / boxes.clamp(min=1)


def map_loss(logits: Tensor, target: Tensor, known: Tensor | None = None
             ) -> tuple[Tensor, Tensor]:
    """Sigmoid focal (gamma 2, BEVFusion: mean over pixels, sum over classes) and Dice.

    Dice is ours: focal alone leaves thin classes (stop lines, dividers) below every threshold.

    Args:
        logits, target: (B, L, Y, X), target float 0 or 1.
        known: (B, 1, Y, X) bool, cells that have a truth; None: all.
    """
    logits = logits.float()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    p = logits.sigmoid()
    focal = cross * (p - target).abs() ** 2
    known = torch.ones_like(p[:, :1]) if known is None else known.to(p.dtype)
    sums = torch.stack([(value * known).sum((0, 2, 3))
                        for value in (focal, p * target, p + target)])
    sums = sum_over_ranks(torch.cat([sums, known.sum().expand(1, sums.shape[1])]))
    focal, overlap, both, cells = sums
    dice = 1 - (2 * overlap + 1) / (both + 1)
    return (focal / cells.clamp(min=1)).sum(), dice.mean()


def depth_loss(logits: list[Tensor | None], bins: list[Tensor | None]) -> Tensor:
    """Cross-entropy over depth bins where truth exists; the samples with cameras only."""
    present = [(depth, truth) for depth, truth in zip(logits, bins, strict=True)
               if depth is not None]
    if not present:
        return torch.zeros(())
    depth = torch.cat([depth for depth, _ in present]).float()
    truth = torch.cat([truth for _, truth in present])
    total = F.cross_entropy(depth, truth, ignore_index=-1, reduction='sum')
    total, pixels = sum_over_ranks(torch.stack([total, (truth >= 0).sum().float()]))
    return total / pixels.clamp(min=1)
