"""Networks of every variant at a size that a test can train, and samples for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from metabev_ros.config import (
    AdamvConfig,
    BevNeckKind,
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    DecoderConfig,
    DecoderFfn,
    DetectionHead,
    Fuser,
    HeadConfig,
    LidarBranchConfig,
    LidarEncoder,
    Mixing,
    ModelConfig,
)
from metabev_ros.config.heads import CENTERPOINT_GROUPS
from metabev_ros.config.plain_detr import BoxRpbConfig, HybridConfig, PlainDetrConfig
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.lab.training.targets import depth_bins, detection_targets
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import CameraCalibration, CameraImage, Sweep

OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
DETECTION_HEADS = ('compact', 'groups', 'transfusion')
QUERY_HEADS = {'transfusion': DetectionHead.TRANSFUSION, 'plain_detr': DetectionHead.PLAIN_DETR}
SMALL_PLAIN_DETR = PlainDetrConfig(
    layers=3,
    heads=2,
    ffn_channels=32,
    key_stride=2,
    boxrpb=BoxRpbConfig(hidden=16, knots=64, reach=10.0),
    hybrid=HybridConfig(queries=30),
)


def small_model(
    head: str = 'compact',
    ffn: DecoderFfn = DecoderFfn.MLP,
    fuser: Fuser = Fuser.METABEV,
    neck: BevNeckKind = BevNeckKind.NANO,
    horfpn: Mixing | None = None,
) -> ModelConfig:
    """Nano's encoders on a grid of 16 x 16 cells; `head` is one of DETECTION_HEADS, or
    plain_detr."""
    return ModelConfig(
        name='small',
        bev_grid=BevGrid(-6.4, 6.4, -6.4, 6.4, 0.8),
        map_grid=BevGrid(-6.0, 6.0, -6.0, 6.0, 0.5),
        camera=CameraBranchConfig(
            height=32,
            width=64,
            feature_channels=16,
            context_channels=8,
            bev_channels=8,
            depth_max=8.0,
        ),
        lidar=LidarBranchConfig(pillar_channels=8, bev_channels=8, max_pillars=500),
        decoder=DecoderConfig(
            channels=16,
            heads=2,
            points=2,
            cross_layers=1,
            fuser=fuser,
            ffn=ffn,
            experts=4,
            adamv=AdamvConfig() if ffn is DecoderFfn.ADAMV else None,
            cell=0.8 * neck.query_cells,
        ),
        head=HeadConfig(
            neck=neck,
            horfpn=horfpn,
            neck_channels=16,
            det_channels=16,
            map_channels=8,
            proposals=20,
            detection=QUERY_HEADS.get(head, DetectionHead.CENTER),
            groups=CENTERPOINT_GROUPS if head == 'groups' else (),
            plain_detr=SMALL_PLAIN_DETR if head == 'plain_detr' else None,
        ),
    )


def small_base() -> ModelConfig:
    """Every module of metabev_base (Swin-T, LSS FPN, sparse encoder, RM2oE, SECOND, TransFusion)
    on the grid of `small_model`."""
    model = small_model('transfusion', DecoderFfn.RM2OE, neck=BevNeckKind.SECOND)
    return dataclasses.replace(
        model,
        name='small_base',
        camera=CameraBranchConfig(
            backbone=CameraBackbone.SWIN_T,
            neck=CameraNeck.LSS_FPN,
            height=32,
            width=64,
            feature_channels=32,
            context_channels=8,
            bev_channels=16,
            depth_max=8.0,
            splat_factor=2,
        ),
        lidar=LidarBranchConfig(
            encoder=LidarEncoder.SPARSE, z_min=-3.2, z_max=4.8, max_voxels=2000, bev_channels=256
        ),
        decoder=dataclasses.replace(model.decoder, cross_layers=2, dropout=0.1),
        head=dataclasses.replace(model.head, map_blocks=2),
    )


def small_lite() -> ModelConfig:
    """Modules of metabev_nano_lite (EfficientNet-Lite0, FPN, fine pillars, values at the queries'
    resolution) on the grid of `small_model`."""
    model = small_model()
    return dataclasses.replace(
        model,
        name='small_lite',
        camera=dataclasses.replace(
            model.camera, backbone=CameraBackbone.EFFICIENTNET_LITE0, neck=CameraNeck.FPN
        ),
        lidar=LidarBranchConfig(
            encoder=LidarEncoder.FINE_PILLAR,
            pillar=0.2,
            points_per_pillar=4,
            max_pillars=500,
            pillar_channels=8,
            fine_channels=8,
            bev_channels=8,
        ),
        decoder=dataclasses.replace(model.decoder, value_stride=2),
    )


def camera_images(model: ModelConfig, views: int, rng: np.random.Generator) -> list[CameraImage]:
    """Noise seen by cameras that look around."""
    height, width = model.camera.height, model.camera.width
    intrinsics = np.array([[width * 0.8, 0, width / 2], [0, width * 0.8, height / 2], [0, 0, 1]])
    return [
        CameraImage(
            0,
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            CameraCalibration(
                width,
                height,
                intrinsics,
                rigid_transform(rotation_z(2 * np.pi * i / views) @ OPTICAL, [0.5, 0, 1.5]),
            ),
        )
        for i in range(views)
    ]


def sweep(model: ModelConfig, rng: np.random.Generator, count: int = 400) -> Sweep:
    """Points all over the grid."""
    reach = model.bev_grid.x_max
    points = np.concatenate(
        [
            rng.uniform(-reach, reach, (count, 2)),
            rng.uniform(-1, 2, (count, 1)),
            rng.uniform(0, 255, (count, 1)),
            np.zeros((count, 1)),
        ],
        1,
    )
    return Sweep(0, points.astype(np.float32), np.eye(4))


def truth_boxes(model: ModelConfig, rng: np.random.Generator, count: int = 6) -> np.ndarray:
    """(M, 9) boxes inside the grid."""
    reach = model.bev_grid.x_max - 0.5
    return np.concatenate(
        [
            rng.uniform(-reach, reach, (count, 2)),
            rng.normal(1, 0.3, (count, 1)),
            rng.uniform(0.6, 4, (count, 3)),
            rng.uniform(-3, 3, (count, 1)),
            rng.normal(0, 2, (count, 2)),
        ],
        1,
    )


def tensors(arrays: dict) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def sample_of(model: ModelConfig, seed: int, views: int = 2):
    """(camera inputs, LiDAR inputs, targets) as tensors."""
    rng = np.random.default_rng(seed)
    preprocessor = Preprocessor(model)
    images = camera_images(model, views, rng)
    camera = preprocessor.camera_inputs(images)
    lidar = preprocessor.lidar_inputs(sweep(model, rng))
    labels = rng.permutation(10)[:6]
    targets = detection_targets(truth_boxes(model, rng), labels, model)
    layers = (len(model.map_classes), *model.map_grid.shape)
    targets['map'] = (rng.random(layers) < 0.4).astype(np.float32)
    depth = rng.uniform(1, 9, (views, *model.camera.feature_shape))
    targets['depth_bins'] = depth_bins(depth, model)
    return tensors(camera), tensors(lidar), tensors(targets)
