"""The whole network (MetaBEV, arXiv 2304.09801, Figure 2): one set of weights, three branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import assert_never
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.center_head import CenterHead, CompactCenterHead
from metabev_ros.network.decoder import splits_tasks
from metabev_ros.network.deformable import DeformableAttention, Sampling
from metabev_ros.network.fusers import build_fuser
from metabev_ros.network.interaction import build_interaction
from metabev_ros.network.lidar import build_lidar_encoder
from metabev_ros.network.map_head import MapHead
from metabev_ros.network.moe import TASKS
from metabev_ros.network.neck import build_neck
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.network.transfusion import TransFusionHead

SampleInputs: TypeAlias = list[dict[str, Tensor] | None]  # a branch's inputs of every sample


@dataclass
class NetworkOutput:
    """Raw outputs of a batch.

    Attributes:
        detection: name -> tensor (B, ...) as the detection head lists them; empty if detection
            is not among the tasks that ran.
        map_logits: (B, L, Ym, Xm), or None if the map is not among them.
    """

    detection: dict[str, Tensor]
    map_logits: Tensor | None

    def named(self) -> dict[str, Tensor]:
        """All tensors by name, those of `graph_specs.output_names` among them."""
        tensors = dict(self.detection)
        if self.map_logits is not None:
            tensors['map_logits'] = self.map_logits
        return tensors


class Fusion(nn.Module):
    """Everything after the encoders: decoder or baseline fuser, neck, task interaction, heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.decoder = build_fuser(config)
        self.splits = splits_tasks(config.decoder)
        self.neck = build_neck(config)
        self.interaction = build_interaction(config)
        self.detection = build_detection_head(config)
        self.map = build_map_head(config)

    def forward(self, maps: dict[str, Tensor], tasks: tuple[str, ...] = TASKS) -> NetworkOutput:
        """`maps`: 'camera' and/or 'lidar' -> (B, C, Y, X); what is absent is never computed."""
        return self.heads(self.decoder(maps, tasks), tasks)

    def heads(self, fused: Tensor, tasks: tuple[str, ...] = TASKS) -> NetworkOutput:
        """Output of the decoder -> outputs of the heads, whatever the modality."""
        features = self._task_features(fused, [task for task in TASKS if task in tasks])
        return NetworkOutput(
            self.detection(features['detection']) if 'detection' in tasks else {},
            self.map(features['map']) if 'map' in tasks else None,
        )

    def _task_features(self, fused: Tensor, tasks: list[str]) -> dict[str, Tensor]:
        """Per task what its head reads, (B, C, Y, X): one and the same map, or one of its own."""
        if self.splits and len(tasks) > 1:
            maps = self.neck(torch.cat(fused.chunk(len(tasks), 1))).chunk(len(tasks))
        else:
            maps = [self.neck(fused)] * len(tasks)
        features = dict(zip(tasks, maps, strict=True))
        return features if self.interaction is None else self.interaction(features)


