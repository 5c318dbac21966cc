"""BEV neck and heads."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config.hornet import Mixing
from metabev_ros.config.plain_detr import PlainDetrConfig
from metabev_ros.config.yaml import require
from metabev_ros.errors import assert_never


class BevNeckKind(enum.Enum):
    """BEV necks: nano's step down and up with pixel shuffle, or SECOND + SECONDFPN."""

    NANO = 'nano'
    SECOND = 'second'

    @property
    def query_cells(self) -> int:
        """BEV cells per edge of a query cell."""
        match self:
            case BevNeckKind.NANO:
                return 2
            case BevNeckKind.SECOND:
                return 1
            case _:
                assert_never(self)


class DetectionHead(enum.Enum):
    """Detection heads."""

    CENTER = 'center'
    TRANSFUSION = 'transfusion'
    PLAIN_DETR = 'plain_detr'


# CenterPoint's six groups for the ten nuScenes classes (BEVFusion's configuration).
CENTERPOINT_GROUPS = (
    ('car',),
    ('truck', 'construction_vehicle'),
    ('bus', 'trailer'),
    ('barrier',),
    ('motorcycle', 'bicycle'),
    ('pedestrian', 'traffic_cone'),
)


@dataclass(frozen=True)
class HeadConfig:
    """BEV neck and heads.

    Attributes:
        horfpn: mixing of the gnConvs in place of the neck's 3x3 convolutions that keep the
            resolution; None: those.
        neck_channels: width of the BEV neck's output at `ModelConfig.bev_grid`.
        det_channels, map_channels: widths inside the heads.
        groups: classes that share one set of box channels in the centre head, in the order of
            the classes; empty: one group of all.
        map_blocks: 3x3 convolutions of the map head after resampling.
        proposals: queries of the TransFusion and Plain-DETR heads.
        plain_detr: the Plain-DETR head's choices, with that head only.
        max_detections: boxes kept per sample.
        score_threshold: boxes below are dropped; of calibrated scores where there are such.
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
    horfpn: Mixing | None = None

    def __post_init__(self) -> None:
        require(
            1 <= self.max_detections <= 500,
            'model.head.max_detections',
            '1..500',
            self.max_detections,
        )
        require(1 <= self.proposals <= 500, 'model.head.proposals', '1..500', self.proposals)
        require(0 <= self.map_blocks <= 8, 'model.head.map_blocks', '0..8', self.map_blocks)
        require(
            0 <= self.score_threshold < 1,
            'model.head.score_threshold',
            '[0, 1)',
            self.score_threshold,
        )
        wanted = self.detection is DetectionHead.PLAIN_DETR
        require(
            wanted == (self.plain_detr is not None),
            'model.head.plain_detr',
            'a mapping, {} for the defaults'
            if wanted
            else f'none with detection {self.detection.value}',
            self.plain_detr,
        )
