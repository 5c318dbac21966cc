"""The two encoders: cameras to a BEV map, LiDAR to a BEV map."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from metabev_ros.config.hornet import HorNetConfig, Mixing, require_gate_channels
from metabev_ros.config.yaml import LATER, require

MAX_SWEEPS = 10


class CameraBackbone(enum.Enum):
    """Image backbones; `NANO` is ours, sized for a CPU."""

    NANO = 'nano'
    SWIN_T = 'swin_t'
    RESNET50 = 'resnet50'
    HORNET = 'hornet'
    EFFICIENTNET_LITE0 = 'efficientnet_lite0'


class CameraNeck(enum.Enum):
    """Necks that join the backbone's stages; `NONE`: the backbone does it itself (nano)."""

    NONE = 'none'
    LSS_FPN = 'lss_fpn'
    FPN = 'fpn'


class ViewTransform(enum.Enum):
    """Ways of image features into the BEV.

    `LIFT_SPLAT` adds up every lifted point (exact, any rig). `PULL` lets every cell look up a few
    points in the views that see them best: of fixed size, cheaper with many depth bins, and
    another operator, so that a network is trained with the one it runs.
    """

    LIFT_SPLAT = 'lift_splat'
    PULL = 'pull'


class LidarEncoder(enum.Enum):
    """LiDAR encoders: pillars, VoxelNet's sparse 3D convolutions, or fine pillars.

    `FINE_PILLAR` has pillars of a quarter of a BEV cell and sparse 2D convolutions over them.
    """

    PILLAR = 'pillar'
    SPARSE = 'sparse'
    FINE_PILLAR = 'fine_pillar'


@dataclass(frozen=True)
class CameraBranchConfig:
    """Image encoder and lift-splat.

    Attributes:
        hornet: HorNet's choices, with that backbone only.
        horfpn: mixing of the gnConvs in place of the neck's 3x3 convolutions; None: those.
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
    hornet: HorNetConfig | None = None
    horfpn: Mixing | None = None

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
        self._require_fitting_parts()

    def _require_fitting_parts(self) -> None:
        """Stop unless backbone, neck and HorNet's choices suit each other."""
        backbone, own_neck = self.backbone, self.backbone is CameraBackbone.NANO
        joining = [neck.value for neck in CameraNeck if neck is not CameraNeck.NONE]
        require(
            own_neck == (self.neck is CameraNeck.NONE),
            'model.camera.neck',
            f'{"none" if own_neck else f"one of {joining}"} with backbone {backbone.value}',
            self.neck.value,
        )
        wanted = backbone is CameraBackbone.HORNET
        require(
            wanted == (self.hornet is not None),
            'model.camera.hornet',
            'a mapping of size and mixing' if wanted else f'none with backbone {backbone.value}',
            self.hornet,
        )
        require(
            not own_neck or self.horfpn is None,
            'model.camera.horfpn',
            f'none with backbone {backbone.value}, which has no neck',
            self.horfpn and self.horfpn.value,
        )
        require_gate_channels(self.horfpn, 'model.camera.feature_channels', self.feature_channels)

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(h, w) of the image features."""
        return self.height // self.stride, self.width // self.stride

    @property
    def depth_bins(self) -> int:
        """Number of depth bins."""
        return round((self.depth_max - self.depth_min) / self.depth_step)


@dataclass(frozen=True)
class LidarBranchConfig:
    """Pillar encoder, sparse voxel encoder or fine pillar encoder.

    Attributes:
        pillar: edge of a pillar, metres; the BEV cell is twice that, or four times that with fine
            pillars. Not of the sparse encoder.
        points_per_pillar: more points than this in a pillar are dropped in arrival order; of a
            fine pillar in equal steps of it.
        max_pillars: more pillars than this are dropped, farthest first.
        voxel_height, points_per_voxel, max_voxels: of the sparse encoder; a voxel's edge in x
            and y is an eighth of the BEV cell (`ModelConfig.voxel_grid`). More voxels than
            `max_voxels` are dropped in arrival order, as in mmcv's hard voxelisation.
        z_min, z_max: metres in the ego frame.
        sweeps: that are taken as one, the older ones moved with the vehicle; each point knows
            how long ago it was measured (`time_lag`). The paper takes ten.
        pillar_channels: width of the pillar encoder, and of fine pillars.
        fine_channels: width at half a BEV cell, with fine pillars.
        fine_blocks, coarse_blocks: residual blocks of two sparse convolutions at half a BEV cell
            and at the BEV cell, with fine pillars.
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
    sweeps: int = field(default=1, metadata=LATER)
    fine_channels: int = field(default=48, metadata=LATER)
    fine_blocks: int = field(default=1, metadata=LATER)
    coarse_blocks: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        require(
            self.fine_channels >= 1 and self.fine_blocks >= 0 and self.coarse_blocks >= 0,
            'model.lidar',
            'fine_channels of at least 1, fine_blocks and coarse_blocks of at least 0',
            (self.fine_channels, self.fine_blocks, self.coarse_blocks),
        )
        require(
            1 <= self.sweeps <= MAX_SWEEPS, 'model.lidar.sweeps', f'1..{MAX_SWEEPS}', self.sweeps
        )
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
    def point_features(self) -> int:
        """Of fine pillars: as `preprocess.fine_pillars` lists them."""
        return 10

    @property
    def voxel_features(self) -> int:
        """Mean x y z intensity time_lag."""
        return 5

    @property
    def voxel_layers(self) -> int:
        """Voxels along z; VoxelNet's sparse shape has one more (41)."""
        return round((self.z_max - self.z_min) / self.voxel_height)
