"""The heads that a configuration names."""

from __future__ import annotations

from torch import nn

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.network.center_head import CenterHead, CompactCenterHead
from metabev_ros.network.map_head import MapHead
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.network.transfusion import TransFusionHead


def build_detection_head(config: ModelConfig) -> nn.Module:
    """Neck features (B, C, Y, X) -> the tensors that `contract.output_names` lists, and for
    TransFusion and Plain-DETR what their training needs besides.

    The centre head is BEVFusion's when `head.groups` names groups, and the compact one otherwise.
    """
    head, classes = config.head, len(config.detection_classes)
    if head.detection is DetectionHead.TRANSFUSION:
        return TransFusionHead(
            head.neck_channels,
            head.det_channels,
            config.detection_classes,
            config.bev_grid.shape,
            head.proposals,
        )
    if head.detection is DetectionHead.PLAIN_DETR:
        return PlainDetrHead(head, config.detection_classes, config.bev_grid)
    if head.groups:
        return CenterHead(
            head.neck_channels, head.det_channels, tuple(len(group) for group in head.groups)
        )
    return CompactCenterHead(head.neck_channels, head.det_channels, classes)


def build_map_head(config: ModelConfig) -> MapHead:
    """Neck features (B, C, Y, X) -> map logits (B, L, Ym, Xm)."""
    return MapHead(
        config.head.neck_channels,
        config.head.map_channels,
        len(config.map_classes),
        config.bev_grid,
        config.map_grid,
        config.head.map_blocks,
    )
