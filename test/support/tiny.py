"""A network that trains in a tenth of a second a step, for tests of the trainer."""

from metabev_ros.config import (
    CameraBranchConfig,
    DecoderConfig,
    HeadConfig,
    LidarBranchConfig,
    ModelConfig,
)
from metabev_ros.geometry import BevGrid
from metabev_ros.lab.training.augmentation import AugmentationConfig

TINY = ModelConfig(
    name='tiny',
    bev_grid=BevGrid(-25.6, 25.6, -25.6, 25.6, 1.6),
    camera=CameraBranchConfig(
        height=32, width=96, feature_channels=8, context_channels=8, depth_step=4.0, bev_channels=8
    ),
    lidar=LidarBranchConfig(pillar=0.8, pillar_channels=8, bev_channels=8, max_pillars=4000),
    decoder=DecoderConfig(channels=16, cell=3.2, heads=2, points=2, cross_layers=1),
    head=HeadConfig(neck_channels=8, det_channels=8, map_channels=4),
)
PLAIN = AugmentationConfig(turn=0, brightness=0, view_drop=0)
