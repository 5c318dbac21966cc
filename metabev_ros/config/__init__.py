"""Frozen, validated configuration. A number that follows from others is a property."""
from metabev_ros.config.experts import AdamvConfig, TaskExperts, TaskStream
from metabev_ros.config.interaction import InteractionKind, PositionCode, TaskInteractionConfig
from metabev_ros.config.model import (
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
    ModelConfig,
    ViewTransform,
)
from metabev_ros.config.plain import from_plain, load_config, save_config, to_plain
from metabev_ros.config.plain_detr import PlainDetrConfig, QueryContent, RpbMode
from metabev_ros.config.rig import CameraConfig, LidarConfig, RigConfig, SensingConfig

__all__ = [
    'AdamvConfig', 'InteractionKind', 'PositionCode', 'TaskExperts', 'TaskInteractionConfig',
    'TaskStream',
    'BevNeckKind', 'CameraBackbone', 'CameraBranchConfig', 'CameraConfig', 'CameraNeck',
    'DecoderConfig', 'DecoderFfn', 'DetectionHead', 'Fuser', 'HeadConfig', 'LidarBranchConfig',
    'LidarConfig', 'LidarEncoder', 'ModelConfig',
    'PlainDetrConfig', 'QueryContent', 'RigConfig', 'RpbMode', 'SensingConfig', 'from_plain',
    'ViewTransform', 'load_config', 'save_config', 'to_plain']
