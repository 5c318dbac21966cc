"""The projects whose weights can be read."""

from __future__ import annotations

import enum

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.conversion import backbones, detectors
from metabev_ros.lab.conversion.rules import SourceRules


class Source(enum.Enum):
    """Dialects of checkpoints."""

    BEVFUSION = 'bevfusion'  # mit-han-lab/bevfusion
    MMDET3D_BEVFUSION = 'mmdet3d_bevfusion'  # its port, mmdetection3d projects/BEVFusion
    MMDET3D_CENTERPOINT = 'mmdet3d_centerpoint'  # mmdetection3d from 1.0, voxels
    MMDET_SWIN = 'mmdet_swin'  # mmdetection detectors, e.g. on nuImages
    SWIN = 'swin'  # microsoft/Swin-Transformer, timm before 0.9
    TIMM_SWIN = 'timm_swin'  # timm from 0.9
    TORCHVISION_SWIN_T = 'torchvision_swin_t'
    TORCHVISION_RESNET50 = 'torchvision_resnet50'  # timm's resnet50 has the same names
    HORNET = 'hornet'  # raoyongming/HorNet, classifiers and detectors
    MMPRETRAIN_HORNET = 'mmpretrain_hornet'  # mmpretrain's classifiers


def parse_source(name: str) -> Source:
    """The source of this name.

    Raises:
        ConfigError: naming all sources.
    """
    names = [source.value for source in Source]
    if name not in names:
        raise ConfigError('--source', f'one of {names}', name, 'see docs/pretrained_weights.md')
    return Source(name)


def build_rules(source: Source, config: ModelConfig) -> SourceRules:
    """Rules that take a checkpoint of `source` to the network of `config`."""
    if source is Source.BEVFUSION:
        return detectors.detector_rules(detectors.BEVFUSION, config)
    if source is Source.MMDET3D_BEVFUSION:
        return detectors.detector_rules(detectors.MMDET3D_BEVFUSION, config)
    if source is Source.MMDET3D_CENTERPOINT:
        return detectors.detector_rules(detectors.MMDET3D_CENTERPOINT, config)
    builders = {
        Source.MMDET_SWIN: backbones.mmdet_swin,
        Source.SWIN: backbones.swin,
        Source.TIMM_SWIN: backbones.timm_swin,
        Source.TORCHVISION_SWIN_T: backbones.torchvision_swin_t,
        Source.TORCHVISION_RESNET50: backbones.torchvision_resnet50,
        Source.HORNET: backbones.hornet,
        Source.MMPRETRAIN_HORNET: backbones.mmpretrain_hornet,
    }
    return builders[source]()
