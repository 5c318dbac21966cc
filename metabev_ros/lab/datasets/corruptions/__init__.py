"""Sensor failures: on arrays (`lidar`, `camera`, `images`), and as settings on samples."""

from metabev_ros.lab.datasets.corruptions.needs import Needs, needs_of
from metabev_ros.lab.datasets.corruptions.settings import (
    ALL,
    BEYOND,
    CLEAN,
    HEADLINE,
    IMAGES,
    PAPER,
    Failure,
    Setting,
    SettingGroup,
)
from metabev_ros.lab.datasets.corruptions.suite import corrupt

__all__ = [
    'ALL',
    'BEYOND',
    'CLEAN',
    'HEADLINE',
    'IMAGES',
    'PAPER',
    'Failure',
    'Needs',
    'Setting',
    'SettingGroup',
    'corrupt',
    'needs_of',
]
