"""One network: everything that changes its graph or its meaning.

The defaults are `metabev_nano`; `config/models/metabev_base.yaml` is the paper's network.
"""
from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, field

from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.config.experts import AdamvConfig
from metabev_ros.config.gnconv import require_gate_channels
from metabev_ros.config.interaction import TaskInteractionConfig
from metabev_ros.config.plain import LATER, require, to_plain
from metabev_ros.config.plain_detr import PlainDetrConfig
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES


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


class Fuser(enum.Enum):
    """How the modalities' BEV maps become one.

    `CONV` is BEVFusion's convolution over concatenated maps, absent ones filled with zeros: the
    baseline that MetaBEV is compared with, not a choice for a vehicle.
    """

    METABEV = 'metabev'
    CONV = 'conv'


class DecoderFfn(enum.Enum):
    """Feed-forward part of the decoder layers (paper section 3.3, Figure 4)."""

    MLP = 'mlp'
    HM2OE = 'hm2oe'
    RM2OE = 'rm2oe'
    ADAMV = 'adamv'


class BevNeckKind(enum.Enum):
    """BEV neck: nano's step down and up with pixel shuffle, or SECOND + SECONDFPN.

    `*_HORFPN_*`: the same with gnConv in place of the 3x3 convolutions that keep the resolution.
    """

    NANO = 'nano'
    NANO_HORFPN_7X7 = 'nano_horfpn_7x7'
    NANO_HORFPN_GF = 'nano_horfpn_gf'
    SECOND = 'second'
    SECOND_HORFPN_7X7 = 'second_horfpn_7x7'
    SECOND_HORFPN_GF = 'second_horfpn_gf'

    @property
    def query_cells(self) -> int:
        """BEV cells per edge of a query cell."""
        return 1 if self.value.startswith('second') else 2


class DetectionHead(enum.Enum):
    """Detection heads."""

    CENTER = 'center'
    TRANSFUSION = 'transfusion'
    PLAIN_DETR = 'plain_detr'


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
            require(getattr(self, name) % 32 == 0, f'model.camera.{name}', 'a multiple of 32',
                    getattr(self, name))
        require(0 < self.depth_min < self.depth_max and self.depth_step > 0,
                'model.camera.depth', '0 < depth_min < depth_max and depth_step > 0',
                (self.depth_min, self.depth_max, self.depth_step))
        require(self.splat_factor in (1, 2), 'model.camera.splat_factor', '1 or 2',
                self.splat_factor)
        require(1 <= self.pull_heights <= 32 and 1 <= self.pull_views <= 8, 'model.camera.pull',
                '1..32 heights and 1..8 views', (self.pull_heights, self.pull_views))
        own_neck = self.backbone is CameraBackbone.NANO
        joining = [neck.value for neck in CameraNeck if neck is not CameraNeck.NONE]
        require(own_neck == (self.neck is CameraNeck.NONE), 'model.camera.neck',
                f"{'none' if own_neck else f'one of {joining}'} with backbone "
                f'{self.backbone.value}', self.neck.value)
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
        require(self.z_min < self.z_max, 'model.lidar.z', 'z_min < z_max',
                (self.z_min, self.z_max))
        require(self.points_per_pillar >= 1 and self.max_pillars >= 1, 'model.lidar',
                'positive pillar sizes', (self.points_per_pillar, self.max_pillars))
        require(self.voxel_height > 0 and self.points_per_voxel >= 1 and self.max_voxels >= 1,
                'model.lidar', 'positive voxel sizes',
                (self.voxel_height, self.points_per_voxel, self.max_voxels))

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


@dataclass(frozen=True)
class DecoderConfig:
    """BEV-evolving decoder (paper section 3.3), or the baseline in its place.

    Attributes:
        channels: query width d.
        cell: edge of a meta-BEV query cell, metres.
        heads, points: attention heads and sampled points per head and modality.
        cross_layers, self_layers: N cross-modal layers, then M self-attention layers.
        ffn_ratio: hidden width of the FFN (and of every expert) over d.
        experts, experts_used: E of RM2oE and AdaMV-MoE, and t of RM2oE.
        adamv: AdaMV-MoE's choices, with that FFN only.
    """

    fuser: Fuser = Fuser.METABEV
    ffn: DecoderFfn = DecoderFfn.MLP
    channels: int = 96
    cell: float = 1.6
    heads: int = 4
    points: int = 4
    cross_layers: int = 2
    self_layers: int = 1
    ffn_ratio: int = 2
    experts: int = 8
    experts_used: int = 2
    dropout: float = 0.0
    adamv: AdamvConfig | None = None

    def __post_init__(self) -> None:
        require(self.heads >= 1 and self.channels % self.heads == 0, 'model.decoder.channels',
                f'a multiple of heads ({self.heads})', self.channels)
        require(self.points >= 1, 'model.decoder.points', 'at least 1', self.points)
        require(self.cross_layers >= 1 and self.self_layers >= 0, 'model.decoder.layers',
                'at least one cross-modal layer', (self.cross_layers, self.self_layers))
        require(1 <= self.experts_used <= self.experts <= 64, 'model.decoder.experts_used',
                f'1..experts ({self.experts}, at most 64)', self.experts_used)
        require(0 <= self.dropout < 1, 'model.decoder.dropout', '[0, 1)', self.dropout)
        wanted = self.ffn is DecoderFfn.ADAMV
        require(wanted == (self.adamv is not None), 'model.decoder.adamv',
                'a mapping, {} for the defaults' if wanted else f'none with ffn {self.ffn.value}',
                self.adamv)
        require(not wanted or self.fuser is Fuser.METABEV, 'model.decoder.ffn',
                f'mlp with fuser {self.fuser.value}', self.ffn.value)
        if self.adamv is not None:
            self.adamv.check_fit(self.experts)


