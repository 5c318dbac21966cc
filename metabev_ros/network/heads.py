"""BEV neck, centre-point detection head and map head.

Neck: the paper's "FPN layer ... from the fused BEV" (section 3.1); BEVFusion uses SECOND + FPN.
Detection: CenterPoint (Yin et al. 2021) with one group for all ten classes instead of six, and
log sizes. Map: BEVFusion's CNN head on resampled BEV features, with one 3x3 convolution.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.network.layers import ConvBlock, ResidualBlock

BOX_CHANNELS = 10  # dx dy z log-l log-w log-h sin cos vx vy: see postprocess.decode_boxes


class BevNeck(nn.Module):
    """(B, d, Y/2, X/2) -> (B, C, Y, X): one step down and up for context, then pixel shuffle."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.fine = ConvBlock(c_in, c_in)
        self.coarse = nn.Sequential(ConvBlock(c_in, 128, stride=2), ResidualBlock(128),
                                    ConvBlock(128, c_in, kernel=1))
        self.expand = nn.Sequential(ConvBlock(2 * c_in, 4 * c_out, kernel=1), nn.PixelShuffle(2))
        self.refine = ConvBlock(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = F.interpolate(self.coarse(x), scale_factor=2.0, mode='nearest')
        return self.refine(self.expand(torch.cat([fine, coarse], 1)))


class CenterHead(nn.Module):
    """(B, C, Y, X) -> heatmap logits (B, K, Y, X) and box channels (B, 10, Y, X)."""

    def __init__(self, c_in: int, channels: int, classes: int) -> None:
        super().__init__()
        self.shared = ConvBlock(c_in, channels)
        self.heatmap = nn.Conv2d(channels, classes, 1)
        self.boxes = nn.Conv2d(channels, BOX_CHANNELS, 1)
        nn.init.constant_(self.heatmap.bias, -2.19)  # CenterNet: start at p = 0.1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.shared(x)
        return self.heatmap(x), self.boxes(x)


class MapHead(nn.Module):
    """(B, C, Y, X) on the BEV grid -> (B, K, Ym, Xm) logits on the map grid."""

    def __init__(self, c_in: int, channels: int, classes: int, bev: BevGrid, target: BevGrid
                 ) -> None:
        super().__init__()
        self.reduce = ConvBlock(c_in, channels, kernel=1)
        self.refine = ConvBlock(channels, channels)
        self.logits = nn.Conv2d(channels, classes, 1)
        centres = torch.from_numpy(target.centres())                    # (Ym, Xm, 2) metres
        low = torch.tensor([bev.x_min, bev.y_min])
        span = torch.tensor([bev.x_max - bev.x_min, bev.y_max - bev.y_min])
        where = (2 * (centres - low) / span - 1).float()[None]
        self.register_buffer('where', where, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        grid = self.where.expand(x.shape[0], -1, -1, -1)
        x = F.grid_sample(x.float(), grid, align_corners=False)
        return self.logits(self.refine(x))


def build_detection_head(config: ModelConfig) -> nn.Module:
    """The detection head that the configuration names."""
    if config.head.detection is DetectionHead.CENTER:
        return CenterHead(config.head.neck_channels, config.head.det_channels,
                          len(config.detection_classes))
    raise AssertionError(config.head.detection)
