"""CenterPoint heads (Yin et al. 2021): one heatmap per class, boxes where it peaks.

Box channels of a group, in this order (`postprocess.decode_boxes` turns them into metres):
dx dy (cells from the cell's corner), z (m, gravity centre), log length, log width, log height,
sin yaw, cos yaw, vx, vy (m/s).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabev_ros.network.layers import ConvBlock

BOX_CHANNELS = 10
# BEVFusion's names of the parts of a box, in channel order.
BOX_PARTS = {'reg': 2, 'height': 1, 'dim': 3, 'rot': 2, 'vel': 2}
HEATMAP_BIAS = -2.19  # CenterNet: start at p = 0.1


class CompactCenterHead(nn.Module):
    """Ours, for small models: all classes share one set of box channels, one 1x1 each.

    (B, C, Y, X) -> `heatmap` logits (B, K, Y, X), `boxes` (B, 10, Y, X).
    """

    def __init__(self, c_in: int, channels: int, classes: int) -> None:
        super().__init__()
        self.shared = ConvBlock(c_in, channels)
        self.heatmap = nn.Conv2d(channels, classes, 1)
        self.boxes = nn.Conv2d(channels, BOX_CHANNELS, 1)
        nn.init.constant_(self.heatmap.bias, HEATMAP_BIAS)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.shared(x)
        return {'heatmap': self.heatmap(x), 'boxes': self.boxes(x)}


class CenterHead(nn.Module):
    """BEVFusion's CenterHead: a shared convolution and, per group of classes, six small heads.

    (B, C, Y, X) -> `heatmap` logits (B, K, Y, X) in the order of the classes, `boxes`
    (B, 10 G, Y, X), group after group. Sizes are gravity-centre z and length, width, height,
    where mmdetection3d has another order of width and length.
    """

    def __init__(self, c_in: int, channels: int, groups: tuple[int, ...]) -> None:
        super().__init__()
        self.shared_conv = ConvBlock(c_in, channels)
        self.task_heads = nn.ModuleList(_group_head(channels, classes) for classes in groups)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.shared_conv(x)
        heatmaps = [head['heatmap'](x) for head in self.task_heads]
        boxes = [head[part](x) for head in self.task_heads for part in BOX_PARTS]
        return {'heatmap': torch.cat(heatmaps, 1), 'boxes': torch.cat(boxes, 1)}


def _group_head(channels: int, classes: int) -> nn.ModuleDict:
    head = nn.ModuleDict(
        {
            name: nn.Sequential(ConvBlock(channels, channels), nn.Conv2d(channels, count, 3, 1, 1))
            for name, count in {**BOX_PARTS, 'heatmap': classes}.items()
        }
    )
    nn.init.constant_(head['heatmap'][-1].bias, HEATMAP_BIAS)
    return head
