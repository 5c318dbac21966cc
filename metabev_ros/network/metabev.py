"""The whole network (MetaBEV, arXiv 2304.09801, Figure 2): one set of weights, three branches."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metabev_ros.config import ModelConfig
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.decoder import BevEvolvingDecoder
from metabev_ros.network.heads import BevNeck, MapHead, build_detection_head
from metabev_ros.network.lidar import build_lidar_encoder


@dataclass
class NetworkOutput:
    """Raw outputs: heatmap (B, K, Y, X), boxes (B, 10, Y, X), map (B, L, Ym, Xm) logits."""

    heatmap: Tensor
    boxes: Tensor
    map_logits: Tensor


class Fusion(nn.Module):
    """Everything after the encoders: decoder, neck, heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.decoder = BevEvolvingDecoder(
            config.decoder, config.query_grid,
            {'camera': config.camera.bev_channels, 'lidar': config.lidar.bev_channels})
        self.neck = BevNeck(config.decoder.channels, config.head.neck_channels)
        self.detection = build_detection_head(config)
        self.map = MapHead(config.head.neck_channels, config.head.map_channels,
                           len(config.map_classes), config.bev_grid, config.map_grid)

    def forward(self, maps: dict[str, Tensor]) -> NetworkOutput:
        """`maps`: 'camera' and/or 'lidar' -> (B, C, Y, X); what is absent is never computed."""
        fused = self.neck(self.decoder(maps))
        heatmap, boxes = self.detection(fused)
        return NetworkOutput(heatmap, boxes, self.map(fused))


class MetaBev(nn.Module):
    """Encoders and fusion. `forward` takes one sample's inputs per list entry."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.camera_encoder = CameraEncoder(config.camera, config.bev_grid)
        self.lidar_encoder = build_lidar_encoder(config.lidar, config.pillar_grid)
        self.fusion = Fusion(config)

    def forward(self, cameras: list[dict[str, Tensor]] | None,
                lidars: list[dict[str, Tensor]] | None
                ) -> tuple[NetworkOutput, list[Tensor]]:
        """Run the branches that have inputs.

        Args:
            cameras: per sample `images` (N, H, W, 3) uint8 and the lift-splat tables; None when
                the modality is absent (switched off) for the whole batch.
            lidars: per sample `pillars` and `pillar_table`; None likewise.

        Returns:
            The outputs and, per sample, the depth logits (N, D, h, w) (empty without cameras).
        """
        maps, depths = {}, []
        if cameras is not None:
            encoded = self._encode_cameras(cameras)
            maps['camera'] = torch.cat([bev for bev, _ in encoded])
            depths = [depth for _, depth in encoded]
        if lidars is not None:
            maps['lidar'] = self._encode_lidars(lidars)
        return self.fusion(maps), depths

    def _encode_cameras(self, cameras: list[dict[str, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """One backbone pass for all views of the batch, then one splat per sample."""
        encoder = self.camera_encoder
        counts = [len(camera['images']) for camera in cameras]
        logits, context = encoder.image_features(torch.cat([c['images'] for c in cameras]))
        splats = [encoder.splat(d.float().softmax(1), f.float(), tables)
                  for d, f, tables in zip(logits.split(counts), context.split(counts), cameras,
                                          strict=True)]
        bev = encoder.bev(torch.cat(splats))
        return list(zip(bev.split(1), logits.split(counts), strict=True))

    def _encode_lidars(self, lidars: list[dict[str, Tensor]]) -> Tensor:
        """(B, C, Y, X); batch norm sees the batch, so samples share one pass."""
        counts = torch.tensor([len(lidar['pillars']) for lidar in lidars])
        starts = counts.cumsum(0) - counts
        pillars = torch.cat([lidar['pillars'] for lidar in lidars])
        total, encoder = len(pillars), self.lidar_encoder
        tables = [torch.where(lidar['pillar_table'] == count, total,
                              lidar['pillar_table'] + start)
                  for lidar, count, start in zip(lidars, counts, starts, strict=True)]
        return encoder.encode(pillars, torch.stack(tables))