# CenterPoint's six groups for the ten nuScenes classes (BEVFusion's configuration).
CENTERPOINT_GROUPS = (('car',), ('truck', 'construction_vehicle'), ('bus', 'trailer'),
                      ('barrier',), ('motorcycle', 'bicycle'), ('pedestrian', 'traffic_cone'))


@dataclass(frozen=True)
class HeadConfig:
    """BEV neck and heads.

    Attributes:
        neck_channels: width of the BEV neck's output at `ModelConfig.bev_grid`.
        det_channels, map_channels: widths inside the heads.
        groups: classes that share one set of box channels in the centre head, in the order of
            the classes; empty: one group of all.
        map_blocks: 3x3 convolutions of the map head after resampling.
        proposals: queries of the TransFusion and Plain-DETR heads.
        plain_detr: the Plain-DETR head's choices, with that head only.
        max_detections: boxes kept per sample.
        score_threshold: boxes below are dropped.
        nms_radius_scale: centre-distance NMS radius as a share of a class's mean size.
    """

    detection: DetectionHead = DetectionHead.CENTER
    neck: BevNeckKind = BevNeckKind.NANO
    neck_channels: int = 64
    det_channels: int = 64
    map_channels: int = 32
    groups: tuple[tuple[str, ...], ...] = ()
    map_blocks: int = 1
    proposals: int = 200
    max_detections: int = 200
    score_threshold: float = 0.05
    nms_radius_scale: float = 0.5
    plain_detr: PlainDetrConfig | None = None

    def __post_init__(self) -> None:
        require(1 <= self.max_detections <= 500, 'model.head.max_detections', '1..500',
                self.max_detections)
        require(1 <= self.proposals <= 500, 'model.head.proposals', '1..500', self.proposals)
        require(0 <= self.map_blocks <= 8, 'model.head.map_blocks', '0..8', self.map_blocks)
        require(0 <= self.score_threshold < 1, 'model.head.score_threshold', '[0, 1)',
                self.score_threshold)
        wanted = self.detection is DetectionHead.PLAIN_DETR
        require(wanted == (self.plain_detr is not None), 'model.head.plain_detr',
                'a mapping, {} for the defaults' if wanted
                else f'none with detection {self.detection.value}', self.plain_detr)


@dataclass(frozen=True)
class ModelConfig:
    """One network.

    Attributes:
        bev_grid: grid of the detection maps and of both modality BEV maps.
        map_grid: grid of the map output.
        task_interaction: attention between the tasks' maps before the heads; None: none.
    """

    name: str = 'metabev_nano'
    bev_grid: BevGrid = BevGrid(-51.2, 51.2, -51.2, 51.2, 0.8)
    map_grid: BevGrid = NUSCENES_MAP_GRID
    camera: CameraBranchConfig = field(default_factory=CameraBranchConfig)
    lidar: LidarBranchConfig = field(default_factory=LidarBranchConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    detection_classes: tuple[str, ...] = DETECTION_CLASSES
    map_classes: tuple[str, ...] = MAP_CLASSES
    task_interaction: TaskInteractionConfig | None = None

    def __post_init__(self) -> None:
        cell = self.bev_grid.cell
        if self.lidar.encoder is LidarEncoder.PILLAR:
            require(abs(cell / self.lidar.pillar - 2) < 1e-6, 'model.lidar.pillar',
                    f'half the BEV cell ({cell / 2} m)', self.lidar.pillar)
        ratio = self.head.neck.query_cells
        require(abs(self.decoder.cell / cell - ratio) < 1e-6, 'model.decoder.cell',
                f'{ratio} x the BEV cell with neck {self.head.neck.value} ({cell * ratio} m)',
                self.decoder.cell)
        self._require_neck_channels()
        require(self.head.groups == () or sum(self.head.groups, ()) == self.detection_classes,
                'model.head.groups', f'the classes in order: {list(self.detection_classes)}',
                self.head.groups)
        if self.head.plain_detr is not None:
            self.head.plain_detr.check_fit(self.head.det_channels, self.head.proposals,
                                           self.bev_grid)
            require(set(self.detection_classes) <= set(MEAN_SIZES), 'model.detection_classes',
                    f'classes of known mean size: {sorted(MEAN_SIZES)}', self.detection_classes)

    def _require_neck_channels(self) -> None:
        """Every gnConv of the BEV neck splits its channels."""
        neck, c_out = self.head.neck, self.head.neck_channels
        if neck.query_cells == 2:
            require_gate_channels(neck, 'model.decoder.channels', self.decoder.channels)
        # SECOND's finest stage has a quarter of the channels.
        require_gate_channels(neck, 'model.head.neck_channels', c_out,
                              1 if neck.query_cells == 2 else 4)
        if self.task_interaction is not None:
            self.task_interaction.check_fit(self.head.neck_channels, self.bev_grid)

    @property
    def pillar_grid(self) -> BevGrid:
        return self.bev_grid.with_cell(self.lidar.pillar)

    @property
    def voxel_grid(self) -> BevGrid:
        """The sparse encoder halves it three times down to `bev_grid`."""
        return self.bev_grid.with_cell(self.bev_grid.cell / 8)

    @property
    def splat_grid(self) -> BevGrid:
        """Where lift-splat sums."""
        return self.bev_grid.with_cell(self.bev_grid.cell / self.camera.splat_factor)

    @property
    def query_grid(self) -> BevGrid:
        return self.bev_grid.with_cell(self.decoder.cell)

    @property
    def detection_groups(self) -> tuple[tuple[str, ...], ...]:
        """Classes that share box channels."""
        return self.head.groups or (self.detection_classes,)

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of this configuration."""
        text = json.dumps(to_plain(self), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()
