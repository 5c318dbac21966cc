"""GeneralizedLSSFPN: BEVFusion's image neck (metabev.md 1.1).

Difference: only the finest output is returned; lift-splat reads no other. All that is computed
leads to it, so nothing is wasted and all published weights have their place.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.network.layers import ConvBlock


class LssFpn(nn.Module):
    """Top-down: upsample the coarser map, concatenate, 1x1 block, 3x3 block.

    Args:
        channels: of the backbone's maps, finest first.
        c_out: of every level.
    """

    def __init__(self, channels: tuple[int, ...], c_out: int) -> None:
        super().__init__()
        coarser = (*[c_out] * (len(channels) - 2), channels[-1])
        self.lateral = nn.ModuleList(ConvBlock(fine + coarse, c_out, kernel=1)
                                     for fine, coarse in zip(channels[:-1], coarser, strict=True))
        self.refine = nn.ModuleList(ConvBlock(c_out, c_out) for _ in channels[:-1])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (N, C_i, H_i, W_i), finest first -> (N, c_out, H_0, W_0)."""
        x = maps[-1]
        for i in reversed(range(len(maps) - 1)):
            x = F.interpolate(x, size=maps[i].shape[-2:], mode='bilinear', align_corners=False)
            x = self.refine[i](self.lateral[i](torch.cat([maps[i], x], 1)))
        return x
