"""Frozen, validated configuration. A number that follows from others is a property."""

from metabev_ros.config.adamv import AdamvConfig, TaskExperts, TaskStream
from metabev_ros.config.decoder import DecoderConfig, DecoderFfn, Fuser
from metabev_ros.config.encoders import (
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    LidarBranchConfig,
    LidarEncoder,
    ViewTransform,
)
from metabev_ros.config.heads import BevNeckKind, DetectionHead, HeadConfig
from metabev_ros.config.hornet import HorNetConfig, HorNetSize, Mixing
from metabev_ros.config.interaction import InteractionKind, PositionCode, TaskInteractionConfig
from metabev_ros.config.model import ModelConfig
from metabev_ros.config.node import InferenceConfig, NodeConfig, parameter_groups
from metabev_ros.config.outputs import (
    DetectionsConfig,
    MarkersConfig,
    OutputsConfig,
    OutputSettings,
)
from metabev_ros.config.parameter import Parameter, changed_parameters, parameters_of
from metabev_ros.config.parameter_file import read_node_config
from metabev_ros.config.plain_detr import PlainDetrConfig, QueryContent, RpbMode
from metabev_ros.config.rig import (
    CameraConfig,
    EgoBox,
    IntrinsicsConfig,
    LidarConfig,
    PointTime,
    RigConfig,
    TimeUnit,
    Transport,
)
from metabev_ros.config.sensing import SensingConfig
from metabev_ros.config.tracking import TrackingConfig
from metabev_ros.config.yaml import from_plain, load_config, save_config, to_plain

__all__ = [
    'AdamvConfig',
    'BevNeckKind',
    'CameraBackbone',
    'CameraBranchConfig',
    'CameraConfig',
    'CameraNeck',
    'DecoderConfig',
    'DecoderFfn',
    'DetectionHead',
    'DetectionsConfig',
    'EgoBox',
    'Fuser',
    'HeadConfig',
    'HorNetConfig',
    'HorNetSize',
    'InferenceConfig',
    'InteractionKind',
    'IntrinsicsConfig',
    'LidarBranchConfig',
    'LidarConfig',
    'LidarEncoder',
    'MarkersConfig',
    'Mixing',
    'ModelConfig',
    'NodeConfig',
    'OutputSettings',
    'OutputsConfig',
    'Parameter',
    'PlainDetrConfig',
    'PointTime',
    'PositionCode',
    'QueryContent',
    'RigConfig',
    'RpbMode',
    'SensingConfig',
    'TaskExperts',
    'TaskInteractionConfig',
    'TaskStream',
    'TimeUnit',
    'TrackingConfig',
    'Transport',
    'ViewTransform',
    'changed_parameters',
    'from_plain',
    'load_config',
    'parameter_groups',
    'parameters_of',
    'read_node_config',
    'save_config',
    'to_plain',
]
