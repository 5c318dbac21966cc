"""Losses: Gaussian focal + L1 for boxes, focal + Dice for the map, cross-entropy for depth."""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
    return -(at_peaks + elsewhere) / positive.sum().clamp(min=1)


def box_loss(maps: Tensor, cells: list[Tensor], channels: list[Tensor]) -> Tensor:
    """L1 at the centre cells, averaged over boxes.

    Args:
        maps: (B, 10, Y, X).
        cells, channels: per sample (M,) flat cells and (M, 10) targets.
    """
    flat = maps.float().flatten(2)
    predicted = torch.cat([flat[i][:, c].t() for i, c in enumerate(cells)])
    error = (predicted - torch.cat(channels)).abs() * predicted.new_tensor(BOX_WEIGHTS)
    return error.sum() / max(len(predicted), 1)


def map_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sigmoid focal (gamma 2, BEVFusion: mean over pixels, sum over classes) and Dice.

    Dice is ours: focal alone leaves thin classes (stop lines, dividers) below every threshold.

    Args:
        logits, target: (B, L, Y, X), target float 0 or 1.
    """
    logits = logits.float()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    p = logits.sigmoid()
    focal = cross * (p - target).abs() ** 2
    overlap = (p * target).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 1) / (p.sum((0, 2, 3)) + target.sum((0, 2, 3)) + 1)
    return focal.mean((0, 2, 3)).sum(), dice.mean()


def depth_loss(logits: list[Tensor | None], bins: list[Tensor | None]) -> Tensor:
    """Cross-entropy over depth bins where truth exists; the samples with cameras only."""
    present = [(depth, truth) for depth, truth in zip(logits, bins, strict=True)
               if depth is not None]
    if not present:
        return torch.zeros(())
    depth = torch.cat([depth for depth, _ in present]).float()
    return F.cross_entropy(depth, torch.cat([truth for _, truth in present]), ignore_index=-1)
