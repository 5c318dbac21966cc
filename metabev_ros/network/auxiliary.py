"""Heads on each modality's own BEV map: training only, no part of `MetaBev`.

They make each encoder useful alone (MEFormer's per-modality supervision in BEV form; not in the
MetaBEV paper). The trainer owns them: their weights are in its checkpoint and nowhere else, so
neither weights.safetensors nor an ONNX graph knows of them.
"""

from __future__ import annotations

from torch import Tensor, nn

from metabev_ros.config import ModelConfig
from metabev_ros.network.layers import ConvBlock
from metabev_ros.network.map_head import MapHead


class AuxiliaryHead(nn.Module):
    """(B, C, Y, X) -> heatmap logits (B, K, Y, X) and map logits (B, L, Ym, Xm)."""

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        width = config.head.map_channels
        self.shared = ConvBlock(channels, width)
        self.heatmap = nn.Conv2d(width, len(config.detection_classes), 1)
        nn.init.constant_(self.heatmap.bias, -2.19)  # CenterNet: start at p = 0.1
        self.map = MapHead(width, width, len(config.map_classes), config.bev_grid, config.map_grid)

    def forward(self, bev: Tensor) -> tuple[Tensor, Tensor]:
        x = self.shared(bev)
        return self.heatmap(x), self.map(x)


class AuxiliaryHeads(nn.ModuleDict):
    """One head for the camera BEV map and one for the LiDAR's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(
            {
                'camera': AuxiliaryHead(config.camera.bev_channels, config),
                'lidar': AuxiliaryHead(config.lidar.bev_channels, config),
            }
        )