class MetaBev(nn.Module):
    """Encoders and fusion for a batch in which every sample has its own modality.

    Args:
        execution: runner of the sparse LiDAR encoder; `Preprocessor` must be given the same. It
            changes no name and no shape of the weights.
    """

    def __init__(
        self, config: ModelConfig, execution: SparseExecution = SparseExecution.TABLES
    ) -> None:
        super().__init__()
        self.config = config
        self.camera_encoder = CameraEncoder(config.camera, config.splat_grid)
        self.lidar_encoder = build_lidar_encoder(config, execution)
        self.fusion = Fusion(config)

    def forward(
        self,
        cameras: list[dict[str, Tensor] | None],
        lidars: list[dict[str, Tensor] | None],
        tasks: tuple[str, ...] = TASKS,
    ) -> tuple[NetworkOutput, list[Tensor | None]]:
        """Run what each sample has.

        Mixing modalities inside a batch keeps the batch statistics of neck and heads those of
        the mixture, in training as in use.

        Args:
            cameras: per sample `images` (N, H, W, 3) uint8 and the lift-splat tables, or None.
            lidars: per sample what `Preprocessor.lidar_inputs` gives, or None.
            tasks: those whose experts and heads run.

        Returns:
            The outputs (B, ...) and, per sample, the depth logits (N, D, h, w) or None.
        """
        camera_bevs, lidar_bevs, depths = self.encode(cameras, lidars)
        return self.fuse(camera_bevs, lidar_bevs, tasks), depths

    def encode(
        self, cameras: SampleInputs, lidars: SampleInputs
    ) -> tuple[list[Tensor | None], list[Tensor | None], list[Tensor | None]]:
        """Per sample the camera BEV and the LiDAR BEV (1, C, Y, X), and the depth logits."""
        camera_bevs, depths = self._encode_cameras(cameras)
        return camera_bevs, self._encode_lidars(lidars), depths

    def fuse(
        self,
        camera_bevs: list[Tensor | None],
        lidar_bevs: list[Tensor | None],
        tasks: tuple[str, ...] = TASKS,
    ) -> NetworkOutput:
        """Maps of `encode` -> outputs (B, ...); samples of one modality run together."""
        fused: list[Tensor] = [torch.empty(0)] * len(camera_bevs)
        for group in _groups(camera_bevs, lidar_bevs):
            sources = {'camera': camera_bevs, 'lidar': lidar_bevs}
            maps = {
                name: torch.cat([bevs[i] for i in group])
                for name, bevs in sources.items()
                if bevs[group[0]] is not None
            }
            for i, bev in zip(group, self.fusion.decoder(maps, tasks).split(1), strict=True):
                fused[i] = bev
        return self.fusion.heads(torch.cat(fused), tasks)

    def _encode_cameras(
        self, cameras: SampleInputs
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """One backbone pass for all views of the batch, then one splat per sample."""
        present = {i: camera for i, camera in enumerate(cameras) if camera is not None}
        bevs: list[Tensor | None] = [None] * len(cameras)
        depths: list[Tensor | None] = [None] * len(cameras)
        if not present:
            return bevs, depths
        encoder = self.camera_encoder
        images = [camera['images'] for camera in present.values()]
        counts = [len(views) for views in images]
        logits, context = encoder.image_features(torch.cat(images))
        logits, context = logits.split(counts), context.split(counts)
        splats = [
            encoder.splat(d.float().softmax(1), f.float(), camera)
            for camera, d, f in zip(present.values(), logits, context, strict=True)
        ]
        encoded = encoder.bev(torch.cat(splats)).split(1)
        for i, bev, depth in zip(present, encoded, logits, strict=True):
            bevs[i], depths[i] = bev, depth
        return bevs, depths

    def _encode_lidars(self, lidars: SampleInputs) -> list[Tensor | None]:
        present = [i for i, lidar in enumerate(lidars) if lidar is not None]
        bevs: list[Tensor | None] = [None] * len(lidars)
        if not present:
            return bevs
        encoded = self.lidar_encoder.encode([lidars[i] for i in present]).split(1)
        for i, bev in zip(present, encoded, strict=True):
            bevs[i] = bev
        return bevs


def use_sampling(network: nn.Module, sampling: Sampling) -> None:
    """Take all bilinear samples in one form from now on."""
    for module in network.modules():
        if isinstance(module, (DeformableAttention, MapHead)):
            module.sampling = sampling


def build_detection_head(
    config: ModelConfig,
) -> CompactCenterHead | CenterHead | TransFusionHead | PlainDetrHead:
    """Neck features (B, C, Y, X) -> the tensors that `graph_specs.output_names` lists.

    TransFusion and Plain-DETR add what their training needs. The centre head is BEVFusion's when
    `head.groups` names groups, and the compact one otherwise.
    """
    head, classes = config.head, config.detection_classes
    c_in, width = head.neck_channels, head.det_channels
    match head.detection:
        case DetectionHead.CENTER if head.groups:
            return CenterHead(c_in, width, tuple(len(group) for group in head.groups))
        case DetectionHead.CENTER:
            return CompactCenterHead(c_in, width, len(classes))
        case DetectionHead.TRANSFUSION:
            return TransFusionHead(c_in, width, classes, config.bev_grid.shape, head.proposals)
        case DetectionHead.PLAIN_DETR:
            return PlainDetrHead(head, classes, config.bev_grid)
        case _:
            assert_never(head.detection)


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


def _groups(cameras: SampleInputs, lidars: SampleInputs) -> list[list[int]]:
    """Indices of samples with equal modality."""
    groups: dict[tuple[bool, bool], list[int]] = {}
    for i, (camera, lidar) in enumerate(zip(cameras, lidars, strict=True)):
        groups.setdefault((camera is None, lidar is None), []).append(i)
    return list(groups.values())
