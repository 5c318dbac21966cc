"""The two encoders: cameras to a BEV map, LiDAR to a BEV map."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from metabev_ros.config.gnconv import require_gate_channels
from metabev_ros.config.yaml import LATER, require


class CameraBackbone(enum.Enum):
    """Image backbones; a HorNet mixes by 7x7 convolutions or, in its coarse stages, by global
    filters (gf)."""

    NANO = 'nano'
    SWIN_T = 'swin_t'
    RESNET50 = 'resnet50'
    HORNET_NANO_7X7 = 'hornet_nano_7x7'
    HORNET_NANO_GF = 'hornet_nano_gf'
    HORNET_T_7X7 = 'hornet_t_7x7'
    HORNET_T_GF = 'hornet_t_gf'
    HORNET_S_7X7 = 'hornet_s_7x7'
    HORNET_S_GF = 'hornet_s_gf'
    HORNET_B_7X7 = 'hornet_b_7x7'
    HORNET_B_GF = 'hornet_b_gf'
    HORNET_L_7X7 = 'hornet_l_7x7'
    HORNET_L_GF = 'hornet_l_gf'


class CameraNeck(enum.Enum):
    """What joins the backbone's stages; `NONE`: the backbone does it itself (nano).

    `HORFPN_*` is `FPN`, `LSS_HORFPN_*` is `LSS_FPN` with gnConv in place of 3x3 convolutions.
    """

    NONE = 'none'
    LSS_FPN = 'lss_fpn'
    LSS_HORFPN_7X7 = 'lss_horfpn_7x7'
    LSS_HORFPN_GF = 'lss_horfpn_gf'
    FPN = 'fpn'
    HORFPN_7X7 = 'horfpn_7x7'
    HORFPN_GF = 'horfpn_gf'


class ViewTransform(enum.Enum):
    """How image features come into the BEV.

    `LIFT_SPLAT` adds up every lifted point (exact, any rig). `PULL` lets every cell look up a few
    points in the views that see them best: of fixed size, cheaper with many depth bins, and
    another operator, so that a network is trained with the one it runs.
    """

    LIFT_SPLAT = 'lift_splat'
    PULL = 'pull'


class LidarEncoder(enum.Enum):
    """LiDAR encoders: pillars, or VoxelNet's sparse 3D convolutions."""

    PILLAR = 'pillar'
    SPARSE = 'sparse'


@dataclass(frozen=True)
class CameraBranchConfig:
    """Image encoder and lift-splat.

    Attributes:
        height, width: network input, pixels.
        stride: input pixels per feature pixel.
        feature_channels: channels after the backbone and neck.
        context_channels: channels lifted into the BEV.
        depth_min, depth_max, depth_step: metres; bins are [min, max) in steps.
        bev_channels: channels of the camera BEV map.
        splat_row: entries per row of the lift-splat tables (more pad, fewer make more rows).
        splat_factor: BEV cells per splat cell edge; 2 splats twice as fine and convolves down
            (BEVFusion's vtransform), 1 splats onto the BEV grid itself. The same for pull.
        pull_heights, pull_views: points above every cell, and views looked at for each (pull).
    """

    backbone: CameraBackbone = CameraBackbone.NANO
    neck: CameraNeck = CameraNeck.NONE
    height: int = 128
    width: int = 352
    stride: int = 8
    feature_channels: int = 96
    context_channels: int = 48
    depth_min: float = 1.0
    depth_max: float = 57.0
    depth_step: float = 1.4
    bev_channels: int = 64
    splat_row: int = 16
    splat_factor: int = 1
    view_transform: ViewTransform = field(default=ViewTransform.LIFT_SPLAT, metadata=LATER)
    pull_heights: int = field(default=4, metadata=LATER)
    pull_views: int = field(default=2, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ('height', 'width'):
            require(
                getattr(self, name) % 32 == 0,
                f'model.camera.{name}',
                'a multiple of 32',
                getattr(self, name),
            )
        require(
            0 < self.depth_min < self.depth_max and self.depth_step > 0,
            'model.camera.depth',
            '0 < depth_min < depth_max and depth_step > 0',
            (self.depth_min, self.depth_max, self.depth_step),
        )
        require(
            self.splat_factor in (1, 2), 'model.camera.splat_factor', '1 or 2', self.splat_factor
        )
        require(
            1 <= self.pull_heights <= 32 and 1 <= self.pull_views <= 8,
            'model.camera.pull',
            '1..32 heights and 1..8 views',
            (self.pull_heights, self.pull_views),
        )
        own_neck = self.backbone is CameraBackbone.NANO
        joining = [neck.value for neck in CameraNeck if neck is not CameraNeck.NONE]
        require(
            own_neck == (self.neck is CameraNeck.NONE),
            'model.camera.neck',
            f'{"none" if own_neck else f"one of {joining}"} with backbone {self.backbone.value}',
            self.neck.value,
        )
        require_gate_channels(self.neck, 'model.camera.feature_channels', self.feature_channels)

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(h, w) of the image features."""
        return self.height // self.stride, self.width // self.stride

    @property
    def depth_bins(self) -> int:
        return round((self.depth_max - self.depth_min) / self.depth_step)


@dataclass(frozen=True)
class LidarBranchConfig:
    """Pillar encoder or sparse voxel encoder.

    Attributes:
        pillar: edge of a pillar, metres; the BEV cell is twice that. Pillar encoder only.
        points_per_pillar: more points than this in a pillar are dropped in arrival order.
        max_pillars: more pillars than this are dropped, farthest first.
        voxel_height, points_per_voxel, max_voxels: of the sparse encoder; a voxel's edge in x
            and y is an eighth of the BEV cell (`ModelConfig.voxel_grid`). More voxels than
            `max_voxels` are dropped in arrival order, as in mmcv's hard voxelisation.
        z_min, z_max: metres in the ego frame.
        pillar_channels: width of the pillar encoder.
        bev_channels: channels of the LiDAR BEV map.
    """

    encoder: LidarEncoder = LidarEncoder.PILLAR
    pillar: float = 0.4
    points_per_pillar: int = 12
    max_pillars: int = 12000
    voxel_height: float = 0.2
    points_per_voxel: int = 10
    max_voxels: int = 160_000
    z_min: float = -3.0
    z_max: float = 5.0
    pillar_channels: int = 32
    bev_channels: int = 64

    def __post_init__(self) -> None:
        require(
            self.z_min < self.z_max, 'model.lidar.z', 'z_min < z_max', (self.z_min, self.z_max)
        )
        require(
            self.points_per_pillar >= 1 and self.max_pillars >= 1,
            'model.lidar',
            'positive pillar sizes',
            (self.points_per_pillar, self.max_pillars),
        )
        require(
            self.voxel_height > 0 and self.points_per_voxel >= 1 and self.max_voxels >= 1,
            'model.lidar',
            'positive voxel sizes',
            (self.voxel_height, self.points_per_voxel, self.max_voxels),
        )

    @property
    def pillar_features(self) -> int:
        """x y z intensity time_lag, offset in the pillar (x y), height over the mean, count."""
        return 9

    @property
    def voxel_features(self) -> int:
        """Mean x y z intensity time_lag."""
        return 5

    @property
    def voxel_layers(self) -> int:
        """Voxels along z; VoxelNet's sparse shape has one more (41)."""
        return round((self.z_max - self.z_min) / self.voxel_height)
