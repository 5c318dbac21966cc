"""A model as outputs name it, for tests that load none."""

from metabev_ros.config import ModelConfig
from metabev_ros.structures import ModelInfo

_CONFIG = ModelConfig()
MODEL = ModelInfo(
    'metabev_nano',
    '0123456789abcdef',
    _CONFIG.detection_classes,
    _CONFIG.map_classes,
    _CONFIG.map_grid,
    'onnxruntime',
    'cpu',
    'fp32',
)
