"""Configuration of a synthetic drive."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.errors import ConfigError


class Weather(enum.Enum):
    """Light and air of a drive."""

    BY_SEED = 'by_seed'
    SUNNY = 'sunny'
    OVERCAST = 'overcast'
    DUSK = 'dusk'
    NIGHT = 'night'
    RAIN = 'rain'


@dataclass(frozen=True)
class DriveConfig:
    """One drive.

    Attributes:
        frames: number of samples.
        rate_hz: samples a second.
        image_width, image_height: pixels; a 1600 x 900 camera scaled to this width and cropped
            to its bottom rows.
        start_ns: stamp of frame 0.
        lidar_azimuths: columns of one LiDAR revolution.
        weather: fixed, or drawn from the seed.
    """

    frames: int = 100
    rate_hz: float = 10.0
    image_width: int = 704
    image_height: int = 256
    start_ns: int = 1_700_000_000_000_000_000
    lidar_azimuths: int = 1080
    weather: Weather = Weather.BY_SEED

    def __post_init__(self) -> None:
        _require('frames', 1 <= self.frames <= 100_000, 'between 1 and 100000', self.frames)
        _require('rate_hz', 0.05 <= self.rate_hz <= 100, 'between 0.05 and 100', self.rate_hz)
        _require(
            'image_width',
            64 <= self.image_width <= 1600,
            'between 64 and 1600 pixels',
            self.image_width,
        )
        tallest = int(900 * self.image_width / 1600)
        _require(
            'image_height',
            32 <= self.image_height <= tallest,
            f'between 32 and {tallest} pixels at this width',
            self.image_height,
        )
        _require('start_ns', self.start_ns > 0, 'a positive stamp', self.start_ns)
        _require(
            'lidar_azimuths',
            36 <= self.lidar_azimuths <= 4096,
            'between 36 and 4096',
            self.lidar_azimuths,
        )
        _require('weather', isinstance(self.weather, Weather), 'a Weather', self.weather)

    @property
    def duration_s(self) -> float:
        """Time from the first to the last frame."""
        return (self.frames - 1) / self.rate_hz


def _require(name: str, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ConfigError(f'DriveConfig.{name}', expected, repr(got))
